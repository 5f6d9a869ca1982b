// Conditions on an inode's row, and changes of it that several operations make.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <optional>

#include "fs/change_set.hpp"
#include "fs/open_inode.hpp"

namespace ringfs::fs {

// It is live, and of the type in `mode`.
Condition is_live(InodeNumber inode, std::uint32_t mode);
Condition is_live_directory(InodeNumber inode);
Condition header_is(InodeNumber inode, const InodeRow& row);     // type, state, mode, owner and group
Condition contents_are(InodeNumber inode, const InodeRow& row);  // content id and cut
Condition extent_is(InodeNumber inode, const InodeRow& row);     // size, content id and cut
Condition links_are(InodeNumber inode, std::int64_t links);

Mutation write_i64(RowAddress row, std::uint32_t offset, std::int64_t number);
Mutation write_u64(RowAddress row, std::uint32_t offset, std::uint64_t number);

// Moves a directory's times: its entries change.
void touch_directory(ChangeSet& changes, InodeNumber directory, std::int64_t now);

// A change of the contents: the change counter and the times.
void add_times(ChangeSet& changes, const OpenInode& open, std::optional<std::int64_t> modified, std::int64_t now);
// Times do not go back between mounts whose clocks differ a little; but a time that utimensat or a clock that was wrong
// put into the future must not hide that the file changed.
void move_modified(ChangeSet& changes, const OpenInode& open, std::int64_t modified, std::int64_t now);
// Changes the times in `row` as those mutations do.
void note_times(InodeRow& row, const OpenInode& before, std::optional<std::int64_t> modified, std::int64_t now);
// The time of a write that is not published yet. Publishing does not move it.
std::int64_t write_time(const OpenInode& open, std::int64_t now);
// Clears set-id bits by the mode that the ring has at the moment of the commit.
void clear_set_id(ChangeSet& changes, InodeNumber inode, const InodeRow& row);

}  // namespace ringfs::fs
