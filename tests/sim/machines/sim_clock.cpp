// How the clocks of a simulated machine go.
#include "tests/sim/machines/sim_clock.hpp"

#include <algorithm>

namespace ringfs::sim {

namespace {

constexpr std::int64_t million = 1'000'000;
constexpr Stamp epoch{1'700'000'000 * million};
constexpr Duration timer_lateness = std::chrono::microseconds(500);

}  // namespace

TimePoint SimClock::local(TimePoint world_now) const {
  Duration elapsed = world_now - world_base_;
  return local_base_ + elapsed + Duration(elapsed.count() * drift_ / million);
}

TimePoint SimClock::world_time(TimePoint local_time) const {
  Duration elapsed = local_time - local_base_;
  return world_base_ + Duration(elapsed.count() * million / (million + drift_) + 1);
}

Stamp true_time(TimePoint world_now) { return epoch + world_now.time_since_epoch(); }

Stamp SimClock::wall(TimePoint world_now) const { return std::max(Stamp{1}, true_time(world_now) + wall_offset_); }

void SimClock::set_drift(TimePoint world_now, std::int64_t parts_per_million) {
  local_base_ = local(world_now);
  world_base_ = world_now;
  drift_ = parts_per_million;
}

void SimClock::reboot(TimePoint world_now, TimePoint local_now) {
  local_base_ = local_now;
  world_base_ = world_now;
}

void SimTimer::set(TimePoint deadline, const SimClock& clock, std::function<void()> due) {
  if (deadline == deadline_) return;
  deadline_ = deadline;
  const std::uint64_t number = ++set_;
  if (deadline == never) return;
  TimePoint when = std::max(clock.world_time(deadline), world_.now()) + world_.between(Duration(1), timer_lateness);
  world_.at(when, [this, number, due = std::move(due)] {
    if (number != set_) return;
    deadline_ = never;
    due();
  });
}

void SimTimer::stop() {
  deadline_ = never;
  ++set_;
}

}  // namespace ringfs::sim
