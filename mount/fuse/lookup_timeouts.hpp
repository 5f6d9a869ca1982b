// Lookups that timed out a moment ago.
//
// When a lookup that revalidates a known name fails, the kernel asks again at once (Linux fs/fuse/dir.c,
// fuse_dentry_revalidate: any error makes the name invalid, and the path walk looks it up anew). So a system call would
// wait for two operation timeouts. Therefore the same thread's next lookup of the same name gets the same answer, once.
// Threads: the mount's loop. Limits: `most` of them, the oldest goes first. Errors: none.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>

#include "fs/file_system.hpp"

namespace ringfs::mount {

struct LookupOf {
  pid_t thread = 0;
  fs::InodeNumber directory;
  std::string name;
  friend bool operator==(const LookupOf&, const LookupOf&) = default;
};

class LookupTimeouts {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr auto valid_for = std::chrono::milliseconds(500);  // the kernel takes microseconds
  static constexpr std::size_t most = 1024;

  void add(LookupOf lookup, TimePoint now) {
    if (timeouts_.size() >= most) timeouts_.pop_front();
    timeouts_.push_back({std::move(lookup), now});
  }
  // Whether it timed out a moment ago. True only once.
  bool take(const LookupOf& lookup, TimePoint now) {
    while (!timeouts_.empty() && now - timeouts_.front().when > valid_for) timeouts_.pop_front();
    const auto found =
        std::find_if(timeouts_.begin(), timeouts_.end(), [&](const Timeout& one) { return one.lookup == lookup; });
    if (found == timeouts_.end()) return false;
    timeouts_.erase(found);
    return true;
  }

 private:
  struct Timeout {
    LookupOf lookup;
    TimePoint when;
  };
  std::deque<Timeout> timeouts_;  // in the order of time
};

}  // namespace ringfs::mount
