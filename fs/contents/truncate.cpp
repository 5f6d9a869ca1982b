// Setting a file's size. To 0: the contents become inline and empty, and the chunks garbage. Shorter: one commit has
// the new size and an odd `cut`, then the chunks are cut, then `cut` becomes even again. A mount that finds it odd
// finishes the cut before the file grows. Longer: a hole. Bytes that were written before the call are sent before it,
// or dropped with the rest.
#include <algorithm>

#include "fs/contents/file_writer.hpp"
#include "fs/inode_changes.hpp"

namespace ringfs::fs {

Task<Result<bool>> FileWriter::set_size_once(OpenPointer open, std::uint64_t size, bool clears_set_id,
                                             TimePoint deadline) {
  const InodeRow row = open->row;
  const InodeNumber inode = open->inode;
  const RowAddress address = inode_row(inode);
  const auto old_size = static_cast<std::uint64_t>(row.size);
  InodeRow next = row;
  next.size = static_cast<std::int64_t>(size);
  const std::int64_t now = instance_.now_ns();
  ChangeSet changes;
  changes.require(Check::contents, extent_is(inode, row));
  if (row.content == 0) {
    if (size == 0) {
      changes.change(erase(inline_row(inode)));
    } else if (size < old_size && size < inline_limit) {
      // Also if no inline bytes are known: another mount may have put some there.
      changes.change(truncate_row(inline_row(inode), size));
    }
  } else if (size == 0) {
    next.content = next.cut = 0;
    changes.change(put(garbage_row(inode, row.content, store_.partition_bits()),
                       SharedBytes(encode(GarbageRow{store_.clock().stamp.microseconds}))));
  } else if (size < old_size) {
    next.cut += row.cutting() ? 2 : 1;
  }
  changes.change(write_bytes(address, InodeRow::size_offset, SharedBytes(inode_extent_bytes(next))));
  move_modified(changes, *open, now, now);
  move_time(changes, address, InodeRow::changed_offset, now);
  changes.change(add_i64(address, InodeRow::change_offset, 1));
  if (clears_set_id) {
    clear_set_id(changes, inode, row);
    next.mode = without_set_id(row.mode);
  }
  Result<Outcome> outcome = co_await open_inodes_.commit_own(open, changes, deadline);
  if (!outcome) co_return tl::unexpected(outcome.error());
  if (!outcome->applied()) co_return false;
  note_times(next, *open, now, instance_.now_ns());
  next.change += 1;
  const bool was_inline = row.content == 0 && open->inline_known;
  const SharedBytes bytes = open->inline_bytes;
  open_inodes_.adopt(*open, LoadedInode{next, outcome->version}, nullptr, OpenInodes::Origin::here);
  if (open->version == outcome->version && next.content == 0 && (was_inline || size == 0)) {
    open->inline_known = true;
    open->inline_bytes =
        size < bytes.size() && was_inline ? SharedBytes(bytes, 0, size) : (size == 0 ? SharedBytes() : bytes);
  }
  co_return true;
}

Task<Status> FileWriter::set_size(InodeNumber inode, std::uint64_t size, bool clears_set_id, TimePoint deadline) {
  if (size > max_file_bytes) co_return fail(ErrorCode::file_too_large);
  OpenInodes::Pin pin(open_inodes_, inode);
  const OpenPointer& open = pin.pointer();
  open_inodes_.kernel_cached.erase(inode);
  Lock lock = co_await open->mutex.lock(store_, deadline);
  if (!lock) co_return fail(ErrorCode::timeout, "file is busy");
  if (size > 0) {
    Status flushed = co_await write_out_locked(open, Sending::everything, deadline);
    if (!flushed) co_return flushed;
  }
  Retry retry(store_, deadline);
  for (;;) {
    Status fresh = co_await open_inodes_.refresh(open, deadline);
    if (!fresh) co_return fresh;
    if (open->row.is_directory()) co_return fail(ErrorCode::is_directory);
    if (!open->row.is_regular()) co_return fail(ErrorCode::invalid_argument, "not a regular file");
    const bool grows = size > static_cast<std::uint64_t>(open->row.size);
    if (grows && open->row.cutting()) {
      Status finished = co_await chunks_.finish_cut(open, deadline);
      if (!finished) co_return finished;
      continue;
    }
    Result<bool> done = co_await set_size_once(open, size, clears_set_id, deadline);
    if (!done) {
      open->known = false;
      co_return tl::unexpected(done.error());
    }
    if (*done) break;
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "the file keeps changing");
  }
  if (size == 0) drop_buffer(*open);
  if (open->row.cutting()) {
    Status finished = co_await chunks_.finish_cut(open, deadline);
    co_return finished;
  }
  co_return Status();
}

}  // namespace ringfs::fs
