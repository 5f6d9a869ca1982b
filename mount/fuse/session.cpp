// The FUSE connection: mounting, receiving, unmounting.
#include "mount/fuse/session.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <spdlog/spdlog.h>

#include "dht/base/descriptor.hpp"
#include "mount/commands/mount_table.hpp"
#include "mount/commands/process.hpp"

namespace ringfs::mount {
namespace {

namespace asio = boost::asio;

constexpr int max_requests_a_turn = 32;   // received before the coroutines get their turn
constexpr unsigned max_background = 128;  // the kernel's read-ahead and asynchronous requests
constexpr unsigned read_ahead_bytes = 1 << 20;
constexpr std::size_t take_over_bytes = 512 << 10;  // smaller payloads are cheaper to copy than a new receive buffer
constexpr auto unmount_look = std::chrono::milliseconds(20);

// libfuse reads up to this size: FUSE_MAX_MAX_PAGES (256) pages and a page for the header. Since 3.17 it grows the
// buffer itself, so there it must allocate it.
std::size_t receive_bytes() { return 256 * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + 0x1000; }
constexpr bool own_receive_buffer = FUSE_VERSION < FUSE_MAKE_VERSION(3, 17);

std::optional<MountEntry> find_mount(const std::string& mount_point) {
  Result<std::optional<MountEntry>> entry = mount_at(mount_point);
  if (entry) return std::move(*entry);
  spdlog::warn("event=mount_not_found path={} error=\"{}\"", mount_point, entry.error().context);
  return std::nullopt;
}

}  // namespace

FuseSession::FuseSession(asio::io_context& loop, fs::FileSystem& file_system, MountOptions options)
    : loop_(loop),
      file_system_(file_system),
      options_(std::move(options)),
      cache_(file_system, options_),
      recalls_(loop, file_system, cache_),
      watch_timer_(loop),
      descriptor_(loop),
      room_(loop) {
  room_.expires_at(asio::steady_timer::time_point::max());
  file_system_.add_metrics([this] { return cache_.metrics_text(); });
}

FuseSession::~FuseSession() {
  file_system_.on_pages_changed(nullptr);
  file_system_.on_kernel_recall(nullptr);
  file_system_.add_metrics(nullptr);
  disconnect();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

// From here on programs with open files get ENOTCONN instead of waiting for answers that will not come.
void FuseSession::disconnect() {
  pages_.stop();
  recalls_.stop();
  watch_timer_.cancel();
  if (descriptor_.is_open()) descriptor_.release();  // libfuse owns and closes it
  if (!mounted_) return;
  mounted_ = false;
  const std::optional<MountEntry> entry = find_mount(options_.mount_point);
  if (entry && (device_.empty() || entry->device == device_)) {
    fuse_session_unmount(session_);
    return;
  }
  // It is unmounted already, and libfuse would unmount whatever is at the path now. Its descriptor is replaced by one
  // that it may close.
  const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.value >= 0) ::dup3(null.value, fuse_session_fd(session_), O_CLOEXEC);
}

Status FuseSession::mount() {
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "ringfs");
  for (const std::string& argument : options_.fuse_arguments()) fuse_opt_add_arg(&arguments, argument.c_str());
  const fuse_lowlevel_ops& operations = fuse_operations();
  session_ = fuse_session_new(&arguments, &operations, sizeof operations, this);
  fuse_opt_free_args(&arguments);
  if (session_ == nullptr) return fail(ErrorCode::invalid_argument, "libfuse refuses the mount options");
  errno = 0;
  if (fuse_session_mount(session_, options_.mount_point.c_str()) != 0) {
    const std::string cause = errno != 0 ? std::strerror(errno) : "see above";
    return fail(ErrorCode::io_error, "cannot mount on " + options_.mount_point + " (" + cause + ")");
  }
  mounted_ = true;
  boost::system::error_code error;
  descriptor_.assign(fuse_session_fd(session_), error);
  if (!error) descriptor_.native_non_blocking(true, error);
  if (error) return fail(ErrorCode::io_error, "cannot watch /dev/fuse: " + error.message());
  pages_.start([this](const fs::PageChange& change) { tell_kernel(session_, change); });
  file_system_.on_pages_changed([this](fs::PageChange change, std::function<void()> done) {
    std::function<void()> posted = [this, done = std::move(done)] { asio::post(loop_, done); };
    pages_.change(std::move(change), std::move(posted));
  });
  return {};
}

// From INIT on, which says what the kernel can be told.
void FuseSession::let_kernel_keep() {
  recalls_.start(
      [this](fs::InodeNumber inode) {
        // A negative offset: no pages. It takes no lock that a program's operation holds.
        return -fuse_lowlevel_notify_inval_inode(session_, inode, -1, 0);
      },
      [this](fs::InodeNumber directory, const std::string& name) {
        return -fuse_lowlevel_notify_expire_entry(session_, directory, name.data(), name.size(), FUSE_LL_EXPIRE_ONLY);
      });
  watch_loop();
}

void FuseSession::watch_loop() {
  const auto due = std::chrono::steady_clock::now() + LoopWatch::interval;
  watch_timer_.expires_at(due);
  watch_timer_.async_wait([this, due](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    file_system_.loop_was_late(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - due));
    look_for_suspend();
    watch_loop();
  });
}

void FuseSession::look_for_suspend() {
  const auto time_of = [](clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  if (loop_watch_.slept(time_of(CLOCK_MONOTONIC), time_of(CLOCK_BOOTTIME))) file_system_.leases_are_void();
}

void FuseSession::initialised(fuse_conn_info& connection) {
  const auto want = [&connection](unsigned capability, bool wanted) {
    if (wanted && (connection.capable & capability) != 0)
      connection.want |= capability;
    else
      connection.want &= ~capability;
  };
  want(FUSE_CAP_ASYNC_READ, true);
  want(FUSE_CAP_ASYNC_DIO, true);
  want(FUSE_CAP_PARALLEL_DIROPS, true);
  want(FUSE_CAP_READDIRPLUS, true);
  want(FUSE_CAP_READDIRPLUS_AUTO, true);
  want(FUSE_CAP_ATOMIC_O_TRUNC, true);
  // File handles (name_to_handle_at, NFS): an inode number is never reused, so any mount finds the inode again.
  want(FUSE_CAP_EXPORT_SUPPORT, true);
  // With the first, nearly every read asks for attributes first. With the second, a size that another mount changed
  // moves the end of the file, and its last page keeps zeros behind the old end. Without both, pages are dropped when
  // the size changes. pages_ tells the kernel what must be gone before it hears of a size, and changes that the size
  // does not show.
  want(FUSE_CAP_AUTO_INVAL_DATA, false);
  want(FUSE_CAP_EXPLICIT_INVAL_DATA, false);
  want(FUSE_CAP_WRITEBACK_CACHE, false);
  // The commit that changes contents clears set-user-id and set-group-id bits, by the mode that the ring has then
  // (fs/inode_changes.hpp, clear_set_id). The kernel would use the mode that it remembers, and leaves out direct writes
  // and O_TRUNC.
  want(FUSE_CAP_HANDLE_KILLPRIV, true);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
  want(FUSE_CAP_HANDLE_KILLPRIV_V2, true);
#endif
  want(FUSE_CAP_SPLICE_READ, false);  // payloads are kept in memory; a pipe would be one more copy
  want(FUSE_CAP_SPLICE_WRITE, false);
  want(FUSE_CAP_SPLICE_MOVE, false);
  want(FUSE_CAP_POSIX_ACL, false);
  want(FUSE_CAP_CACHE_SYMLINKS, false);
  connection.max_write = max_write_bytes;
  connection.max_readahead = std::max(connection.max_readahead, read_ahead_bytes);
  connection.max_background = max_background;
  connection.congestion_threshold = max_background * 3 / 4;
  connection.time_gran = 1;
  if ((connection.capable & FUSE_CAP_EXPIRE_ONLY) == 0) cache_.only_attributes();
  if (cache_.keeps_attributes()) let_kernel_keep();
  initialised_ = true;
  if (on_ready_) asio::post(loop_, std::exchange(on_ready_, nullptr));
}

SharedBytes FuseSession::take_payload(const char* bytes, std::size_t size) {
  const char* begin = receive_buffer_.data();
  const bool inside = !receive_buffer_.empty() && bytes >= begin && bytes + size <= begin + receive_buffer_.size();
  if (!inside || size < take_over_bytes) return SharedBytes(std::string(bytes, size));
  const auto offset = static_cast<std::size_t>(bytes - begin);
  return SharedBytes(SharedBytes(std::move(receive_buffer_)), offset, size);
}

int FuseSession::receive() {
  fuse_buf buffer{};
  if (own_receive_buffer) {
    if (receive_buffer_.size() != receive_bytes()) receive_buffer_.assign(receive_bytes(), '\0');
    buffer.mem = receive_buffer_.data();
  }
  const int result = fuse_session_receive_buf(session_, &buffer);
  if (result > 0) {
    // The read-ahead can be raised at the first request after INIT was answered.
    if (initialised_ && !looked_at_mount_) look_at_mount();
    fuse_session_process_buf(session_, &buffer);
  }
  if (!own_receive_buffer) free(buffer.mem);
  if (result > 0) return 0;
  return result == 0 ? ENODEV : -result;
}

Task<void> FuseSession::serve(std::function<void()> on_ready) {
  on_ready_ = std::move(on_ready);
  while (!fuse_session_exited(session_)) {
    boost::system::error_code error;
    if (saturated()) {
      co_await room_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (cache_.keeps_attributes()) look_for_suspend();
    int result = 0;
    for (int i = 0; i < max_requests_a_turn && result == 0 && !saturated(); ++i) result = receive();
    if (result == ENODEV) break;
    if (result == 0) {
      co_await asio::post(loop_, asio::use_awaitable);
    } else if (result == EAGAIN || result == EINTR) {
      co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                                      asio::redirect_error(asio::use_awaitable, error));
    } else {
      spdlog::error("event=fuse_read_failed error=\"{}\"", std::strerror(result));
      break;
    }
  }
  disconnect();
  // No program waits for these answers any more, but the operations go to their ends. Each ends by its deadline.
  const std::vector<Request*> rest(in_flight_.begin(), in_flight_.end());
  for (Request* request : rest) request->interrupt();
  while (!in_flight_.empty()) {
    boost::system::error_code error;
    co_await room_.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

void FuseSession::spawn(RequestPointer request, std::size_t payload_bytes, Task<void> task) {
  in_flight_.insert(request.get());
  payload_bytes_ += payload_bytes;
  const asio::cancellation_slot slot = request->cancellation_slot();
  asio::co_spawn(loop_, std::move(task),
                 asio::bind_cancellation_slot(
                     slot, [this, request = std::move(request), payload_bytes](const std::exception_ptr& thrown) {
                       finished(*request, payload_bytes, thrown);
                     }));
}

void FuseSession::finished(Request& request, std::size_t payload_bytes, const std::exception_ptr& thrown) {
  if (thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& error) {
      if (error.code() == asio::error::operation_aborted)
        request.error(EINTR);
      else
        spdlog::error("event=request_failed error=\"{}\"", error.what());
    } catch (const std::exception& error) {
      spdlog::error("event=request_failed error=\"{}\"", error.what());
    }
    request.error(EIO);  // unless it was answered
  }
  in_flight_.erase(&request);
  payload_bytes_ -= payload_bytes;
  room_.cancel();
}

// The kernel gives every new mount 128 KiB of read-ahead. Only root may raise it, and only after INIT
// (docs/design.md#the-mount).
void FuseSession::look_at_mount() {
  looked_at_mount_ = true;
  const std::optional<MountEntry> entry = find_mount(options_.mount_point);
  if (!entry || entry->type != ringfs_mount_type) return;
  device_ = entry->device;
  std::ofstream file("/sys/class/bdi/" + device_ + "/read_ahead_kb");
  file << read_ahead_bytes / 1024 << std::flush;
  spdlog::debug("event=read_ahead_set device={} permitted={}", device_, file.good());
}

Task<void> FuseSession::unmount(std::chrono::seconds timeout) {
  const std::string& path = options_.mount_point;
  asio::steady_timer timer(loop_);
  for (const bool lazily : {false, true}) {
    std::vector<std::string> command = {"fusermount3", "-u", "-q"};
    if (lazily) command.emplace_back("-z");
    command.push_back(path);
    SpawnOptions options;
    options.arguments = std::move(command);
    Result<pid_t> child = spawn_process(options);
    std::optional<int> code;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (child && !code && std::chrono::steady_clock::now() < end) {
      code = exit_code_of(*child);
      if (code) break;
      timer.expires_after(unmount_look);
      co_await timer.async_wait(asio::use_awaitable);
    }
    if (code == 0) break;
    if (!lazily) spdlog::warn("event=unmount_busy path={} action=detach", path);
  }
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!fuse_session_exited(session_) && std::chrono::steady_clock::now() < end) {
    timer.expires_after(unmount_look);
    co_await timer.async_wait(asio::use_awaitable);
  }
  if (!fuse_session_exited(session_)) {
    spdlog::warn("event=mount_cut path={} reason=\"still in use\"", path);
    // Its threads may wait in the kernel for pages that only answers unlock. Every request is answered by its deadline.
    pages_.close();
    recalls_.close();
    while (!(pages_.idle() && recalls_.idle()) && !fuse_session_exited(session_)) {
      timer.expires_after(unmount_look);
      co_await timer.async_wait(asio::use_awaitable);
    }
    fuse_session_exit(session_);
    boost::system::error_code ignored;
    descriptor_.cancel(ignored);
    room_.cancel();
  }
}

}  // namespace ringfs::mount
