// Time as the protocol sees it. The core never reads a clock: whoever drives it passes a Clock.
//
// TimePoint counts microseconds on a clock that never goes back and goes on during suspend
// (CLOCK_BOOTTIME in the daemon, virtual in the simulator). Stamp is wall time, microseconds since the
// epoch; it may jump, so only file times, batch expiries and log stamps are made of it.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace ringfs {

using Duration = std::chrono::microseconds;

struct RingClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<RingClock, duration>;
  static constexpr bool is_steady = true;
};

using TimePoint = RingClock::time_point;
inline constexpr TimePoint never = TimePoint::max();

struct Stamp {
  std::int64_t microseconds = 0;
  friend auto operator<=>(const Stamp&, const Stamp&) = default;
};

constexpr Stamp operator+(Stamp stamp, Duration duration) { return Stamp{stamp.microseconds + duration.count()}; }
constexpr Duration operator-(Stamp left, Stamp right) { return Duration(left.microseconds - right.microseconds); }

// Both clocks at one instant.
struct Clock {
  TimePoint now;
  Stamp stamp;
};

}  // namespace ringfs
