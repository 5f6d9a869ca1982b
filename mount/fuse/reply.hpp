// One request of the kernel and its one answer.
//
// A coroutine owns the Request that it answers. A Request that is destroyed unanswered answers EIO, so that no process
// hangs by a bug of ours. Every answering function returns whether the kernel took the answer. False: a signal ended
// the request before, or the kernel no longer wants the answer; a handle that it would have brought must then be
// released. FUSE_INTERRUPT (docs/design.md#the-mount): a `wait` ends at once with EINTR. A `read` gets EINTR only if it
// is still unanswered `interrupt_timeout` later; its coroutine goes on. A `mutation` is awaited. A `command` notices
// the signal and ends before its next step. Threads: the mount's loop. Errors: ErrorCode becomes an errno by
// fs/errno.cpp alone.
#pragma once

#include "mount/fuse/fuse_headers.hpp"

#include <sys/uio.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>

#include "fs/file_system.hpp"
#include "mount/fuse/kernel_cache.hpp"

namespace ringfs::mount {

struct stat to_stat(const fs::Attributes& attributes);
fs::Caller caller_of(fuse_req_t request);

class Request : public std::enable_shared_from_this<Request> {
 public:
  enum class Kind : std::uint8_t { read, mutation, wait, command };
  static constexpr auto interrupt_timeout = std::chrono::seconds(5);

  // `cache` outlives it.
  Request(fuse_req_t request, Kind kind, boost::asio::any_io_executor executor, KernelCache& cache);
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // Call when it is in a shared_ptr: from here on signals reach it.
  void listen_for_interrupts();
  boost::asio::cancellation_slot cancellation_slot() { return cancellation_.slot(); }
  // Ends it now, as a signal ends a `wait`.
  void interrupt();

  const fs::Caller& caller() const { return caller_; }
  bool answered() const { return request_ == nullptr; }

  bool error(int number);
  bool error(const Error& error) { return this->error(fs::to_errno(error.code)); }
  bool status(const Status& status) { return status ? error(0) : error(status.error()); }
  bool entry(const StaleMarks::Name& name, const fs::Attributes& attributes);  // LOOKUP
  bool no_entry(const StaleMarks::Name& name, const Error& error);
  bool made(const fs::Attributes& attributes);            // MKNOD, MKDIR, SYMLINK, LINK
  bool attributes(const fs::Attributes& attributes);      // GETATTR
  bool set_attributes(const fs::Attributes& attributes);  // SETATTR
  bool created(const fs::Attributes& attributes, const fuse_file_info& info);
  bool opened(const fuse_file_info& info);
  bool written(std::size_t bytes);
  bool link_target(const std::string& target);
  bool data(const fs::ReadResult& result);
  bool buffer(const std::string& bytes);
  bool file_system_status(const fs::FileSystemStatus& status);

  // A directory listing of at most `size` bytes, as many of `entries` as fit.
  bool listing(fs::InodeNumber directory, const std::vector<fs::DirectoryEntry>& entries, std::size_t size,
               bool with_attributes);

 private:
  static void on_interrupt(fuse_req_t request, void* self);
  fuse_req_t take();
  static fuse_entry_param entry_of(const fs::Attributes& attributes, double attributes_timeout, double name_timeout);
  bool named(fs::InodeNumber inode, bool taken);

  fuse_req_t request_;  // null once answered
  const Kind kind_;
  KernelCache& cache_;
  const fs::Caller caller_;
  boost::asio::any_io_executor executor_;
  boost::asio::cancellation_signal cancellation_;
  std::optional<boost::asio::steady_timer> timeout_;
};

using RequestPointer = std::shared_ptr<Request>;

}  // namespace ringfs::mount
