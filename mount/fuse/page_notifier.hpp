// Tells the kernel what it must do with its pages of a file (fs/contents/kernel_pages.cpp): drop them, take the bytes
// of the last one.
//
// Threads of its own: the calls wait inside the kernel for pages that requests under way have locked, and those are
// answered by the mount's loop (docs/design.md#write-behind-and-kernel-pages). A few of them, so that a file whose
// pages are locked for long holds up no other; of one file one at a time. Threads: change() and idle() from any; the
// rest from the loop's. Limits: a file waits here at most once, and only open ones come; of `done` there are as many as
// answers that wait. Errors: an inode that the kernel has forgotten has no pages, and a connection that has ended needs
// none.
#pragma once

#include "mount/fuse/fuse_headers.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/file_system.hpp"

namespace ringfs::mount {

// The kernel's calls for one change: pages are dropped before bytes are put into the last one. What fails is logged.
void tell_kernel(fuse_session* session, const fs::PageChange& change);

// What the kernel must still do with one file's pages: changes that came before the former ones were told, as few
// calls. A later one's bytes replace a former one's. Bytes that a later one drops are still put there, before: their
// end is the file's.
struct PendingPages {
  fs::PageChange change;
  std::optional<fs::PageChange> then;  // drops alone

  void add(fs::PageChange next);
};

class PageNotifier {
 public:
  static constexpr std::size_t most_threads = 4;
  using Tell = std::function<void(const fs::PageChange&)>;  // on any of the threads; may wait

  PageNotifier() = default;
  ~PageNotifier() { stop(); }
  PageNotifier(const PageNotifier&) = delete;
  PageNotifier& operator=(const PageNotifier&) = delete;

  void start(Tell tell);  // from the loop's, once
  // `done`, if any, is called once: on one of the threads, or at once when nothing is told any more.
  void change(fs::PageChange change, std::function<void()> done);
  // Nothing more is told; what is being told may still wait for requests under way: idle() says when it has ended.
  void close();
  bool idle() const;
  // Waits for the threads: only when idle, or when the connection has ended, which ends every wait in the kernel.
  void stop();

 private:
  struct Waiting {
    PendingPages pages;
    std::vector<std::function<void()>> done;
  };
  void run(const Tell& tell);
  bool has_work() const;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::unordered_map<fs::InodeNumber, Waiting> waiting_;  // these four guarded by mutex_
  std::unordered_set<fs::InodeNumber> telling_;
  bool open_ = false;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ringfs::mount
