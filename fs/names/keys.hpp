// Names of the rows that make up the file system (docs/file-system-format.md).
//
// An inode number is `0 | 27 placement bits | 36 bits`. The placement bits name the object in which its rows lie, so
// the number alone says which partition to ask. Orphans and garbage, which the janitor must find without a number, lie
// in one well-known object per partition: the placement of the partition's anchor. Threads: pure functions. Source:
// docs/design.md#inodes-and-names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/row_ages.hpp"
#include "dht/base/rows.hpp"
#include "fs/file_system.hpp"

namespace ringfs::fs {

inline constexpr std::uint64_t segment_chunks = 64;  // chunks that one segment row accounts for
inline constexpr std::uint64_t segment_bytes = segment_chunks * chunk_bytes;
inline constexpr std::size_t blocks_per_chunk = chunk_bytes / block_bytes;

constexpr std::uint32_t placement_of(InodeNumber inode) { return static_cast<std::uint32_t>(inode >> 36) & 0x7ffffffU; }
PartitionId partition_of_inode(InodeNumber inode, unsigned partition_bits);
std::uint32_t fresh_placement(Random& random);
// A random number of this placement; never the root's or another of the first 1,024, which stay reserved.
InodeNumber fresh_inode(std::uint32_t placement, Random& random);

RowAddress inode_row(InodeNumber inode);        // I/ino
RowAddress inline_row(InodeNumber inode);       // D/ino
RowAddress symlink_row(InodeNumber inode);      // S/ino
RowAddress append_lock_row(InodeNumber inode);  // L/ino
// Entries lie in the order of a hash of their names, so that a position in a listing is a permanent number
// (entry_order.hpp).
RowAddress entry_row(InodeNumber directory, std::string_view name);  // E/dir:hash name
RowAddress entry_prefix(InodeNumber directory);                      // E/dir: entries in either place
// Where former formats put the entry. With `entries_by_hash` in the directory's inode none is left there.
RowAddress old_entry_row(InodeNumber directory, std::string_view name);                   // E/dir/name
RowAddress old_entry_prefix(InodeNumber directory);                                       // E/dir/
RowAddress segment_row(InodeNumber inode, std::uint64_t content, std::uint64_t segment);  // C/ino content segment
RowAddress segment_prefix(InodeNumber inode, std::uint64_t content);
std::string_view entry_name(std::string_view sort);  // of an entry row's sort key
// The number in a sort key of two bytes and an inode number (I/, O/); else 0.
InodeNumber inode_of(std::string_view sort);
std::uint64_t segment_of(std::string_view sort);
// The chunks that may exist by this segment row (a byte per chunk).
std::vector<std::uint64_t> marked_chunks(std::uint64_t segment, std::string_view value);

std::string anchor_key(PartitionId partition, unsigned partition_bits);
RowAddress orphan_row(InodeNumber inode, unsigned partition_bits);                          // O/ino
RowAddress garbage_row(InodeNumber inode, std::uint64_t content, unsigned partition_bits);  // G/ino content
RowAddress garbage_prefix(InodeNumber inode, unsigned partition_bits);
// The making of `directory` was given up. Lies in the partition of the parent that was to name it. H/ino
RowAddress given_up_row(InodeNumber parent, InodeNumber directory, unsigned partition_bits);
RowAddress claim_row(PartitionId partition, unsigned partition_bits);  // T/ (claims.hpp)

std::string chunk_key(InodeNumber inode, std::uint64_t content, std::uint64_t index);
std::string block_sort(std::uint64_t block);  // a block's sort key within its chunk

// The row that serialises moves of directories between directories, ring-wide.
RowAddress directory_move_row();

}  // namespace ringfs::fs
