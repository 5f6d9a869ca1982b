// Removing names. When the last link of an inode goes, it becomes an orphan: its row stays, marked as unlinked, with an
// orphan row for the janitor. So does a removed directory, which may be open somewhere.
#include "fs/inode_changes.hpp"
#include "fs/names/names.hpp"

namespace ringfs::fs {

// The error of an operation that found its directory changed.
Task<Error> Names::directory_error(InodeNumber directory, TimePoint deadline) {
  hints_.directories.erase(directory);
  Result<InodeRow> row = co_await inodes_.directory_header(directory, deadline);
  if (row) co_return Error{ErrorCode::timeout, "the directory keeps changing"};
  if (row.error().code == ErrorCode::stale_handle) co_return Error{ErrorCode::not_found, "directory was removed"};
  co_return row.error();
}

// Marks the inode as unlinked, and puts its orphan row.
void Names::make_orphan(ChangeSet& changes, InodeNumber inode, std::uint32_t mode) const {
  const RowAddress row = inode_row(inode);
  changes.change(write_bytes(row, InodeRow::type_offset, SharedBytes(inode_type_bytes(mode, InodeState::unlinked))));
  changes.change(write_i64(row, InodeRow::links_offset, 0));
  OrphanRow orphan{OrphanRow::Kind::unlinked, store_.clock().stamp.microseconds, 0, 0, {}};
  changes.change(put(orphan_row(inode, store_.partition_bits()), SharedBytes(encode(orphan))));
}

void Names::drop_link(ChangeSet& changes, InodeNumber inode, const InodeRow& row, std::int64_t now) const {
  const RowAddress address = inode_row(inode);
  // In a transaction the row must stay locked: else a link() between prepare and commit would be lost.
  changes.lock(address);
  changes.require(Check::inode, links_are(inode, row.links));
  move_time(changes, address, InodeRow::changed_offset, now);
  if (row.links > 1) {
    changes.change(add_i64(address, InodeRow::links_offset, -1));
    return;
  }
  changes.require(Check::inode, is_live(inode, row.mode));
  make_orphan(changes, inode, row.mode);
}

void Names::drop_directory(ChangeSet& changes, InodeNumber inode, std::int64_t now) const {
  changes.require(Check::inode, is_live_directory(inode));
  changes.require(Check::empty, empty_prefix(entry_prefix(inode)));
  move_time(changes, inode_row(inode), InodeRow::changed_offset, now);
  make_orphan(changes, inode, S_IFDIR);
}

Task<Status> Names::unlink(InodeNumber parent, std::string name) {
  const TimePoint until = instance_.deadline();
  Status valid = check_name(name);
  if (!valid) co_return valid;
  if (is_dot(name)) co_return fail(ErrorCode::is_directory);
  Retry retry(store_, until);
  for (unsigned missing = 0;;) {
    Result<FoundEntry> entry = co_await find_entry(parent, name, until);
    if (!entry) co_return tl::unexpected(entry.error());
    if (!entry->found) co_return fail(ErrorCode::not_found);
    if (entry->entry.type == S_IFDIR) co_return fail(ErrorCode::is_directory);
    const std::int64_t now = instance_.now_ns();
    ChangeSet changes;
    changes.require(Check::entry, value_equals(entry->row, entry->value));
    changes.change(erase(entry->row));
    touch_directory(changes, parent, now);
    const InodeNumber inode = entry->entry.inode;
    Result<LoadedInode> loaded = co_await entry_inode(std::move(*entry), until);
    if (loaded) {
      drop_link(changes, inode, loaded->row, now);
    } else if (loaded.error().code == ErrorCode::stale_handle && ++missing > 3) {
      // An entry without an inode must not exist. If it does, its user can at least remove it.
      changes.require(Check::inode, absent(inode_row(inode)));
    } else if (loaded.error().code == ErrorCode::stale_handle) {
      bool more = co_await retry.again();
      if (!more) co_return fail(ErrorCode::timeout, "unlink");
      continue;
    } else {
      co_return tl::unexpected(loaded.error());
    }
    Result<Outcome> outcome = co_await changes.apply(store_, until);
    if (!outcome && !Retry::worthwhile(outcome.error())) co_return tl::unexpected(outcome.error());
    if (outcome && outcome->applied()) {
      hints_.names.erase({parent, name});
      co_return Status();
    }
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "unlink");
  }
}

Task<Status> Names::remove_directory(InodeNumber parent, std::string name) {
  const TimePoint until = instance_.deadline();
  Status valid = check_name(name);
  if (!valid) co_return valid;
  if (name == ".") co_return fail(ErrorCode::invalid_argument);
  if (name == "..") co_return fail(ErrorCode::not_empty);
  Retry retry(store_, until);
  for (;;) {
    Result<FoundEntry> entry = co_await find_entry(parent, name, until);
    if (!entry) co_return tl::unexpected(entry.error());
    if (!entry->found) co_return fail(ErrorCode::not_found);
    if (entry->entry.type != S_IFDIR) co_return fail(ErrorCode::not_directory);
    const std::int64_t now = instance_.now_ns();
    ChangeSet changes;
    changes.require(Check::entry, value_equals(entry->row, entry->value));
    changes.change(erase(entry->row));
    changes.change(add_i64(inode_row(parent), InodeRow::links_offset, -1));
    touch_directory(changes, parent, now);
    drop_directory(changes, entry->entry.inode, now);
    Result<Outcome> outcome = co_await changes.apply(store_, until);
    if (!outcome && !Retry::worthwhile(outcome.error())) co_return tl::unexpected(outcome.error());
    if (outcome && outcome->applied()) {
      hints_.names.erase({parent, name});
      hints_.directories.erase(entry->entry.inode);
      co_return Status();
    }
    if (outcome && outcome->failed == Check::empty) co_return fail(ErrorCode::not_empty);
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "rmdir");
  }
}

}  // namespace ringfs::fs
