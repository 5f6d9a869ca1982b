// Feeding the ring's time, and telling when the own clock is far from it.
#include "dht/core/node/time_keeper.hpp"

#include <algorithm>
#include <optional>

#include "dht/core/members/placed_members.hpp"

namespace ringfs::dht {

TimeKeeper::TimeKeeper(GroupServices& services, Clock clock) : services_(services), ring_time_(clock) {
  services_.clock = clock;
  services_.ring_time = ring_time_.at(clock.now);
}

void TimeKeeper::set_table(const MembersTable& table) {
  voices_.clear();
  for (const Member& member : table.members) {
    if (is_placed(member)) voices_.push_back(member.id);
  }
}

void TimeKeeper::set_clock(Clock clock) {
  clock.now = std::max(clock.now, services_.clock.now);
  services_.clock = clock;
  services_.ring_time = ring_time_.at(clock.now);
}

void TimeKeeper::heard(const Uuid& node, Stamp wall) {
  ring_time_.heard(node, wall, services_.clock.now);
  if (services_.faults.believe_last_node) ring_time_.believe(wall, services_.clock.now);
}

void TimeKeeper::tick() {
  if (!services_.faults.believe_last_node) ring_time_.update(services_.clock, voices_, services_.self);
  services_.ring_time = ring_time_.at(services_.clock.now);
  const std::optional<Duration> error = ring_time_.own_error();
  if (!error) return;
  const bool wrong = *error > tolerated_clock_error || *error < -tolerated_clock_error;
  if (wrong == told_wrong_) return;
  told_wrong_ = wrong;
  services_.out.event(wrong ? "clock_wrong" : "clock_right", "ahead_us=" + std::to_string(error->count()));
}

}  // namespace ringfs::dht
