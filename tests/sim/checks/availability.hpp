// Liveness while a fault lasts: a group whose voters are a majority without those that suffer is led by one of that
// majority.
//
// The simulator's other bounds begin when all faults have stopped. Here a group is owed a leader for as long as a
// majority of its voters run, have a disk that answers and enough time, and hear each other; it may be without one for
// at most `unserved_bound`. If one with a slow disk is needed for the majority, a vote must be written there, behind
// what others have given it to write: that time is not owed. A node with a disk that is slow, or that is starved, still
// serves, but after `unfit_bound` it leads no group that others could lead. Threads: one, virtual.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

// A second to notice that the disk hangs, as much again for heartbeats that ask others about theirs, the ends of leases
// and a time-out of the transfer; an election that is contested once.
inline constexpr Duration unserved_bound = std::chrono::milliseconds(4500);
// To be measured (30 s), to be noticed by the leader's next interval and handed over; once more if the target fails.
inline constexpr Duration unfit_bound = std::chrono::seconds(50);

class Availability {
 public:
  explicit Availability(Cluster& cluster) : cluster_(cluster), world_(cluster.world()) {}
  void start();
  void stop() { stopped_ = true; }

 private:
  struct Group {
    TimePoint owed_since = never;   // never: nobody owes it anything now
    TimePoint quick_since = never;  // never: without a slow disk there is no majority
    TimePoint served_at{};
    Duration write_time{};  // the longest of a well voter since then
  };
  void look();
  bool able(SimNode& node) const;   // what it says and does counts
  bool well(SimNode& node) const;   // it can carry a group: not in its first moments
  bool quick(SimNode& node) const;  // and lead one as well as any other
  // A damaged replica may say nothing, and need not serve.
  bool sound(const Uuid& node, PartitionId partition, const std::map<Uuid, dht::NodeStatus>& states) const;
  Duration longest_write(const std::vector<dht::ReplicaId>& voters,
                         const std::map<Uuid, dht::NodeStatus>& states) const;
  bool majority_of(const std::vector<dht::ReplicaId>& voters, const std::vector<dht::ReplicaId>& candidates,
                   bool (Availability::*fits)(SimNode&) const);
  void judge(PartitionId partition, const dht::Configuration& configuration,
             const std::map<Uuid, dht::NodeStatus>& states);
  std::string described(PartitionId partition, const std::map<Uuid, dht::NodeStatus>& states);

  Cluster& cluster_;
  World& world_;
  std::map<PartitionId, Group> groups_;
  bool stopped_ = true;
};

}  // namespace ringfs::sim
