// Conditions on an inode's row, and changes of it.
#include "fs/inode_changes.hpp"

namespace ringfs::fs {

namespace {

constexpr std::int64_t future_tolerance_ns = 1'000'000'000;

bool in_the_future(std::int64_t time, std::int64_t now) { return time > now + future_tolerance_ns; }

}  // namespace

Condition is_live(InodeNumber inode, std::uint32_t mode) {
  return bytes_equal(inode_row(inode), InodeRow::type_offset, inode_type_bytes(mode, InodeState::live));
}

Condition is_live_directory(InodeNumber inode) { return is_live(inode, S_IFDIR); }

Condition header_is(InodeNumber inode, const InodeRow& row) {
  return bytes_equal(inode_row(inode), InodeRow::format_offset, inode_header_bytes(row));
}

Condition contents_are(InodeNumber inode, const InodeRow& row) {
  return bytes_equal(inode_row(inode), InodeRow::content_offset, inode_contents_bytes(row));
}

Condition extent_is(InodeNumber inode, const InodeRow& row) {
  return bytes_equal(inode_row(inode), InodeRow::size_offset, inode_extent_bytes(row));
}

Condition links_are(InodeNumber inode, std::int64_t links) {
  return bytes_equal(inode_row(inode), InodeRow::links_offset, encode_i64(links));
}

Mutation write_i64(RowAddress row, std::uint32_t offset, std::int64_t number) {
  return write_bytes(std::move(row), offset, SharedBytes(encode_i64(number)));
}

Mutation write_u64(RowAddress row, std::uint32_t offset, std::uint64_t number) {
  return write_bytes(std::move(row), offset, SharedBytes(encode_u64(number)));
}

void touch_directory(ChangeSet& changes, InodeNumber directory, std::int64_t now) {
  move_time(changes, inode_row(directory), InodeRow::modified_offset, now);
  move_time(changes, inode_row(directory), InodeRow::changed_offset, now);
}

void add_times(ChangeSet& changes, const OpenInode& open, std::optional<std::int64_t> modified, std::int64_t now) {
  const RowAddress row = inode_row(open.inode);
  changes.change(add_i64(row, InodeRow::change_offset, 1));
  move_time(changes, row, InodeRow::changed_offset, now);
  if (modified) move_modified(changes, open, *modified, now);
}

void move_modified(ChangeSet& changes, const OpenInode& open, std::int64_t modified, std::int64_t now) {
  const RowAddress row = inode_row(open.inode);
  if (in_the_future(open.row.modified, now)) {
    changes.change(write_i64(row, InodeRow::modified_offset, modified));
  } else {
    move_time(changes, row, InodeRow::modified_offset, modified);
  }
}

void note_times(InodeRow& row, const OpenInode& before, std::optional<std::int64_t> modified, std::int64_t now) {
  if (modified)
    row.modified = in_the_future(before.row.modified, now) ? *modified : moved_time(before.row.modified, *modified);
  row.changed = moved_time(before.row.changed, now);
}

std::int64_t write_time(const OpenInode& open, std::int64_t now) {
  return open.known && !in_the_future(open.row.modified, now) ? moved_time(open.row.modified, now) : now;
}

void clear_set_id(ChangeSet& changes, InodeNumber inode, const InodeRow& row) {
  const RowAddress address = inode_row(inode);
  const std::uint32_t mode = without_set_id(row.mode);
  changes.require(Check::mode, bytes_equal(address, InodeRow::mode_offset, encode_u32(row.mode)));
  if (mode != row.mode) changes.change(write_bytes(address, InodeRow::mode_offset, SharedBytes(encode_u32(mode))));
}

}  // namespace ringfs::fs
