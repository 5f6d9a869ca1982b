// libfuse's callbacks: each copies its arguments and starts one coroutine, which makes one call and gives one answer.
//
// libfuse's arguments end with the callback, so every argument of a handler is a value. Handlers capture nothing.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <limits>
#include <type_traits>

#include "fs/control/control_tree.hpp"
#include "mount/fuse/session.hpp"

namespace ringfs::mount {
namespace {

using fs::FileSystem;
using fs::InodeNumber;
using Kind = Request::Kind;

FuseSession& session_of(fuse_req_t request) { return *static_cast<FuseSession*>(fuse_req_userdata(request)); }

void refuse_at(fuse_req_t raw, std::chrono::steady_clock::time_point when) {
  session_of(raw).start(
      raw, Kind::read, 0,
      [](FileSystem*, RequestPointer request, std::chrono::steady_clock::time_point then) -> Task<void> {
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, then);
        boost::system::error_code cancelled;
        co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
        request->error(ESTALE);
      },
      when);
}

// A request for an inode to which a name may lead that was taken back, or one that changes such a name: the kernel
// walks the path again. Never one with a handle, and never a LOOKUP: an error would drop the name, and what is mounted
// on it.
template <class Wanted>
bool refused(fuse_req_t raw, const Wanted& wanted) {
  const auto when = session_of(raw).cache().refuses(wanted, fuse_req_ctx(raw)->pid);
  if (when) refuse_at(raw, *when);
  return when.has_value();
}

// One entry of a listing has at least this size (struct fuse_dirent and fuse_direntplus of linux/fuse.h with a short
// name).
constexpr std::size_t smallest_entry_bytes = 32;
constexpr std::size_t smallest_entry_plus_bytes = 160;

void init(void* session, fuse_conn_info* connection) { static_cast<FuseSession*>(session)->initialised(*connection); }

// Most operations are one call and one answer. `reply` is the member of Request that answers with what the call gave;
// a call that gives a Status, or nothing, needs none.
template <auto call, auto reply, class... Arguments>
Task<void> call_and_reply(FileSystem* fs, RequestPointer request, Arguments... arguments) {
  auto task = [&] {
    if constexpr (std::is_invocable_v<decltype(call), FileSystem*, fs::Caller, Arguments...>)
      return (fs->*call)(request->caller(), std::move(arguments)...);
    else
      return (fs->*call)(std::move(arguments)...);
  }();
  using Answer = typename decltype(task)::value_type;
  if constexpr (std::is_void_v<Answer>) {
    co_await std::move(task);
    request->error(0);
  } else {
    const Answer answer = co_await std::move(task);
    if constexpr (std::is_same_v<Answer, Status>)
      request->status(answer);
    else if (answer)
      (request.get()->*reply)(*answer);
    else
      request->error(answer.error());
  }
}

template <auto call, auto reply = nullptr, class... Arguments>
void run(fuse_req_t raw, Kind kind, Arguments... arguments) {
  session_of(raw).start(raw, kind, 0, call_and_reply<call, reply, Arguments...>, std::move(arguments)...);
}

// ---- names ------------------------------------------------------------------------------------------

void lookup(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  FuseSession& session = session_of(raw);
  session.cache().known().asked(parent);
  const LookupOf asked{fuse_req_ctx(raw)->pid, InodeNumber{parent}, name};
  if (session.lookup_timeouts().take(asked, std::chrono::steady_clock::now())) {
    fuse_reply_err(raw, ETIMEDOUT);
    return;
  }
  session.start(
      raw, Kind::read, 0,
      [](FileSystem* fs, RequestPointer request, LookupTimeouts* timeouts, LookupOf wanted) -> Task<void> {
        const Result<fs::Attributes> found = co_await fs->lookup(request->caller(), wanted.directory, wanted.name);
        if (!found && found.error().code == ErrorCode::timeout) {
          timeouts->add(wanted, std::chrono::steady_clock::now());
        }
        if (found)
          request->entry({wanted.directory, wanted.name}, *found);
        else
          request->no_entry({wanted.directory, wanted.name}, found.error());
      },
      &session.lookup_timeouts(), asked);
}

// The node id is the inode number.
void forget(fuse_req_t raw, fuse_ino_t inode, uint64_t lookups) {
  session_of(raw).cache().known().forget(inode, lookups);
  fuse_reply_none(raw);
}
void forget_multi(fuse_req_t raw, size_t count, fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i) session_of(raw).cache().known().forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(raw);
}

void make_node(fuse_req_t raw, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  run<&FileSystem::make_node, &Request::made>(raw, Kind::mutation, InodeNumber{parent}, std::string(name),
                                              std::uint32_t{mode}, std::uint64_t{device});
}

void make_directory(fuse_req_t raw, fuse_ino_t parent, const char* name, mode_t mode) {
  run<&FileSystem::make_directory, &Request::made>(raw, Kind::mutation, InodeNumber{parent}, std::string(name),
                                                   std::uint32_t{mode});
}

void make_symlink(fuse_req_t raw, const char* target, fuse_ino_t parent, const char* name) {
  run<&FileSystem::make_symlink, &Request::made>(raw, Kind::mutation, InodeNumber{parent}, std::string(name),
                                                 std::string(target));
}

void link(fuse_req_t raw, fuse_ino_t inode, fuse_ino_t parent, const char* name) {
  if (refused(raw, InodeNumber{inode})) return;
  run<&FileSystem::link, &Request::made>(raw, Kind::mutation, InodeNumber{inode}, InodeNumber{parent},
                                         std::string(name));
}

void unlink(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  if (refused(raw, StaleMarks::Name{parent, name})) return;
  run<&FileSystem::unlink>(raw, Kind::mutation, InodeNumber{parent}, std::string(name));
}

void remove_directory(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  if (refused(raw, StaleMarks::Name{parent, name})) return;
  run<&FileSystem::remove_directory>(raw, Kind::mutation, InodeNumber{parent}, std::string(name));
}

// The kernel moves its names with the answer, as long as they were kept.
void rename(fuse_req_t raw, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
            unsigned flags) {
  if (refused(raw, StaleMarks::Name{parent, name}) || refused(raw, StaleMarks::Name{new_parent, new_name})) return;
  FuseSession& session = session_of(raw);
  session.start(
      raw, Kind::mutation, 0,
      [](FileSystem* fs, RequestPointer request, KernelCache* cache, StaleMarks::Name from, StaleMarks::Name to,
         unsigned how) -> Task<void> {
        const Status renamed =
            co_await fs->rename(request->caller(), from.first, from.second, to.first, to.second, how);
        if (renamed && (how & RENAME_EXCHANGE) != 0)
          cache->marks().exchanged(from, to);
        else if (renamed)
          cache->marks().moved(from, to);
        request->status(renamed);
      },
      &session.cache(), StaleMarks::Name{parent, name}, StaleMarks::Name{new_parent, new_name}, flags);
}

void read_link(fuse_req_t raw, fuse_ino_t inode) {
  if (refused(raw, InodeNumber{inode})) return;
  run<&FileSystem::read_link, &Request::link_target>(raw, Kind::read, InodeNumber{inode});
}

// ---- attributes -------------------------------------------------------------------------------------

void get_attributes(fuse_req_t raw, fuse_ino_t inode, fuse_file_info* info) {
  if (info == nullptr && refused(raw, InodeNumber{inode})) return;
  session_of(raw).cache().known().asked(inode);
  run<&FileSystem::get_attributes, &Request::attributes>(raw, Kind::read, InodeNumber{inode});
}

// Nanoseconds in 64 bits reach from 1677 to 2262. A time beyond becomes the nearest of those.
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
  if (info == nullptr && refused(raw, InodeNumber{inode})) return;
  run<&FileSystem::set_attributes, &Request::set_attributes>(raw, Kind::mutation, InodeNumber{inode},
                                                             changes_of(*wanted, which));
}

void file_system_status(fuse_req_t raw, fuse_ino_t) {
  run<&FileSystem::status, &Request::file_system_status>(raw, Kind::read);
}

// ---- files ------------------------------------------------------------------------------------------

fuse_file_info info_of(fuse_file_info info, const fs::Opened& opened) {
  info.fh = opened.handle;
  info.direct_io = opened.direct_io;
  info.keep_cache = opened.keep_cache;
  info.noflush = opened.no_flush;
  return info;
}

void create(fuse_req_t raw, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  session_of(raw).start(
      raw, Kind::mutation, 0,
      [](FileSystem* fs, RequestPointer request, InodeNumber directory, std::string entry, std::uint32_t bits,
         fuse_file_info file) -> Task<void> {
        const Result<fs::Opened> opened =
            co_await fs->create(request->caller(), directory, std::move(entry), bits, file.flags);
        if (!opened) {
          request->error(opened.error());
        } else if (!request->created(opened->attributes, info_of(file, *opened))) {
          co_await fs->release(opened->handle);
        }
      },
      InodeNumber{parent}, std::string(name), std::uint32_t{mode}, *info);
}

// Opening `wait` in .ring has no time limit. An open that truncates is a mutation, but not in .ring.
Kind kind_of_open(InodeNumber inode, int flags) {
  if (fs::ControlTree::is_wait(inode)) return Kind::wait;
  if (fs::ControlTree::owns(inode)) return Kind::read;
  return (flags & O_TRUNC) != 0 ? Kind::mutation : Kind::read;
}

void open(fuse_req_t raw, fuse_ino_t inode, fuse_file_info* info) {
  session_of(raw).cache().known().asked(inode);
  if (refused(raw, InodeNumber{inode})) return;
  session_of(raw).start(
      raw, kind_of_open(inode, info->flags), 0,
      [](FileSystem* fs, RequestPointer request, InodeNumber number, fuse_file_info file) -> Task<void> {
        const Result<fs::Opened> opened = co_await fs->open(request->caller(), number, file.flags);
        if (!opened) {
          request->error(opened.error());
        } else if (!request->opened(info_of(file, *opened))) {
          co_await fs->release(opened->handle);
        }
      },
      InodeNumber{inode}, *info);
}

void read(fuse_req_t raw, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info* info) {
  if (offset < 0) {
    fuse_reply_err(raw, EINVAL);
    return;
  }
  const Kind kind = fs::ControlTree::is_stream(inode) ? Kind::wait : Kind::read;
  run<&FileSystem::read, &Request::data>(raw, kind, fs::Handle{info->fh}, static_cast<std::uint64_t>(offset),
                                         std::size_t{size});
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
  // A change through a mapping takes no bits away, as elsewhere in Linux.
  how.clears_set_id = !info->writepage && caller_of(raw).may_not_keep_set_id();
  session.start(
      raw, fs::ControlTree::owns(inode) ? Kind::command : Kind::mutation, size,
      call_and_reply<&FileSystem::write, &Request::written, fs::Handle, std::uint64_t, SharedBytes, fs::WriteHow>,
      fs::Handle{info->fh}, static_cast<std::uint64_t>(offset), std::move(payload), how);
}

void flush(fuse_req_t raw, fuse_ino_t, fuse_file_info* info) {
  run<&FileSystem::flush>(raw, Kind::mutation, fs::Handle{info->fh});
}

// datasync makes no difference: sizes and contents become durable together.
void fsync(fuse_req_t raw, fuse_ino_t, int, fuse_file_info* info) {
  run<&FileSystem::flush>(raw, Kind::mutation, fs::Handle{info->fh});
}

void release(fuse_req_t raw, fuse_ino_t, fuse_file_info* info) {
  run<&FileSystem::release>(raw, Kind::mutation, fs::Handle{info->fh});
}

// ---- directories ------------------------------------------------------------------------------------

void open_directory(fuse_req_t raw, fuse_ino_t inode, fuse_file_info* info) {
  session_of(raw).cache().known().asked(inode);
  if (refused(raw, InodeNumber{inode})) return;
  session_of(raw).start(
      raw, Kind::read, 0,
      [](FileSystem* fs, RequestPointer request, InodeNumber directory, fuse_file_info file) -> Task<void> {
        const Result<fs::Handle> handle = co_await fs->open_directory(request->caller(), directory);
        if (!handle) {
          request->error(handle.error());
          co_return;
        }
        file.fh = *handle;
        if (!request->opened(file)) co_await fs->release_directory(*handle);
      },
      InodeNumber{inode}, *info);
}

void list(fuse_req_t raw, fuse_ino_t inode, size_t size, off_t cookie, const fuse_file_info* info,
          bool with_attributes) {
  session_of(raw).start(
      raw, Kind::read, 0,
      [](FileSystem* fs, RequestPointer request, InodeNumber directory, fs::Handle handle, std::uint64_t after,
         std::size_t bytes, bool plus) -> Task<void> {
        const std::size_t most = bytes / (plus ? smallest_entry_plus_bytes : smallest_entry_bytes) + 1;
        const Result<std::vector<fs::DirectoryEntry>> entries = co_await fs->read_directory(handle, after, most, plus);
        if (!entries) {
          request->error(entries.error());
        } else {
          request->listing(directory, *entries, bytes, plus);
        }
      },
      InodeNumber{inode}, fs::Handle{info->fh}, static_cast<std::uint64_t>(cookie), std::size_t{size}, with_attributes);
}

void read_directory(fuse_req_t raw, fuse_ino_t inode, size_t size, off_t cookie, fuse_file_info* info) {
  list(raw, inode, size, cookie, info, false);
}
void read_directory_plus(fuse_req_t raw, fuse_ino_t inode, size_t size, off_t cookie, fuse_file_info* info) {
  list(raw, inode, size, cookie, info, true);
}

void release_directory(fuse_req_t raw, fuse_ino_t, fuse_file_info* info) {
  run<&FileSystem::release_directory>(raw, Kind::mutation, fs::Handle{info->fh});
}

// Changes of a directory are durable when their call returns: nothing is left to do.
void fsync_directory(fuse_req_t raw, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(raw, 0); }

}  // namespace

// Left out on purpose: access (default_permissions checks), flock and fcntl locks (the kernel keeps them, within this
// mount), xattrs (the first one gives ENOSYS, and the kernel does not ask for security.capability at every write).
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
