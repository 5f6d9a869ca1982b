// Time as the protocol sees it. The core never reads a clock: its driver passes a Clock.
//
// TimePoint counts microseconds on a clock that never goes back and goes on during suspend
// (CLOCK_BOOTTIME in the daemon, virtual in the simulator). Stamp is wall time, microseconds since the
// epoch. There are three kinds of it, and none is compared with another: a machine's own clock, which may jump and be
// wrong (file times are made of a mount's); the ring's, on which the nodes agree (dht/core/node/ring_time.hpp); and
// that of a partition's log, in which batches expire and ages are counted (dht/core/raft/log_clock.hpp).
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

// Seventy thousand years: no clock shows more, and sums of stamps below do not overflow.
inline constexpr Stamp max_stamp{std::int64_t{1} << 61};
constexpr bool is_sane(Stamp stamp) { return stamp >= Stamp{} && stamp <= max_stamp; }

constexpr Stamp operator+(Stamp stamp, Duration duration) { return Stamp{stamp.microseconds + duration.count()}; }
constexpr Duration operator-(Stamp left, Stamp right) { return Duration(left.microseconds - right.microseconds); }

// Both clocks at one instant.
struct Clock {
  TimePoint now;
  Stamp stamp;
};

}  // namespace ringfs
