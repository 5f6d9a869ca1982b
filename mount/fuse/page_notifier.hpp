// Tells the kernel what it must do with its pages of a file (fs/contents/kernel_pages.cpp): drop them, take the bytes
// of the last one.
//
// It has threads of its own: the calls wait inside the kernel for pages that requests under way have locked, and the
// mount's loop answers those requests (docs/design.md#write-behind-and-kernel-pages). There are a few threads, so that
// a file whose pages are locked for long delays no other. For one file, one call runs at a time. Threads: change() and
// idle() may be called from any, the rest from the loop's. Limits: a file waits here at most once, and only open files
// come here; there are as many `done` as answers that wait. Errors: an inode that the kernel has forgotten, and a
// connection that has ended, are no errors.
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

// What the kernel must still do with one file's pages: several changes that wait, joined into at most two. The bytes of
// a later change replace those of a former one. Bytes that a later change drops are still put there before, because
// their end is the file's size.
struct PendingPages {
  fs::PageChange change;
  std::optional<fs::PageChange> then;  // only drops pages

  void add(fs::PageChange next);
};

class PageNotifier {
 public:
  static constexpr std::size_t most_threads = 4;
  using Tell = std::function<void(const fs::PageChange&)>;  // called on any of the threads; may wait

  PageNotifier() = default;
  ~PageNotifier() { stop(); }
  PageNotifier(const PageNotifier&) = delete;
  PageNotifier& operator=(const PageNotifier&) = delete;

  void start(const Tell& tell);  // called once, from the loop's thread
  // `done`, if any, is called once: on one of the threads, or at once after close().
  void change(fs::PageChange change, std::function<void()> done);
  // Tells nothing more. A call under way may still wait for requests; idle() says when it has ended.
  void close();
  bool idle() const;
  // Waits for the threads. Call it when idle, or when the connection has ended, which ends every wait in the kernel.
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
