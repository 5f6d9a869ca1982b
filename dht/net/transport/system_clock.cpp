// Reading clocks with clock_gettime(2).
#include "dht/net/transport/system_clock.hpp"

#include <ctime>

#include "dht/base/error.hpp"

namespace ringfs::dht {

namespace {

std::int64_t microseconds_of(clockid_t clock) {
  timespec time{};
  RINGFS_CHECK(clock_gettime(clock, &time) == 0);
  return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1'000;
}

}  // namespace

TimePoint boot_time() { return TimePoint(Duration(microseconds_of(CLOCK_BOOTTIME))); }

Stamp wall_time() { return Stamp{microseconds_of(CLOCK_REALTIME)}; }

Clock read_clock() { return {.now = boot_time(), .stamp = wall_time()}; }

}  // namespace ringfs::dht
