// Tells the kernel what it must do with its pages of a file (fs/kernel_pages.cpp): drop them, take the bytes of the last one.
//
// Threads of its own: the calls wait inside the kernel for pages that requests under way have locked, and those are answered by
// the mount's loop (design 7). A few of them, so that a file whose pages are locked for long holds up no other; of one file one at
// a time. Threads: change() and idle() from any; the rest from the loop's. Limits: a file waits here at most once, and only open
// ones come; of `done` there are as many as answers that wait. Errors: an inode that the kernel has forgotten has no pages, and a
// connection that has ended needs none.
#pragma once

#include "mount/fuse_headers.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/file_system.hpp"

namespace ringfs {

class PageNotifier {
 public:
  static constexpr std::size_t most_threads = 4;

  PageNotifier() = default;
  ~PageNotifier() { stop(); }
  PageNotifier(const PageNotifier&) = delete;
  PageNotifier& operator=(const PageNotifier&) = delete;

  void start(fuse_session* session);
  // `done`, if any, is called once: on one of the threads, or at once when nothing is told any more.
  void change(PageChange change, std::function<void()> done);
  // Nothing more is told; what is being told may still wait for requests under way: idle() says when it has ended.
  void close();
  bool idle() const;
  // Waits for the threads: only when idle, or when the connection has ended, which ends every wait in the kernel.
  void stop();

 private:
  struct Waiting {
    PageChange change;
    std::vector<std::function<void()>> done;
  };
  void run(fuse_session* session);
  bool has_work() const;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::unordered_map<InodeNumber, Waiting> waiting_;  // these four guarded by mutex_
  std::unordered_set<InodeNumber> telling_;
  bool open_ = false;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ringfs
