// The ring's time as this node follows it (ring_time.hpp): whose clocks count, and whether its own is wrong.
//
// Threads: none.
#pragma once

#include <vector>

#include "dht/core/node/ring_time.hpp"
#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

class TimeKeeper {
 public:
  TimeKeeper(GroupServices& services, Clock clock);

  void set_table(const MembersTable& table);
  // Of the call that begins. Time never goes back for the groups, whatever the driver's calls overtake.
  void set_clock(Clock clock);
  void heard(const Uuid& node, Stamp wall);
  void tick();
  Stamp at(TimePoint now) const { return ring_time_.at(now); }

 private:
  GroupServices& services_;
  RingTime ring_time_;
  std::vector<Uuid> voices_;  // members whose clocks count
  bool told_wrong_ = false;   // by the last event about the own clock
};

}  // namespace ringfs::dht
