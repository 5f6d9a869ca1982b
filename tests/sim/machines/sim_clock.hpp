// The clocks of a simulated machine, and the timer of the process on it. Threads: one, virtual.
#pragma once

#include <cstdint>
#include <functional>

#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

// A machine's clocks: BOOTTIME runs a little fast or slow, the wall clock may jump.
class SimClock {
 public:
  Clock read(TimePoint world_now) const { return {local(world_now), wall(world_now)}; }
  TimePoint local(TimePoint world_now) const;
  TimePoint world_time(TimePoint local_time) const;
  Stamp wall(TimePoint world_now) const;
  void set_drift(TimePoint world_now, std::int64_t parts_per_million);
  void jump_wall(Duration by) { wall_offset_ += by; }
  void set_wall_error(Duration error) { wall_offset_ = error; }
  // As if the machine had been suspended for so long.
  void suspend(Duration length) { local_base_ += length; }
  void set_wall_right() { wall_offset_ = Duration(0); }
  void reboot(TimePoint world_now, TimePoint local_now);

 private:
  TimePoint world_base_{};
  TimePoint local_base_{std::chrono::hours(1)};
  std::int64_t drift_ = 0;
  Duration wall_offset_{0};
};

Stamp true_time(TimePoint world_now);

// A process's one timer: it comes a little late.
class SimTimer {
 public:
  explicit SimTimer(World& world) : world_(world) {}
  // At `deadline` of the clock; never: not at all. Takes the place of what was set before.
  void set(TimePoint deadline, const SimClock& clock, std::function<void()> due);
  void stop();

 private:
  World& world_;
  TimePoint deadline_ = never;
  std::uint64_t set_ = 0;  // how often: an older one is dropped
};

}  // namespace ringfs::sim
