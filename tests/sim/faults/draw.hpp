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

// Of two replicas none can lag so far that the other one goes on without it, so nobody ever needs a snapshot: what it
// has of the log must carry it through more restarts instead.
inline constexpr std::size_t least_nodes_for_a_snapshot = 3;

struct Draw {
  ClusterOptions cluster;
  WorkloadOptions workload;
  NemesisOptions nemesis;
  LongFaultsOptions long_faults;
  MembersOptions members;
  // Disks that are full and stay so: a minority while clients work and nodes die, or a majority when the faults have
  // stopped.
  enum class Full { none, minority, majority } full = Full::none;
  bool clocks_agree = false;      // those of a majority of the nodes are right all the time
  bool files = false;             // two mounts and janitors work, too
  double coordinators_pause = 0;  // instead of dying
  unsigned clients = 3;
  unsigned workers = 2;  // a client
};

Draw draw(World& world, const ScenarioOptions& options);

}  // namespace ringfs::sim
