// libfuse's callbacks: each copies its arguments, starts one coroutine, and that makes one call and one answer.
//
// What libfuse hands over dies with the callback, so every argument of a handler is a value. Handlers are captureless.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "fs/control/control_tree.hpp"
#include "mount/fuse/session.hpp"

namespace ringfs::mount {
namespace {

using Kind = Request::Kind;

FuseSession& session_of(fuse_req_t request) { return *static_cast<FuseSession*>(fuse_req_userdata(request)); }

// One entry of a listing weighs at least this much (struct fuse_dirent and fuse_direntplus of linux/fuse.h with a short
// name).
constexpr std::size_t smallest_entry_bytes = 32;
constexpr std::size_t smallest_entry_plus_bytes = 160;

void init(void* session, fuse_conn_info* connection) { static_cast<FuseSession*>(session)->initialised(*connection); }

// ---- names ------------------------------------------------------------------------------------------

void reply_entry(Request& request, const Result<fs::Attributes>& found) {
  if (found)
    request.entry(*found);
  else
    request.error(found.error());
}

void lookup(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  FuseSession& session = session_of(raw);
  const LookupOf asked{fuse_req_ctx(raw)->pid, fs::InodeNumber{parent}, name};
  if (session.lookup_timeouts().take(asked, std::chrono::steady_clock::now())) {
    fuse_reply_err(raw, ETIMEDOUT);
    return;
  }
  session.start(
      raw, Kind::read, 0,
      [](fs::FileSystem* fs, RequestPointer request, LookupTimeouts* timeouts, LookupOf wanted) -> Task<void> {
        const Result<fs::Attributes> found = co_await fs->lookup(request->caller(), wanted.directory, wanted.name);
        if (!found && found.error().code == ErrorCode::timeout) {
          timeouts->add(std::move(wanted), std::chrono::steady_clock::now());
        }
        reply_entry(*request, found);
      },
      &session.lookup_timeouts(), asked);
}

// There is no state per lookup: the node id is the inode number.
void forget(fuse_req_t raw, fuse_ino_t, uint64_t) { fuse_reply_none(raw); }
void forget_multi(fuse_req_t raw, size_t, fuse_forget_data*) { fuse_reply_none(raw); }

void make_node(fuse_req_t raw, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, std::string entry, std::uint32_t bits,
         std::uint64_t number) -> Task<void> {
        const Result<fs::Attributes> made =
            co_await fs->make_node(request->caller(), directory, std::move(entry), bits, number);
        reply_entry(*request, made);
      },
      fs::InodeNumber{parent}, std::string(name), std::uint32_t{mode}, std::uint64_t{device});
}

void make_directory(fuse_req_t raw, fuse_ino_t parent, const char* name, mode_t mode) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, std::string entry,
         std::uint32_t bits) -> Task<void> {
        const Result<fs::Attributes> made =
            co_await fs->make_directory(request->caller(), directory, std::move(entry), bits);
        reply_entry(*request, made);
      },
      fs::InodeNumber{parent}, std::string(name), std::uint32_t{mode});
}

void make_symlink(fuse_req_t raw, const char* target, fuse_ino_t parent, const char* name) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, std::string entry,
         std::string text) -> Task<void> {
        const Result<fs::Attributes> made =
            co_await fs->make_symlink(request->caller(), directory, std::move(entry), std::move(text));
        reply_entry(*request, made);
      },
      fs::InodeNumber{parent}, std::string(name), std::string(target));
}

void link(fuse_req_t raw, fuse_ino_t inode, fuse_ino_t parent, const char* name) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber file, fs::InodeNumber directory,
         std::string entry) -> Task<void> {
        const Result<fs::Attributes> made = co_await fs->link(request->caller(), file, directory, std::move(entry));
        reply_entry(*request, made);
      },
      fs::InodeNumber{inode}, fs::InodeNumber{parent}, std::string(name));
}

void unlink(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, std::string entry) -> Task<void> {
        const Status done = co_await fs->unlink(request->caller(), directory, std::move(entry));
        request->status(done);
      },
      fs::InodeNumber{parent}, std::string(name));
}

void remove_directory(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, std::string entry) -> Task<void> {
        const Status done = co_await fs->remove_directory(request->caller(), directory, std::move(entry));
        request->status(done);
      },
      fs::InodeNumber{parent}, std::string(name));
}

void rename(fuse_req_t raw, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
            unsigned flags) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber from, std::string old_name, fs::InodeNumber to,
         std::string entry, unsigned how) -> Task<void> {
        const Status done =
            co_await fs->rename(request->caller(), from, std::move(old_name), to, std::move(entry), how);
        request->status(done);
      },
      fs::InodeNumber{parent}, std::string(name), fs::InodeNumber{new_parent}, std::string(new_name), flags);
}

void read_link(fuse_req_t raw, fuse_ino_t inode) {
  session_of(raw).start(
      raw, Kind::read, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber file) -> Task<void> {
        const Result<std::string> target = co_await fs->read_link(request->caller(), file);
        if (target)
          request->link_target(*target);
        else
          request->error(target.error());
      },
      fs::InodeNumber{inode});
}

// ---- attributes -------------------------------------------------------------------------------------

void reply_attributes(Request& request, const Result<fs::Attributes>& found) {
  if (found)
    request.attributes(*found);
  else
    request.error(found.error());
}

std::optional<fs::Handle> handle_of(const fuse_file_info* info) {
  return info != nullptr ? std::optional<fs::Handle>(info->fh) : std::nullopt;
}

void get_attributes(fuse_req_t raw, fuse_ino_t inode, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::read, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber file,
         std::optional<fs::Handle> handle) -> Task<void> {
        const Result<fs::Attributes> found = co_await fs->get_attributes(request->caller(), file, handle);
        reply_attributes(*request, found);
      },
      fs::InodeNumber{inode}, handle_of(info));
}

// Nanoseconds in 64 bits reach from 1677 to 2262; a time beyond becomes the nearest of those.
fs::TimeSpec from_timespec(const timespec& time) {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max() / second;
  if (time.tv_sec >= last) return fs::TimeSpec{last * second};
  if (time.tv_sec < -last) return fs::TimeSpec{-last * second};
  return fs::TimeSpec{static_cast<std::int64_t>(time.tv_sec) * second + time.tv_nsec};
}

fs::SetAttributes changes_of(const struct stat& wanted, int which) {
  fs::SetAttributes changes;
  if ((which & FUSE_SET_ATTR_MODE) != 0) changes.mode = wanted.st_mode & 07777;
  if ((which & FUSE_SET_ATTR_UID) != 0) changes.uid = wanted.st_uid;
  if ((which & FUSE_SET_ATTR_GID) != 0) changes.gid = wanted.st_gid;
  if ((which & FUSE_SET_ATTR_SIZE) != 0) changes.size = static_cast<std::uint64_t>(wanted.st_size);
  if ((which & FUSE_SET_ATTR_ATIME_NOW) != 0)
    changes.accessed_now = true;
  else if ((which & FUSE_SET_ATTR_ATIME) != 0)
    changes.accessed = from_timespec(wanted.st_atim);
  if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0)
    changes.modified_now = true;
  else if ((which & FUSE_SET_ATTR_MTIME) != 0)
    changes.modified = from_timespec(wanted.st_mtim);
  return changes;
}

void set_attributes(fuse_req_t raw, fuse_ino_t inode, struct stat* wanted, int which, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber file, fs::SetAttributes changes,
         std::optional<fs::Handle> handle) -> Task<void> {
        const Result<fs::Attributes> changed =
            co_await fs->set_attributes(request->caller(), file, std::move(changes), handle);
        reply_attributes(*request, changed);
      },
      fs::InodeNumber{inode}, changes_of(*wanted, which), handle_of(info));
}

void file_system_status(fuse_req_t raw, fuse_ino_t) {
  session_of(raw).start(raw, Kind::read, 0, [](fs::FileSystem* fs, RequestPointer request) -> Task<void> {
    const Result<fs::FileSystemStatus> status = co_await fs->status(request->caller());
    if (status)
      request->file_system_status(*status);
    else
      request->error(status.error());
  });
}

// ---- files ------------------------------------------------------------------------------------------

fuse_file_info info_of(fuse_file_info info, const fs::Opened& opened) {
  info.fh = opened.handle;
  info.direct_io = opened.direct_io;
  info.keep_cache = opened.keep_cache;
  return info;
}

void create(fuse_req_t raw, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, std::string entry, std::uint32_t bits,
         fuse_file_info file) -> Task<void> {
        const Result<fs::Opened> opened =
            co_await fs->create(request->caller(), directory, std::move(entry), bits, file.flags);
        if (!opened) {
          request->error(opened.error());
        } else if (!request->created(opened->attributes, info_of(file, *opened))) {
          co_await fs->release(opened->handle);
        }
      },
      fs::InodeNumber{parent}, std::string(name), std::uint32_t{mode}, *info);
}

// Opening `wait` in .ring blocks for as long as it takes; an open that truncates is a mutation, but not in .ring.
Kind kind_of_open(fs::InodeNumber inode, int flags) {
  if (fs::ControlTree::is_wait(inode)) return Kind::wait;
  if (fs::ControlTree::owns(inode)) return Kind::read;
  return (flags & O_TRUNC) != 0 ? Kind::mutation : Kind::read;
}

void open(fuse_req_t raw, fuse_ino_t inode, fuse_file_info* info) {
  session_of(raw).start(
      raw, kind_of_open(inode, info->flags), 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber number, fuse_file_info file) -> Task<void> {
        const Result<fs::Opened> opened = co_await fs->open(request->caller(), number, file.flags);
        if (!opened) {
          request->error(opened.error());
        } else if (!request->opened(info_of(file, *opened))) {
          co_await fs->release(opened->handle);
        }
      },
      fs::InodeNumber{inode}, *info);
}

void read(fuse_req_t raw, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info* info) {
  if (offset < 0) {
    fuse_reply_err(raw, EINVAL);
    return;
  }
  session_of(raw).start(
      raw, fs::ControlTree::is_stream(inode) ? Kind::wait : Kind::read, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle, std::uint64_t from,
         std::size_t bytes) -> Task<void> {
        const Result<fs::ReadResult> result = co_await fs->read(handle, from, bytes);
        if (result)
          request->data(*result);
        else
          request->error(result.error());
      },
      fs::Handle{info->fh}, static_cast<std::uint64_t>(offset), std::size_t{size});
}

void write(fuse_req_t raw, fuse_ino_t inode, const char* bytes, size_t size, off_t offset, fuse_file_info* info) {
  if (offset < 0) {
    fuse_reply_err(raw, EINVAL);
    return;
  }
  FuseSession& session = session_of(raw);
  SharedBytes payload = session.take_payload(bytes, size);
  // mmap writeback carries its own offset: ignore O_APPEND and O_SYNC.
  fs::WriteHow how;
  how.flags = info->writepage ? 0 : info->flags;
  how.clears_set_id = !info->writepage;  // a change through a mapping takes no bits away, as elsewhere in Linux
  session.start(
      raw, fs::ControlTree::owns(inode) ? Kind::command : Kind::mutation, size,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle, std::uint64_t at, SharedBytes data,
         fs::WriteHow mode) -> Task<void> {
        mode.clears_set_id = mode.clears_set_id && request->caller().may_not_keep_set_id();
        const Result<std::size_t> written = co_await fs->write(handle, at, std::move(data), mode);
        if (written)
          request->written(*written);
        else
          request->error(written.error());
      },
      fs::Handle{info->fh}, static_cast<std::uint64_t>(offset), std::move(payload), how);
}

void flush(fuse_req_t raw, fuse_ino_t, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle) -> Task<void> {
        const Status done = co_await fs->flush(handle);
        request->status(done);
      },
      fs::Handle{info->fh});
}

// With datasync or without: sizes and contents become durable together.
void fsync(fuse_req_t raw, fuse_ino_t, int, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle) -> Task<void> {
        const Status done = co_await fs->fsync(handle);
        request->status(done);
      },
      fs::Handle{info->fh});
}

void release(fuse_req_t raw, fuse_ino_t, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle) -> Task<void> {
        co_await fs->release(handle);
        request->error(0);
      },
      fs::Handle{info->fh});
}

// ---- directories ------------------------------------------------------------------------------------

void open_directory(fuse_req_t raw, fuse_ino_t inode, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::read, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::InodeNumber directory, fuse_file_info file) -> Task<void> {
        const Result<fs::Handle> handle = co_await fs->open_directory(request->caller(), directory);
        if (!handle) {
          request->error(handle.error());
          co_return;
        }
        file.fh = *handle;
        if (!request->opened(file)) co_await fs->release_directory(*handle);
      },
      fs::InodeNumber{inode}, *info);
}

void list(fuse_req_t raw, size_t size, off_t cookie, const fuse_file_info* info, bool with_attributes) {
  session_of(raw).start(
      raw, Kind::read, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle, std::uint64_t after, std::size_t bytes,
         bool plus) -> Task<void> {
        const std::size_t most = bytes / (plus ? smallest_entry_plus_bytes : smallest_entry_bytes) + 1;
        const Result<std::vector<fs::DirectoryEntry>> entries = co_await fs->read_directory(handle, after, most, plus);
        if (!entries) {
          request->error(entries.error());
        } else if (!request->answered()) {
          const std::string listing = request->listing(*entries, bytes, plus);
          request->buffer(listing);
        }
      },
      fs::Handle{info->fh}, static_cast<std::uint64_t>(cookie), std::size_t{size}, with_attributes);
}

void read_directory(fuse_req_t raw, fuse_ino_t, size_t size, off_t cookie, fuse_file_info* info) {
  list(raw, size, cookie, info, false);
}
void read_directory_plus(fuse_req_t raw, fuse_ino_t, size_t size, off_t cookie, fuse_file_info* info) {
  list(raw, size, cookie, info, true);
}

void release_directory(fuse_req_t raw, fuse_ino_t, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](fs::FileSystem* fs, RequestPointer request, fs::Handle handle) -> Task<void> {
        co_await fs->release_directory(handle);
        request->error(0);
      },
      fs::Handle{info->fh});
}

// Changes of a directory are durable when their call returns: nothing is left to do.
void fsync_directory(fuse_req_t raw, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(raw, 0); }

}  // namespace

// Not here on purpose: access (default_permissions checks), flock and fcntl locks (the kernel keeps them, within this
// mount), xattrs (ENOSYS at the first question, so that the kernel stops asking for security.capability at every
// write).
const fuse_lowlevel_ops& fuse_operations() {
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops table{};
    table.init = init;
    table.lookup = lookup;
    table.forget = forget;
    table.forget_multi = forget_multi;
    table.getattr = get_attributes;
    table.setattr = set_attributes;
    table.readlink = read_link;
    table.mknod = make_node;
    table.mkdir = make_directory;
    table.unlink = unlink;
    table.rmdir = remove_directory;
    table.symlink = make_symlink;
    table.rename = rename;
    table.link = link;
    table.open = open;
    table.create = create;
    table.read = read;
    table.write = write;
    table.flush = flush;
    table.fsync = fsync;
    table.release = release;
    table.opendir = open_directory;
    table.readdir = read_directory;
    table.readdirplus = read_directory_plus;
    table.releasedir = release_directory;
    table.fsyncdir = fsync_directory;
    table.statfs = file_system_status;
    return table;
  }();
  return operations;
}

}  // namespace ringfs::mount
