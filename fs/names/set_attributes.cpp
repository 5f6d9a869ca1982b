// The attributes of one inode: reading and changing them. And the target of a symbolic link.
#include <algorithm>

#include "fs/inode_changes.hpp"
#include "fs/names/names.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

// Updates the row of an open file: its next write compares its time with these.
void take_attributes(InodeRow& open, const InodeRow& row) {
  open.mode = row.mode;
  open.uid = row.uid;
  open.gid = row.gid;
  open.accessed = row.accessed;
  open.modified = row.modified;
  open.changed = std::max(open.changed, row.changed);
}

}  // namespace

Task<Result<Attributes>> Names::get_attributes(InodeNumber inode) {
  if (inode == root_inode) {
    Result<Attributes> root = co_await root_.attributes();
    co_return root;
  }
  Result<LoadedInode> loaded = co_await inodes_.read(inode, instance_.deadline());
  if (!loaded) co_return tl::unexpected(loaded.error());
  Result<Attributes> attributes = co_await contents_.kernel_pages.answer(inode, *loaded, instance_.deadline());
  co_return attributes;
}

Task<Result<std::string>> Names::read_link(InodeNumber inode) {
  RowAddress row = symlink_row(inode);
  Result<ReadReply::Get> target = co_await read_row(store_, std::move(row), instance_.deadline());
  if (!target) co_return tl::unexpected(target.error());
  if (!target->found) co_return fail(ErrorCode::invalid_argument, "not a symbolic link");
  co_return target->row.value.str();
}

Task<Result<Attributes>> Names::set_attributes(Caller caller, InodeNumber inode, SetAttributes changes) {
  const TimePoint until = instance_.deadline();
  if (changes.size) {
    Status resized = co_await contents_.writer.set_size(inode, *changes.size, caller.may_not_keep_set_id(), until);
    if (!resized) co_return tl::unexpected(resized.error());
  }
  const bool owner = changes.uid || changes.gid;
  const bool times = changes.accessed || changes.modified || changes.accessed_now || changes.modified_now;
  // Bytes written before this call must not bring their own time afterwards, so they are sent first. Nor may bytes of
  // another user clear set-id bits that this call sets.
  OpenPointer written = open_inodes_.find(inode);
  const bool later_clears = written && changes.mode && written->clears_set_id;
  if (written && (changes.modified || changes.modified_now || later_clears)) {
    Status flushed = co_await contents_.writer.write_out(written, FileWriter::Sending::everything, until);
    if (!flushed) co_return tl::unexpected(flushed.error());
  }
  Retry retry(store_, until);
  for (;;) {
    Result<LoadedInode> loaded = co_await inodes_.read(inode, until);
    if (!loaded) co_return tl::unexpected(loaded.error());
    InodeRow row = loaded->row;
    if (changes.mode) row.mode = (row.mode & S_IFMT) | (*changes.mode & 07777U);
    if (changes.uid) row.uid = *changes.uid;
    if (changes.gid) row.gid = *changes.gid;
    // Linux asks for a chown without a new owner by setting no field. As any chown, also root's, it clears set-id bits.
    const bool chown = owner || (!times && !changes.mode && !changes.size);
    if (chown && !changes.mode && !row.is_directory()) row.mode = without_set_id(row.mode);
    const bool header = inode_header_bytes(row) != inode_header_bytes(loaded->row) || changes.mode || owner;
    if (!header && !times) {
      const Attributes same = co_await contents_.kernel_pages.answer_done(inode, *loaded, until);
      // The kernel takes the size from the answer to its own truncation in any case.
      if (changes.size) contents_.kernel_sizes.note_sure(inode, same.size);
      co_return same;
    }
    const RowAddress address = inode_row(inode);
    const std::int64_t now = instance_.now_ns();
    ChangeSet set;
    if (header) {
      set.require(Check::inode, header_is(inode, loaded->row));
      set.change(write_bytes(address, 0, SharedBytes(inode_header_bytes(row))));
    } else {
      set.require(Check::inode, present(address));
    }
    if (changes.accessed || changes.accessed_now) {
      row.accessed = changes.accessed_now ? now : std::min(changes.accessed->nanoseconds, last_settable_time);
      set.change(write_i64(address, InodeRow::accessed_offset, row.accessed));
    }
    if (changes.modified || changes.modified_now) {
      row.modified = changes.modified_now ? now : std::min(changes.modified->nanoseconds, last_settable_time);
      set.change(write_i64(address, InodeRow::modified_offset, row.modified));
    }
    row.changed = moved_time(row.changed, now);
    move_time(set, address, InodeRow::changed_offset, now);
    Result<Outcome> outcome = co_await set.apply(store_, until);
    if (outcome && outcome->applied()) {
      hints_.remember(inode, row);
      if (OpenPointer open = open_inodes_.find(inode); open && open->known) take_attributes(open->row, row);
      const Attributes changed =
          co_await contents_.kernel_pages.answer_done(inode, LoadedInode{row, outcome->version}, until);
      if (changes.size) contents_.kernel_sizes.note_sure(inode, changed.size);
      co_return changed;
    }
    if (!outcome && !Retry::worthwhile(outcome.error())) co_return tl::unexpected(outcome.error());
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "attributes keep changing");
  }
}

}  // namespace ringfs::fs
