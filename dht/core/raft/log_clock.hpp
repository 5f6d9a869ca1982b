// The time of one partition's log: what a leader stamps entries with (docs/design.md#ring-time-and-log-time).
//
// It follows the ring's time (ring_time.hpp), but at nine to eleven tenths of this replica's boot clock since the stamp
// that the log has, or the start of this process. So it never goes back, never jumps and never stands still, whoever
// leads: ages that are counted in it are ages, also while the ring's time is stepped or wrong; whoever comes to lead
// can only have missed time, never have had too much. A log that is far ahead of the ring's time, or behind, is as good
// as any other, and comes closer by a tenth.
//
// What hangs on it: batches expire by it, results of batches are forgotten by it (dedup.hpp), rows get old by it
// (dht/base/row_ages.hpp). What does not: file times, which are the mounts' own.
//
// Threads: none. Units: microseconds. Limits: stamps lie in 0 .. max_stamp; the log's time stops there.
#pragma once

#include <algorithm>

#include "dht/base/time.hpp"

namespace ringfs::dht {

class LogClock {
 public:
  explicit LogClock(Stamp last = {}, TimePoint now = {}) : last_(last), at_(now) {}

  // An entry or a snapshot with this stamp is the end of the log now. The stamp may be lower than the one before if
  // that was of a tail that was overtaken: its leader knew of time that the new one missed, and what is written now
  // must not count as that much older.
  void entered(Stamp stamp, TimePoint now) {
    last_ = stamp;
    at_ = now;
  }

  // What the next entry is stamped with.
  Stamp next(Stamp ring_time, TimePoint now) const {
    if (last_ == Stamp{})
      return std::clamp(ring_time, Stamp{1}, max_stamp);  // the log's first: there is nothing to age
    const Duration elapsed = std::max(Duration::zero(), now - at_);
    const Stamp low = last_ + (elapsed - elapsed / 10);
    const Stamp high = last_ + (elapsed + elapsed / 10);
    return std::min(std::clamp(ring_time, low, high), std::max(max_stamp, last_));
  }
  Stamp last() const { return last_; }

 private:
  Stamp last_;    // of the log; zero: it has none
  TimePoint at_;  // when it came, or this process began
};

}  // namespace ringfs::dht
