// Writing to open files and flushing them; reading by a handle.
#include <fcntl.h>

#include <algorithm>

#include "fs/contents/open_files.hpp"

namespace ringfs::fs {

namespace {

// Counts an append that bypasses the kernel's pages until it is answered.
class Appending {
 public:
  Appending(KernelView& kernel, bool counts) : kernel_(counts ? &kernel : nullptr) {
    if (kernel_ != nullptr) ++kernel_->appending;
  }
  ~Appending() {
    if (kernel_ != nullptr) --kernel_->appending;
  }
  Appending(const Appending&) = delete;
  Appending& operator=(const Appending&) = delete;

 private:
  KernelView* kernel_;
};

}  // namespace

// An append bypasses the kernel's pages, unless O_APPEND was set after the open: then the kernel has put the bytes
// where it took the end to be, into pages that may stay locked until the answer.
Task<Result<std::size_t>> OpenFiles::write_at_end(std::shared_ptr<OpenFile> file, std::uint64_t offset,
                                                  SharedBytes bytes, bool clears_set_id, TimePoint deadline) {
  OpenPointer open = file->inode;
  const std::size_t size = bytes.size();
  const Appending appending(open->kernel, !file->cached);
  Result<std::uint64_t> end = co_await contents_.writer.append(open, bytes, clears_set_id, deadline);
  if (!end) co_return tl::unexpected(end.error());
  const bool elsewhere = *end != offset + size;
  if (file->cached && elsewhere) {
    open_inodes_.pages_are_stale(*open);
    if (!instance_.stopping()) contents_.kernel_pages.start_telling(open);
  }
  if (!file->cached && (elsewhere || contents_.kernel_pages.must_tell(*open))) {
    KernelPages::Telling telling;
    telling.raise = elsewhere;  // so that the next append has the right position
    telling.size_follows = !elsewhere;
    telling.written = PageChange::Tail{*end - size, std::move(bytes)};
    // If this ends too late, the kernel still has it in its queue.
    static_cast<void>(co_await contents_.kernel_pages.tell(open, telling, deadline));
  }
  contents_.kernel_sizes.note_written(*open, offset + size);
  co_return size;
}

// Comes before a write through pages is answered. The written bytes cover what was read into the pages before. But a
// page that was dropped since and read again has zeros behind the former end. If the page in which the write ends was
// not read before, the kernel keeps it locked until the answer (Linux fs/fuse/file.c, fuse_fill_write_pages): that page
// is left alone unless the former end is in it.
Task<void> OpenFiles::settle_written_pages(OpenPointer open, std::uint64_t end, TimePoint deadline) {
  KernelView& kernel = open->kernel;
  if (!kernel.uncovers(end)) co_return;
  if (!contents_.kernel_sizes.may_have_dropped(kernel)) {
    kernel.cut_at = end;
    co_return;
  }
  KernelPages::Telling telling;
  telling.from = *kernel.cut_at;
  telling.until = end;
  telling.size_follows = true;
  static_cast<void>(co_await contents_.kernel_pages.tell(open, telling, deadline));
}

Task<Result<std::size_t>> OpenFiles::write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how) {
  const TimePoint until = instance_.deadline();
  Result<std::shared_ptr<OpenFile>> found = file_of(handle);
  if (!found) co_return tl::unexpected(found.error());
  std::shared_ptr<OpenFile> file = *found;
  OpenPointer open = file->inode;
  if (!is_writable(file->flags)) co_return fail(ErrorCode::bad_handle, "opened for reading");
  if (bytes.empty()) co_return 0;
  if (open->error && file->reported_error < open->error_number) {
    file->reported_error = open->error_number;
    co_return tl::unexpected(*open->error);
  }
  const int flags = how.flags.value_or(file->flags);
  if ((flags & O_APPEND) != 0) {
    Result<std::size_t> appended = co_await write_at_end(file, offset, std::move(bytes), how.clears_set_id, until);
    co_return appended;
  }
  if (offset > max_file_bytes || bytes.size() > max_file_bytes - offset) co_return fail(ErrorCode::file_too_large);
  Status room = co_await contents_.writer.wait_for_room(open, bytes.size(), until);
  if (!room) {
    file->reported_error = open->error_number;
    co_return tl::unexpected(room.error());
  }
  open_inodes_.kernel_cached.erase(open->inode);
  const std::size_t size = bytes.size();
  contents_.writer.buffer(*open, offset, bytes, how.clears_set_id);
  if (!file->cached && open->kernel.readers > 0) {
    KernelPages::Telling telling;
    telling.from = offset;
    telling.size_follows = true;
    static_cast<void>(co_await contents_.kernel_pages.tell(open, telling, until));
  }
  if (file->cached) co_await settle_written_pages(open, offset + size, until);
  contents_.kernel_sizes.note_written(*open, offset + size);
  if ((flags & (O_SYNC | O_DSYNC)) != 0 || instance_.options.synchronous) {
    Status flushed = co_await contents_.writer.flush(open, until);
    if (!flushed) co_return tl::unexpected(flushed.error());
  } else if (open->buffer.has_full_chunk()) {
    contents_.writer.start_background(open, FileWriter::Sending::full_chunks);
  }
  co_return size;
}

Task<Result<ReadResult>> OpenFiles::read(Handle handle, std::uint64_t offset, std::size_t size) {
  const TimePoint until = instance_.deadline();
  Result<std::shared_ptr<OpenFile>> found = file_of(handle);
  if (!found) co_return tl::unexpected(found.error());
  std::shared_ptr<OpenFile> file = *found;
  pages_are_dropped(*file);
  Result<ReadResult> result =
      co_await contents_.reader.read(file->inode, file->position, file->cached, offset, size, until);
  co_return result;
}

// For close() and fsync(): what was written through any handle of the file is durable when this returns.
Task<Status> OpenFiles::flush(Handle handle) {
  Result<std::shared_ptr<OpenFile>> found = file_of(handle);
  if (!found) co_return tl::unexpected(found.error());
  std::shared_ptr<OpenFile> file = *found;
  pages_are_dropped(*file);
  Status status = co_await contents_.writer.flush(file->inode, instance_.deadline());
  if (!status) file->reported_error = file->inode->error_number;
  co_return status;
}

}  // namespace ringfs::fs
