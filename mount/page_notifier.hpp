// Tells the kernel that its pages of a file are no longer the file's contents, so that whoever keeps it open reads on.
//
// A thread of its own: the call waits inside the kernel for pages that requests under way have locked, and those are
// answered by the mount's loop (design 7). Threads: invalidate() and idle() from any; the rest from the loop's. Limits:
// an inode waits here at most once, and only open ones come; of `done` there are as many as writes under way. Errors: an
// inode that the kernel has forgotten has no pages, and a connection that has ended needs none.
#pragma once

#include "mount/fuse_headers.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fs/file_system.hpp"

namespace ringfs {

class PageNotifier {
 public:
  PageNotifier() = default;
  ~PageNotifier() { stop(); }
  PageNotifier(const PageNotifier&) = delete;
  PageNotifier& operator=(const PageNotifier&) = delete;

  void start(fuse_session* session);
  // `done`, if any, is called once: on the notifier's thread, or at once when nothing is told any more.
  void invalidate(InodeNumber inode, std::function<void()> done);
  // Nothing more is told; what is being told may still wait for requests under way: idle() says when it has ended.
  void close();
  bool idle() const;
  // Waits for the thread: only when idle, or when the connection has ended, which ends every wait in the kernel.
  void stop();

 private:
  void run(fuse_session* session);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  using Waiting = std::unordered_map<InodeNumber, std::vector<std::function<void()>>>;
  Waiting waiting_;  // these four guarded by mutex_
  bool open_ = false;
  bool ending_ = false;
  bool telling_ = false;
  std::thread thread_;
};

}  // namespace ringfs
