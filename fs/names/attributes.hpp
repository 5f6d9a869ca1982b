// The rows of inodes, directory entries, orphans, garbage and append locks.
//
// The inode row has a fixed width, so that batches can change one field of it without reading the rest: add_i64 and
// max_i64 for counts, sizes and times, bytes_equal for conditions. Fields that are compared together lie side by side:
// [0, 16) is what creating a child depends on, [24, 48) what changing contents depends on.
// `fields` of a row is its encoding: what it hands to `io`, in that order.
// Threads: plain values. Errors: decoders give corrupt. Source: docs/file-system-format.md.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <string>

#include "dht/base/error.hpp"
#include "dht/base/rows.hpp"
#include "dht/base/uuid.hpp"
#include "fs/file_system.hpp"

namespace ringfs::fs {

enum class InodeState : std::uint8_t { live = 0, unlinked = 1 };

struct InodeRow {
  static constexpr std::uint32_t format_offset = 0, type_offset = 1, state_offset = 2, mode_offset = 4, uid_offset = 8,
                                 gid_offset = 12, links_offset = 16, size_offset = 24, content_offset = 32,
                                 cut_offset = 40, modified_offset = 48, changed_offset = 56, accessed_offset = 64,
                                 parent_offset = 88, change_offset = 96;
  static constexpr std::size_t encoded_size = 104;

  InodeState state = InodeState::live;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t links = 1;
  std::int64_t size = 0;
  std::uint64_t content = 0;  // 0: contents lie in the inline row; otherwise in chunks under this id
  std::uint64_t cut = 0;      // odd: bytes beyond size may still lie in chunks and must be cut before the file grows
  std::int64_t modified = 0;  // nanoseconds
  std::int64_t changed = 0;
  std::int64_t accessed = 0;
  std::uint64_t device = 0;
  std::uint64_t generation = 0;
  InodeNumber parent = 0;        // directories
  bool entries_by_hash = false;  // directories: no entry lies where former formats put it (fs/names/keys.hpp)
  std::int64_t change = 0;       // grows with every change of the contents

  // Behind the header, which is format, type, state, mode, owner and group.
  template <class Row, class Io>
  static void fields(Row& row, Io io) {
    io(row.links, row.size, row.content, row.cut, row.modified, row.changed, row.accessed, row.device, row.generation,
       row.parent, row.change);
  }
  bool is_directory() const { return S_ISDIR(mode); }
  bool is_regular() const { return S_ISREG(mode); }
  bool cutting() const { return (cut & 1) != 0; }
};

std::string encode(const InodeRow& row);
Result<InodeRow> decode_inode(std::string_view bytes);

struct LoadedInode {
  InodeRow row;
  std::uint64_t version = 0;
};
// What a read of an inode's row gave. Errors: stale_handle (there is none), corrupt.
Result<LoadedInode> loaded_inode(const ReadReply::Get& get);

// The time after a change: now, but at least a nanosecond later than before, so that each change shows even where a
// wrong clock or utimensat has put the time into the future. The mutations of move_time (change_set.hpp) do the same.
inline std::int64_t moved_time(std::int64_t before, std::int64_t now) { return std::max(before + 1, now); }
// Times that are set stay this far below the largest 64-bit number, so that later changes can move them.
inline constexpr std::int64_t last_settable_time = std::numeric_limits<std::int64_t>::max() - (std::int64_t{1} << 40);
// Parts of the encoded row, for bytes_equal and write_bytes.
std::string inode_type_bytes(std::uint32_t mode, InodeState state);  // at type_offset, 2 bytes: type, state
std::string inode_header_bytes(const InodeRow& row);                 // at 0, 16 bytes: format, those, mode, uid, gid
std::string inode_contents_bytes(const InodeRow& row);               // at content_offset, 16 bytes: content, cut
std::string inode_extent_bytes(const InodeRow& row);                 // at size_offset, 24 bytes: size, content, cut
std::string inode_by_hash_bytes();                                   // at format_offset, 1 byte
// Clears the set-user-id bit, and the set-group-id bit if the group may execute (otherwise it means mandatory locking).
std::uint32_t without_set_id(std::uint32_t mode);
std::string encode_u32(std::uint32_t value);
std::string encode_u64(std::uint64_t value);
std::string encode_i64(std::int64_t value);

Attributes to_attributes(InodeNumber inode, const InodeRow& row);

struct EntryRow {
  InodeNumber inode = 0;
  std::uint32_t type = 0;  // S_IFMT bits
  template <class Row, class Io>
  static void fields(Row& row, Io io) {
    io(row.inode, row.type);
  }
  friend bool operator==(const EntryRow&, const EntryRow&) = default;
};
std::string encode(const EntryRow& row);
Result<EntryRow> decode_entry(std::string_view bytes);

// An inode without a name: unlinked, or a directory whose making is under way.
struct OrphanRow {
  enum class Kind : std::uint8_t { unlinked = 1, half_made = 2 };
  static constexpr std::uint32_t hold_offset = 9;
  Kind kind = Kind::unlinked;
  std::int64_t since = 0;  // microseconds, by the clock of the mount that made it; only for people to read
  std::int64_t holds = 0;  // a mount that has it open raises this, and so the row's version
  InodeNumber parent = 0;  // half_made: where its entry will be
  std::string name;
  template <class Row, class Io>
  static void fields(Row& row, Io io) {
    io(row.kind, row.since, row.holds, row.parent, row.name);
  }
};
std::string encode(const OrphanRow& row);
Result<OrphanRow> decode_orphan(std::string_view bytes);

// Contents that no inode refers to. The janitor removes the chunks when the row is old enough (claims.hpp). Before, it
// claims the row by writing it anew: a conversion under way then finds another version than its own and starts over.
struct GarbageRow {
  static constexpr std::int64_t claimed_since = -1;
  // Microseconds, by the clock of its maker; only for people to read. claimed_since: claimed.
  std::int64_t since = 0;
  bool claimed() const { return since == claimed_since; }
  template <class Row, class Io>
  static void fields(Row& row, Io io) {
    io(row.since);
  }
};
std::string encode(const GarbageRow& row);
Result<GarbageRow> decode_garbage(std::string_view bytes);

struct AppendLockRow {
  Uuid owner;
  std::uint64_t token = 0;
  std::int64_t expires = 0;  // microseconds, by the clock of its owner; only for people to read
  template <class Row, class Io>
  static void fields(Row& row, Io io) {
    io(row.owner, row.token, row.expires);
  }
};
std::string encode(const AppendLockRow& row);
Result<AppendLockRow> decode_append_lock(std::string_view bytes);

}  // namespace ringfs::fs
