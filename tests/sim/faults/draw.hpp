// What a seed draws before it begins: the ring, what clients do, what goes wrong, and who joins and leaves.
//
// Threads: none.
#pragma once

#include "tests/sim/faults/long_faults.hpp"
#include "tests/sim/faults/members_operator.hpp"
#include "tests/sim/faults/nemesis.hpp"
#include "tests/sim/scenario.hpp"
#include "tests/sim/workload/workload.hpp"

namespace ringfs::sim {

// With two replicas neither goes on without the other, so none lags far enough to need a snapshot. Such rings have more
// restarts instead.
inline constexpr std::size_t least_nodes_for_a_snapshot = 3;

struct Draw {
  ClusterOptions cluster;
  WorkloadOptions workload;
  NemesisOptions nemesis;
  LongFaultsOptions long_faults;
  MembersOptions members;
  // Disks that are full until the end: those of a minority while clients work and nodes die, or those of a majority
  // when the faults have stopped.
  enum class Full { none, minority, majority } full = Full::none;
  bool clocks_agree = false;      // the clocks of a majority are right all the time
  bool files = false;             // a mount and a janitor work, too
  double coordinators_pause = 0;  // share of them that pause instead of dying
  unsigned clients = 3;
  unsigned workers = 2;  // of each client
};

Draw draw(World& world, const ScenarioOptions& options);

}  // namespace ringfs::sim
