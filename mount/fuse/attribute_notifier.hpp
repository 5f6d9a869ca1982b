// Tells the kernel to ask again for attributes of inodes.
//
// It has a thread of its own: the call takes no lock that a program's operation holds for long, but it waits for an
// inode that the kernel is just dropping, which may wait for pages that the mount's loop has to answer. The kernel may
// have dropped an inode (ENOENT) while an answer that names it anew is on its way. Then the call is repeated every
// millisecond until the kernel knows the inode, or until no such answer can be on its way any more.
// Threads: recall() from any. Limits: as many inodes as are recalled at once. Errors: a connection that has ended is
// none.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "fs/file_system.hpp"

namespace ringfs::mount {

class AttributeNotifier {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr auto pause = std::chrono::milliseconds(1);

  struct Recall {
    fs::InodeNumber inode = 0;
    TimePoint until;  // so long it is worth repeating
  };
  // Returns 0, or an errno: ENOENT means that the kernel does not know the inode. Called on the thread.
  using Tell = std::function<int(fs::InodeNumber)>;

  AttributeNotifier() = default;
  ~AttributeNotifier() { stop(); }
  AttributeNotifier(const AttributeNotifier&) = delete;
  AttributeNotifier& operator=(const AttributeNotifier&) = delete;

  void start(Tell tell);  // called once
  // `done` is called once: on the thread, or at once after close().
  void recall(std::vector<Recall> recalls, std::function<void()> done);
  // Tells nothing more; who waits is answered.
  void close();
  bool idle() const;  // nothing is being told
  // Waits for the thread: call it when the connection has ended, which ends every wait in the kernel.
  void stop();

 private:
  struct Job {
    std::vector<Recall> recalls;  // those that are left
    std::function<void()> done;
  };
  void run();
  // Whether all of it is told.
  bool tell(Job& job) const;

  Tell tell_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Job> waiting_;  // these guarded by mutex_
  bool telling_ = false;
  bool open_ = false;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace ringfs::mount
