// What time it is, as the members of a ring agree: the median of their wall clocks, approached in small steps.
//
// Every message between nodes carries its sender's wall clock. Of each member the largest difference between that and
// the own boot clock within a few seconds counts, since a message that was late can only make it smaller. The ring's
// time follows the lower median of all members that were heard lately, this node included, at nine to eleven tenths of
// the boot clock's speed. Of two members the slower one counts; of three a wrong one does not.
//
//   measure  At the start, and after a gap in which this process did not run (a suspended machine), the median is taken
//            over as soon as a majority agrees about it, or all were heard. Until then the time is the own wall clock
//            (at the start) or goes on as before (after a gap).
//   slew     Afterwards, while a majority agrees, the time moves towards the median by at most a tenth of what passes.
//   step     A difference of more than max_slewed is taken over at once when a majority has agreed about it for
//            step_timeout: a ring that started in 1970 and was set right. Logs do not follow steps (log_clock.hpp).
//
// Threads: none. Errors: none; a member that says nothing, or zero, does not count. Limits: two samples a member;
// update() forgets members that are gone.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

inline constexpr Duration clock_window = std::chrono::seconds(5);  // samples count for one to two of these
inline constexpr Duration clock_gap = std::chrono::seconds(5);     // without update(): measure again
inline constexpr Duration max_slewed = std::chrono::seconds(60);   // what a tenth makes good within step_timeout
inline constexpr Duration step_timeout = std::chrono::minutes(10);
inline constexpr Duration clock_agreement = std::chrono::seconds(2);        // clocks that differ by less agree
inline constexpr Duration tolerated_clock_error = std::chrono::seconds(5);  // beyond it a node's clock is called wrong

class RingTime {
 public:
  explicit RingTime(Clock clock);

  // A message of `node` said that its wall clock shows this.
  void heard(const Uuid& node, Stamp wall, TimePoint now);
  // At least once a second. `members`: whose clocks count; empty: this node's alone.
  void update(Clock own, const std::vector<Uuid>& members, const Uuid& self);
  // Test only (NodeOptions::Faults): this is the time.
  void believe(Stamp wall, TimePoint now) { offset_ = wall - Stamp{now.time_since_epoch().count()}; }

  Stamp at(TimePoint now) const;
  // The own wall clock minus the median, when enough of the others were heard.
  std::optional<Duration> own_error() const { return own_error_; }

 private:
  struct Samples {
    Duration present = Duration::min();  // largest wall - boot in this window
    Duration former = Duration::min();   // in the one before
    TimePoint began{};                   // of this window
  };
  struct Median {
    Duration offset{};    // of the lower median to the boot clock
    bool agreed = false;  // a majority of the members lies within clock_agreement of it
    bool all = false;     // of the members were heard
  };
  static void roll(Samples& samples, TimePoint now);
  Median median(Duration own, const std::vector<Uuid>& members, const Uuid& self) const;

  std::map<Uuid, Samples> samples_;
  Duration offset_;        // the ring's time - the boot clock
  bool measured_ = false;  // since the start or the last gap
  TimePoint updated_;
  std::optional<TimePoint> agreed_since_;  // that offset_ is wrong by more than max_slewed
  std::optional<Duration> own_error_;
};

// The middle one; of an even number the lower of the two. At least one.
Duration lower_median(std::vector<Duration> values);

}  // namespace ringfs::dht
