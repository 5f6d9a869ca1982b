// Inodes to which the kernel may still follow a name that leads elsewhere by now.
//
// When a kept name is taken back, another thread may be about to install an older answer, and while a local operation
// holds the directory, the kernel cannot be told at all. So the child is marked: a request for it that carries no
// handle gets ESTALE. Then the kernel walks the path again and asks for each name (LOOKUP_REVAL, Linux fs/namei.c), and
// finds what is there now. A thread that has looked the name up since may pass; so may one that comes again at once,
// because its path has no name to ask for (`.`, a descriptor of O_PATH). An inode that is open here is not refused:
// fstat(2) has no handle either, and is not retried. While it is marked, no answer lets the kernel keep it.
//
// A mark ends when the kernel would ask for the name by itself, or some time after the kernel was told.
// Threads: the mount's loop. Limits: most_marks, most_threads of each; beyond them no name is kept, and a thread is
// refused anew.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/file_system.hpp"
#include "mount/fuse/known_inodes.hpp"

namespace ringfs::mount {

class StaleMarks {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Name = std::pair<fs::InodeNumber, std::string>;
  static constexpr auto answer_age = KnownInodes::answer_age;
  // Between two requests of one system call.
  static constexpr auto call_pause = std::chrono::milliseconds(50);
  // From the answer that led to a marked inode by another name to the requests of that system call: the thread may
  // follow the stale name next.
  static constexpr auto name_pause = std::chrono::milliseconds(10);
  static constexpr auto change_time = std::chrono::milliseconds(10);
  static constexpr std::size_t most_marks = 65536;
  static constexpr std::size_t most_threads = 64;

  // The name may lead to the child until then.
  void mark(const Name& name, fs::InodeNumber child, TimePoint until, TimePoint now);
  // The kernel has been told.
  void told(const Name& name, TimePoint now);
  // The kernel's name has moved with its child.
  void moved(const Name& from, const Name& to);
  void exchanged(const Name& one, const Name& other);

  bool full() const { return marks_.size() >= most_marks; }
  bool marked(fs::InodeNumber child, TimePoint now);
  // A request for the child came that must be refused: when. Not before the change that wants the name back has
  // probably happened, for the kernel walks the path only once more.
  std::optional<TimePoint> refuses(fs::InodeNumber child, pid_t thread, TimePoint now);
  // A request that changes the name.
  std::optional<TimePoint> refuses(const Name& name, pid_t thread, TimePoint now);
  // The thread asked for the name, and it leads to `child`; none: nowhere.
  void looked_up(const Name& name, std::optional<fs::InodeNumber> child, pid_t thread, TimePoint now);

 private:
  struct Thread {
    pid_t id = 0;
    TimePoint refused, passed, by_another_name;
    bool asked = false;      // for the name
    bool looked_up = false;  // and found the child
  };
  struct Mark {
    Name name;
    TimePoint since, until;
    std::vector<Thread> threads;
  };
  using Marks = std::unordered_map<fs::InodeNumber, Mark>;

  Marks::iterator find(fs::InodeNumber child, TimePoint now);
  void erase(Marks::iterator mark);
  void make_room(TimePoint now);
  static Thread& thread_of(Mark& mark, pid_t id);
  static std::optional<TimePoint> refuses(Mark& mark, pid_t thread, bool Thread::*passes, TimePoint now);

  Marks marks_;  // by child
  std::map<Name, fs::InodeNumber> children_;
  std::size_t sweep_at_ = 1024;
};

}  // namespace ringfs::mount
