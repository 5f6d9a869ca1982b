// Hard links: the new entry and the higher link count, in one batch or one transaction. The inode's row is locked, so
// that no mount removes the last other link in between.
#include "fs/inode_changes.hpp"
#include "fs/names/names.hpp"

namespace ringfs::fs {

namespace {

constexpr std::int64_t max_links = 65000;  // as ext4

}  // namespace

Task<Result<Attributes>> Names::link(InodeNumber inode, InodeNumber parent, std::string name) {
  const TimePoint until = instance_.deadline();
  Status valid = check_name(name);
  if (!valid) co_return tl::unexpected(valid.error());
  if (is_dot(name)) co_return fail(ErrorCode::exists);
  Retry retry(store_, until);
  for (;;) {
    Result<LoadedInode> loaded = co_await inodes_.read(inode, until);
    if (!loaded) co_return tl::unexpected(loaded.error());
    InodeRow row = loaded->row;
    if (row.is_directory()) co_return fail(ErrorCode::not_permitted, "hard link to a directory");
    if (row.state != InodeState::live) co_return fail(ErrorCode::not_found, "the file was unlinked");
    if (row.links >= max_links) co_return fail(ErrorCode::too_many_links);
    const std::int64_t now = instance_.now_ns();
    ChangeSet changes;
    hints_.require_no_entry(changes, Check::entry, {parent, name});
    changes.require(Check::directory, is_live_directory(parent));
    changes.change(put(entry_row(parent, name), SharedBytes(encode(EntryRow{inode, row.mode & S_IFMT}))));
    touch_directory(changes, parent, now);
    changes.require(Check::inode, is_live(inode, row.mode));
    changes.require(Check::inode, links_are(inode, row.links));
    changes.lock(inode_row(inode));
    changes.change(add_i64(inode_row(inode), InodeRow::links_offset, 1));
    move_time(changes, inode_row(inode), InodeRow::changed_offset, now);
    Result<Outcome> outcome = co_await changes.apply(store_, until);
    if (!outcome && !Retry::worthwhile(outcome.error())) co_return tl::unexpected(outcome.error());
    if (outcome && outcome->applied()) {
      hints_.names.put({parent, name}, inode);
      ++row.links;
      row.changed = moved_time(row.changed, now);
      const Attributes attributes =
          co_await contents_.kernel_pages.answer_done(inode, LoadedInode{row, outcome->version}, until);
      co_return attributes;
    }
    if (outcome && outcome->failed == Check::entry) co_return fail(ErrorCode::exists);
    if (outcome && outcome->failed == Check::directory) {
      Error error = co_await directory_error(parent, until);
      co_return tl::unexpected(error);
    }
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "link");
  }
}

}  // namespace ringfs::fs
