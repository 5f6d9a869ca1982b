// Tells the kernel to ask again for names.
//
// The call waits for the name's directory, which an operation of a program may hold for as long as the mount takes to
// answer it. So there are a few threads, each with one directory at a time: a directory that is held delays no other.
// Threads: expire() from any. Limits: as many names as are taken back at once. Errors: a name or an inode that the
// kernel does not know is none for it, but the caller learns of it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "fs/file_system.hpp"

namespace ringfs::mount {

class NameNotifier {
 public:
  static constexpr std::size_t most_threads = 4;
  // Returns 0, or an errno. Called on a thread; may wait.
  using Tell = std::function<int(fs::InodeNumber directory, const std::string& name)>;
  using Done = std::function<void(int error)>;

  NameNotifier() = default;
  ~NameNotifier() { stop(); }
  NameNotifier(const NameNotifier&) = delete;
  NameNotifier& operator=(const NameNotifier&) = delete;

  void start(Tell tell);  // called once
  // `done` is called once: on a thread, or at once with ENOTCONN after close().
  void expire(fs::InodeNumber directory, std::string name, Done done);
  // Tells nothing more; who waits is answered. A call under way may still wait for a program's operation.
  void close();
  bool idle() const;
  // Waits for the threads: call it when the connection has ended, which ends every wait in the kernel.
  void stop();

 private:
  struct Job {
    fs::InodeNumber directory = 0;
    std::string name;
    Done done;
  };
  void run();
  std::deque<Job>::iterator next();

  Tell tell_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> waiting_;  // these guarded by mutex_
  std::unordered_set<fs::InodeNumber> telling_;
  bool open_ = false;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ringfs::mount
