// How late the mount's loop is, and whether the machine slept.
//
// While a machine is suspended, leases go on to end (CLOCK_BOOTTIME), and the kernel's timeouts stand still
// (CLOCK_MONOTONIC). Threads: the mount's loop.
#pragma once

#include <chrono>

namespace ringfs::mount {

class LoopWatch {
 public:
  using Duration = std::chrono::nanoseconds;
  static constexpr auto interval = std::chrono::milliseconds(200);
  static constexpr Duration shortest_suspend = std::chrono::milliseconds(5);

  // `monotonic` and `boot` are the times of those clocks now. Whether the machine slept since the last look.
  bool slept(Duration monotonic, Duration boot) {
    const Duration difference = boot - monotonic;
    const bool slept = looked_ && difference - difference_ >= shortest_suspend;
    looked_ = true;
    difference_ = difference;
    return slept;
  }

 private:
  bool looked_ = false;
  Duration difference_{};
};

}  // namespace ringfs::mount
