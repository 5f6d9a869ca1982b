// Opening, creating, writing to and closing files.
//
// open() reads attributes and inline contents at once, so it sees every write that was closed anywhere before
// (close-to-open).
#include <fcntl.h>

#include <algorithm>

#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t max_files = 1 << 20;  // open at once

// Counts an append until it is answered.
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

bool writable(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

// A plain file of the caller whose mode grants what is asked for: no kernel refuses that to its owner.
bool is_own_file(const Caller& caller, const InodeRow& row, int flags) {
  std::uint32_t wanted = 0;
  if ((flags & O_ACCMODE) != O_WRONLY) wanted |= S_IRUSR;
  if (writable(flags) || (flags & O_TRUNC) != 0) wanted |= S_IWUSR;
  return row.is_regular() && row.uid == caller.uid && (row.mode & wanted) == wanted;
}

}  // namespace

Result<std::shared_ptr<OpenFile>> Volume::file_of(Handle handle) const {
  auto place = files_.find(handle);
  if (place == files_.end()) return fail(ErrorCode::bad_handle);
  return place->second;
}

Opened Volume::add_handle(Caller caller, OpenPointer open, int flags) {
  auto file = std::make_shared<OpenFile>();
  file->inode = open;
  file->flags = flags;
  file->cached = !((flags & O_APPEND) != 0 && writable(flags));
  file->uid = caller.uid;
  file->reported_error = open->error_number;
  ++open->users;
  KernelView& kernel = open->kernel;
  if (!kernel.is_used()) {
    // Nobody could read here before: whatever the kernel was told, what it reads from now on reaches to the present
    // end. Its size is that of an older answer: the one to an open brings none.
    const std::uint64_t end = end_of_file(*open);
    const std::optional<GivenSize> given = given_.get(open->inode);
    kernel.size = given ? given->size : end;
    kernel.told = std::max(kernel.size, end);
    kernel.stale = false;
  }
  // What others read through is right for this one, too. Dropped now, a page could take bytes along that a write has
  // just put there.
  const bool in_use = pages_changed_ && kernel.readers > 0 && !kernel.stale && !kernel.telling.locked();
  if (file->cached) {
    if (kernel.readers == 0) kernel.cut_at.reset();  // it drops its pages with the answer, or keep_cache below
    ++kernel.readers;
    if (writable(flags)) ++kernel.writers;
  } else {
    ++kernel.direct;
  }
  Opened opened;
  opened.handle = next_handle();
  opened.attributes = overlay_attributes(open->inode, open->row);
  opened.direct_io = !file->cached;
  std::optional<std::int64_t> seen = kernel_cached_.get(open->inode);
  opened.keep_cache = in_use || (file->cached && open->buffer.empty() && seen == open->row.change);
  if (open->buffer.empty()) {
    kernel_cached_.put(open->inode, open->row.change);
  } else {
    kernel_cached_.erase(open->inode);
  }
  if (!opened.keep_cache) {
    kernel.dropped = store_.clock().now;
  } else if (!in_use) {
    note_read(*open, end_of_file(*open));  // by an earlier reader
  }
  files_.emplace(opened.handle, std::move(file));
  return opened;
}

// What others changed is dropped before one more reads here. And bytes of the last page that are on their way to the
// kernel come there before a program can write through its pages: kernel_pages.cpp.
Task<Status> Volume::settle_before_open(OpenPointer open, bool writes_pages, TimePoint deadline) {
  KernelView& kernel = open->kernel;
  while (pages_changed_ && kernel.readers > 0 && (kernel.stale || kernel.telling.locked())) {
    Telling telling;
    Status told = co_await tell_kernel(open, telling, deadline);
    if (!told) break;  // stale: the kernel drops its pages with the answer
  }
  if (writes_pages && (kernel.telling.locked() || kernel.storing > 0)) {
    co_return fail(ErrorCode::timeout, "the kernel's pages are busy");
  }
  co_return Status();
}

Task<Result<Opened>> Volume::open(Caller caller, InodeNumber inode, int flags) {
  const TimePoint until = deadline();
  if (files_.size() >= max_files) co_return fail(ErrorCode::overloaded, "open files");
  // Also for O_RDONLY, as Linux does: the kernel asked for write permission.
  if ((flags & O_TRUNC) != 0) {
    Status emptied = co_await set_size(inode, 0, caller.may_not_keep_set_id(), until);
    if (!emptied) co_return tl::unexpected(emptied.error());
    note_given(inode, 0);
  }
  InodePin pin(*this, inode);
  OpenPointer open = pin.pointer();
  Status fresh = co_await refresh(open, until);
  if (!fresh) co_return tl::unexpected(fresh.error());
  if (open->row.is_directory()) co_return fail(ErrorCode::is_directory);
  if (S_ISLNK(open->row.mode)) co_return fail(ErrorCode::symlink_loop);
  const bool writes_pages = writable(flags) && (flags & O_APPEND) == 0;
  Status settled = co_await settle_before_open(open, writes_pages, until);
  if (!settled) co_return tl::unexpected(settled.error());
  co_return add_handle(caller, open, flags);
}

Task<Result<Opened>> Volume::create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                    int flags) {
  const TimePoint until = deadline();
  if (files_.size() >= max_files) co_return fail(ErrorCode::overloaded, "open files");
  const std::uint32_t type = (mode & S_IFMT) == 0 ? S_IFREG : mode & S_IFMT;
  if (type != S_IFREG) co_return fail(ErrorCode::invalid_argument, "create of a special file");
  const std::uint32_t full_mode = type | ((mode & 07777U) & ~static_cast<std::uint32_t>(caller.umask & 0777U));
  Retry retry(store_, until);
  for (;;) {
    std::string copy = name;
    Result<NewNode> node = co_await create_node(caller, parent, std::move(copy), full_mode, 0, std::string(), until);
    if (node) {
      InodePin pin(*this, node->inode);
      OpenPointer open = pin.pointer();
      adopt(*open, node->loaded, nullptr);
      if (open->version == node->loaded.version) open->inline_known = true;  // and empty
      note_given(node->inode, 0);
      co_return add_handle(caller, open, flags);
    }
    if (node.error().code != ErrorCode::exists || (flags & O_EXCL) != 0) co_return tl::unexpected(node.error());
    // Another mount made it since the kernel looked, so nobody has checked its permissions. Told that the name is
    // stale, the kernel looks once more and opens what it finds as any other file; but if the name comes and goes it
    // gives up after that. So what needs no kernel to decide is opened here.
    Result<FoundEntry> entry = co_await find_entry(parent, name, until);
    if (!entry) co_return tl::unexpected(entry.error());
    Result<LoadedInode> there = fail(ErrorCode::stale_handle);
    if (entry->found) there = co_await read_inode(entry->entry.inode, until);
    if (there && !is_own_file(caller, there->row, flags)) co_return fail(ErrorCode::stale_handle, "exists by now");
    if (there) {
      Result<Opened> opened = co_await this->open(caller, entry->entry.inode, flags);
      // Unlike open's, this answer brings the kernel attributes.
      if (opened) opened->attributes = co_await answer_done(entry->entry.inode, *there, until);
      if (opened || opened.error().code != ErrorCode::stale_handle) co_return opened;
    } else if (there.error().code != ErrorCode::stale_handle) {
      co_return tl::unexpected(there.error());
    }
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "create");
  }
}

// Past the kernel's pages or, if appending was switched on after the open, through them: then the kernel has put the
// bytes where it took the end to be, into pages that may stay locked until this is answered.
Task<Result<std::size_t>> Volume::write_at_end(std::shared_ptr<OpenFile> file, std::uint64_t offset, SharedBytes bytes,
                                               bool clears_set_id, TimePoint deadline) {
  OpenPointer open = file->inode;
  const std::size_t size = bytes.size();
  const Appending appending(open->kernel, !file->cached);
  Result<std::uint64_t> end = co_await append(open, bytes, clears_set_id, deadline);
  if (!end) co_return tl::unexpected(end.error());
  const bool elsewhere = *end != offset + size;
  if (file->cached && elsewhere) {
    pages_are_stale(*open);
    if (!stopping_) tasks_.spawn(executor_, settle_pages(shared_from_this(), open));
  }
  if (!file->cached && (elsewhere || must_tell(*open))) {
    Telling telling;
    telling.raise = elsewhere;  // so that the next append's position is right
    telling.size_follows = !elsewhere;
    telling.written = PageChange::Tail{*end - size, std::move(bytes)};
    // What the kernel is not told in time it has in its queue.
    static_cast<void>(co_await tell_kernel(open, telling, deadline));
  }
  note_written(*open, offset + size);
  co_return size;
}

// Before a write through pages is answered. What was read before its bytes came into them is covered by it. But a page
// that was dropped since and read again has zeros behind the former end. The page in which the write ends the kernel
// keeps locked until the answer, if it was not read before (fs/fuse/file.c, fuse_fill_write_pages): that one is left
// alone unless the former end is in it.
Task<void> Volume::settle_written_pages(OpenPointer open, std::uint64_t end, TimePoint deadline) {
  KernelView& kernel = open->kernel;
  if (!kernel.uncovers(end)) co_return;
  if (!may_have_dropped(kernel)) {
    kernel.cut_at = end;
    co_return;
  }
  Telling telling;
  telling.from = *kernel.cut_at;
  telling.until = end;
  telling.size_follows = true;
  static_cast<void>(co_await tell_kernel(open, telling, deadline));
}

Task<Result<std::size_t>> Volume::write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how) {
  const TimePoint until = deadline();
  Result<std::shared_ptr<OpenFile>> found = file_of(handle);
  if (!found) co_return tl::unexpected(found.error());
  std::shared_ptr<OpenFile> file = *found;
  OpenPointer open = file->inode;
  if (!writable(file->flags)) co_return fail(ErrorCode::bad_handle, "opened for reading");
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
  Status room = co_await wait_for_room(open, bytes.size(), until);
  if (!room) {
    file->reported_error = open->error_number;
    co_return tl::unexpected(room.error());
  }
  kernel_cached_.erase(open->inode);
  const std::size_t size = bytes.size();
  const std::size_t before = open->buffer.cost();
  open->buffer.write(offset, std::move(bytes));
  account(before, open->buffer.cost());
  open->unpublished_modified = write_time(*open);
  if (how.clears_set_id) open->clears_set_id = true;
  if (!open->dirty_since) open->dirty_since = store_.clock().now;
  unsettled_.insert(open->inode);
  if (!file->cached && open->kernel.readers > 0) {
    Telling telling;
    telling.from = offset;
    telling.size_follows = true;
    static_cast<void>(co_await tell_kernel(open, telling, until));
  }
  if (file->cached) co_await settle_written_pages(open, offset + size, until);
  note_written(*open, offset + size);
  if ((flags & (O_SYNC | O_DSYNC)) != 0 || options_.synchronous) {
    Status flushed = co_await flush_inode(open, until);
    if (!flushed) co_return tl::unexpected(flushed.error());
  } else if (open->buffer.has_full_chunk()) {
    start_background(open, Sending::full_chunks);
  }
  co_return size;
}

// Both flush() and fsync(): whatever was written through any handle of the file is durable when this returns.
Task<Status> Volume::flush(Handle handle) {
  Result<std::shared_ptr<OpenFile>> found = file_of(handle);
  if (!found) co_return tl::unexpected(found.error());
  std::shared_ptr<OpenFile> file = *found;
  Status status = co_await flush_inode(file->inode, deadline());
  if (!status) file->reported_error = file->inode->error_number;
  co_return status;
}

Task<void> Volume::release(Handle handle) {
  auto place = files_.find(handle);
  if (place == files_.end()) co_return;
  std::shared_ptr<OpenFile> file = std::move(place->second);
  files_.erase(place);
  OpenPointer open = file->inode;
  if (file->cached) {
    --open->kernel.readers;
    if (writable(file->flags)) --open->kernel.writers;
  } else {
    --open->kernel.direct;
  }
  // Normally flush() came before and nothing is left; pages of shared mappings come after it.
  if (!open->buffer.empty()) {
    Status status = co_await flush_inode(open, deadline());
    const bool last =
        std::none_of(files_.begin(), files_.end(), [&](const auto& other) { return other.second->inode == open; });
    // flush() reported the error; with the last handle nobody is left who could try again.
    if (!status && last && !open->background_running) drop_buffer(*open);
  }
  unpin_inode(open);
}

}  // namespace ringfs::fs
