// The FUSE connection of one mount: one more descriptor of the mount's loop (docs/design.md#the-mount).
//
// Requests are received and answered on the loop, each by a coroutine of its own (operations.cpp). The node id is the
// inode number. Threads: the loop that it was made with.
// mount() blocks, and comes before the loop runs. Limits: at most max_requests, and max_payload_bytes of writes, are in
// flight; beyond them the kernel's queue waits. This cannot deadlock: every request ends by its deadline, except `wait`
// in .ring, and ControlTree allows far fewer of those. Errors: mount() returns the cause. When the connection ends
// (fusermount3 -u, umount, abort), serve() ends.
#pragma once

#include "mount/fuse/reply.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>
#include <unordered_set>

#include "mount/commands/mount_options.hpp"
#include "mount/fuse/kernel_cache.hpp"
#include "mount/fuse/kernel_recalls.hpp"
#include "mount/fuse/lookup_timeouts.hpp"
#include "mount/fuse/loop_watch.hpp"
#include "mount/fuse/page_notifier.hpp"

namespace ringfs::mount {

inline constexpr std::size_t max_requests = 1024;
inline constexpr std::size_t max_payload_bytes = 64 << 20;
inline constexpr std::size_t max_write_bytes = 1 << 20;

class FuseSession {
 public:
  FuseSession(boost::asio::io_context& loop, fs::FileSystem& file_system, MountOptions options);
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // Blocking (fusermount3 may run). Errors: io_error with the cause; libfuse has printed more to stderr.
  Status mount();
  // Answers requests until the file system is unmounted. Before it ends, every request has been answered. `on_ready` is
  // called after the kernel's INIT.
  Task<void> serve(std::function<void()> on_ready);
  // Unmounts, so that serve() ends. If programs use the mount, it is detached at once; those with open files may go on
  // for `timeout`, then the connection is cut.
  Task<void> unmount(std::chrono::seconds timeout);

  // For the operations.
  fs::FileSystem& file_system() { return file_system_; }
  LookupTimeouts& lookup_timeouts() { return lookup_timeouts_; }
  KernelCache& cache() { return cache_; }
  void initialised(fuse_conn_info& connection);
  // Bytes of the request that is being processed. Large ones take over the receive buffer instead of being copied.
  SharedBytes take_payload(const char* bytes, std::size_t size);

  template <class Handler, class... Arguments>
  void start(fuse_req_t raw, Request::Kind kind, std::size_t payload_bytes, Handler handler, Arguments... arguments) {
    auto request = std::make_shared<Request>(raw, kind, loop_.get_executor(), cache_);
    request->listen_for_interrupts();
    Task<void> task = handler(&file_system_, request, std::move(arguments)...);
    spawn(std::move(request), payload_bytes, std::move(task));
  }

 private:
  void spawn(RequestPointer request, std::size_t payload_bytes, Task<void> task);
  void finished(Request& request, std::size_t payload_bytes, const std::exception_ptr& thrown);
  // Receives and processes one request. EAGAIN: none there; ENODEV: unmounted.
  int receive();
  bool saturated() const { return in_flight_.size() >= max_requests || payload_bytes_ >= max_payload_bytes; }
  void look_at_mount();
  void let_kernel_keep();
  void watch_loop();
  void look_for_suspend();
  void disconnect();

  boost::asio::io_context& loop_;
  fs::FileSystem& file_system_;
  const MountOptions options_;
  fuse_session* session_ = nullptr;
  bool mounted_ = false;
  KernelCache cache_;
  KernelRecalls recalls_;
  PageNotifier pages_;
  LoopWatch loop_watch_;
  boost::asio::steady_timer watch_timer_;
  LookupTimeouts lookup_timeouts_;
  boost::asio::posix::stream_descriptor descriptor_;
  std::string receive_buffer_;
  std::function<void()> on_ready_;
  bool initialised_ = false, looked_at_mount_ = false;
  std::string device_;  // "major:minor" of the mount, known from its first request on
  std::unordered_set<Request*> in_flight_;
  std::size_t payload_bytes_ = 0;
  boost::asio::steady_timer room_;  // cancelled whenever a request finishes
};

// The table of libfuse's callbacks; their user data is the FuseSession.
const fuse_lowlevel_ops& fuse_operations();

}  // namespace ringfs::mount
