// Opening, creating and closing files.
#include <fcntl.h>

#include <algorithm>

#include "fs/contents/open_files.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t max_files = 1 << 20;  // open at once

// A regular file of the caller whose mode grants what is asked for: the kernel would not refuse it.
bool is_own_file(const Caller& caller, const InodeRow& row, int flags) {
  std::uint32_t wanted = 0;
  if ((flags & O_ACCMODE) != O_WRONLY) wanted |= S_IRUSR;
  if (is_writable(flags) || (flags & O_TRUNC) != 0) wanted |= S_IWUSR;
  return row.is_regular() && row.uid == caller.uid && (row.mode & wanted) == wanted;
}

}  // namespace

Result<std::shared_ptr<OpenFile>> OpenFiles::file_of(Handle handle) const {
  auto place = files_.find(handle);
  if (place == files_.end()) return fail(ErrorCode::bad_handle);
  return place->second;
}

Opened OpenFiles::add_handle(const OpenPointer& open, int flags) {
  auto file = std::make_shared<OpenFile>();
  file->inode = open;
  file->flags = flags;
  file->cached = !((flags & O_APPEND) != 0 && is_writable(flags));
  file->reported_error = open->error_number;
  ++open->users;
  KernelView& kernel = open->kernel;
  if (!kernel.is_used()) {
    // Nobody read here before: whatever the kernel was told, reads from now on reach to the present end. The answer to
    // an open brings no size, so the kernel's is that of an older answer.
    const std::uint64_t end = open->end();
    const std::optional<GivenSize> given = contents_.kernel_sizes.given(open->inode);
    kernel.size = given ? given->size : end;
    kernel.told = std::max(kernel.size, end);
    kernel.stale = false;
  }
  // Pages that other handles read through are right for this one, too. A page that is dropped now could lose bytes that
  // a write has just put there.
  const bool in_use = instance_.pages_changed && kernel.readers > 0 && !kernel.stale && !kernel.telling.locked();
  if (file->cached) {
    if (kernel.readers == 0) kernel.cut_at.reset();  // it drops its pages with the answer, unless keep_cache
    ++kernel.readers;
    if (is_writable(flags)) ++kernel.writers;
  } else {
    ++kernel.direct;
  }
  Opened opened;
  opened.handle = instance_.next_handle();
  opened.attributes = open_inodes_.overlay_attributes(open->inode, LoadedInode{open->row, open->version});
  opened.direct_io = !file->cached;
  std::optional<std::int64_t> seen = open_inodes_.kernel_cached.get(open->inode);
  opened.keep_cache = in_use || (file->cached && open->buffer.empty() && seen == open->row.change);
  opened.no_flush = !is_writable(flags);
  if (!opened.keep_cache || !open->buffer.empty()) open_inodes_.kernel_cached.erase(open->inode);
  if (file->cached && !opened.keep_cache) file->dropped_at = open->row.change;
  if (!opened.keep_cache) {
    kernel.dropped = instance_.now();
  } else if (!in_use) {
    open->kernel.note_read(open->end());  // by an earlier reader
  }
  files_.emplace(opened.handle, std::move(file));
  return opened;
}

// From here on an open may be told to keep the pages, if the contents are still the same.
void OpenFiles::pages_are_dropped(OpenFile& file) {
  if (!file.dropped_at) return;
  const OpenInode& open = *file.inode;
  if (open.row.change == *file.dropped_at && open.buffer.empty()) {
    open_inodes_.kernel_cached.put(open.inode, open.row.change);
  }
  file.dropped_at.reset();
}

// Pages that others changed are dropped before one more handle reads here. And bytes of the last page that are on their
// way to the kernel arrive before a program can write through its pages: kernel_pages.cpp.
Task<Status> OpenFiles::settle_before_open(OpenPointer open, bool writes_pages, TimePoint deadline) {
  KernelView& kernel = open->kernel;
  while (instance_.pages_changed && kernel.readers > 0 && (kernel.stale || kernel.telling.locked())) {
    KernelPages::Telling telling;
    Status told = co_await contents_.kernel_pages.tell(open, telling, deadline);
    if (!told) break;  // the pages are stale, and the kernel drops them with the answer
  }
  if (writes_pages && (kernel.telling.locked() || kernel.storing > 0)) {
    co_return fail(ErrorCode::timeout, "the kernel's pages are busy");
  }
  co_return Status();
}

Task<Result<Opened>> OpenFiles::open(Caller caller, InodeNumber inode, int flags) {
  const TimePoint until = instance_.deadline();
  if (files_.size() >= max_files) co_return fail(ErrorCode::overloaded, "open files");
  // Also with O_RDONLY, as in Linux: the kernel has checked write permission.
  if ((flags & O_TRUNC) != 0) {
    Status emptied = co_await contents_.writer.set_size(inode, 0, caller.may_not_keep_set_id(), until);
    if (!emptied) co_return tl::unexpected(emptied.error());
    contents_.kernel_sizes.note_given(inode, 0);
  }
  OpenInodes::Pin pin(open_inodes_, inode);
  const OpenPointer& open = pin.pointer();
  Status fresh = co_await open_inodes_.refresh(open, until);
  if (!fresh) co_return tl::unexpected(fresh.error());
  if (open->row.is_directory()) co_return fail(ErrorCode::is_directory);
  if (S_ISLNK(open->row.mode)) co_return fail(ErrorCode::symlink_loop);
  const bool writes_pages = is_writable(flags) && (flags & O_APPEND) == 0;
  Status settled = co_await settle_before_open(open, writes_pages, until);
  if (!settled) co_return tl::unexpected(settled.error());
  co_return add_handle(open, flags);
}

Task<Result<Opened>> OpenFiles::create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                       int flags) {
  const TimePoint until = instance_.deadline();
  if (files_.size() >= max_files) co_return fail(ErrorCode::overloaded, "open files");
  const std::uint32_t type = (mode & S_IFMT) == 0 ? S_IFREG : mode & S_IFMT;
  if (type != S_IFREG) co_return fail(ErrorCode::invalid_argument, "create of a special file");
  const std::uint32_t full_mode = type | caller.permissions(mode);
  Retry retry(instance_.store, until);
  for (;;) {
    std::string copy = name;
    Result<NewNode> node =
        co_await names_.create_node(caller, parent, std::move(copy), full_mode, 0, std::string(), until);
    if (node) {
      OpenInodes::Pin pin(open_inodes_, node->inode);
      const OpenPointer& open = pin.pointer();
      open_inodes_.adopt(*open, node->loaded, nullptr);
      if (open->version == node->loaded.version) open->inline_known = true;  // and empty
      contents_.kernel_sizes.note_given(node->inode, 0);
      co_return add_handle(open, flags);
    }
    if (node.error().code != ErrorCode::exists || (flags & O_EXCL) != 0) co_return tl::unexpected(node.error());
    // Another mount made it since the kernel looked, so its permissions are unchecked. On stale_handle the kernel looks
    // once more, and opens what it finds as any other file; but if the name comes and goes, it gives up after that. So
    // a file that needs no check is opened here.
    Result<FoundEntry> entry = co_await names_.find_entry(parent, name, until);
    if (!entry) co_return tl::unexpected(entry.error());
    Result<LoadedInode> there = fail(ErrorCode::stale_handle);
    if (entry->found) there = co_await inodes_.read(entry->entry.inode, until);
    if (there && !is_own_file(caller, there->row, flags)) co_return fail(ErrorCode::stale_handle, "exists by now");
    if (there) {
      Result<Opened> opened = co_await this->open(caller, entry->entry.inode, flags);
      // Unlike the answer to an open, this one has attributes.
      if (opened) opened->attributes = co_await contents_.kernel_pages.answer_done(entry->entry.inode, *there, until);
      if (opened || opened.error().code != ErrorCode::stale_handle) co_return opened;
    } else if (there.error().code != ErrorCode::stale_handle) {
      co_return tl::unexpected(there.error());
    }
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "create");
  }
}

Task<void> OpenFiles::release(Handle handle) {
  auto place = files_.find(handle);
  if (place == files_.end()) co_return;
  std::shared_ptr<OpenFile> file = std::move(place->second);
  files_.erase(place);
  pages_are_dropped(*file);
  OpenPointer open = file->inode;
  if (file->cached) {
    --open->kernel.readers;
    if (is_writable(file->flags)) --open->kernel.writers;
  } else {
    --open->kernel.direct;
  }
  // Usually flush() has left nothing. But pages of shared mappings are written after it.
  if (!open->buffer.empty()) {
    Status status = co_await contents_.writer.flush(open, instance_.deadline());
    const bool last =
        std::none_of(files_.begin(), files_.end(), [&](const auto& other) { return other.second->inode == open; });
    // flush() has reported the error, and there is no handle left to try again.
    if (!status && last && !open->background_running) contents_.writer.drop_buffer(*open);
  }
  open_inodes_.unpin(open);
}

}  // namespace ringfs::fs
