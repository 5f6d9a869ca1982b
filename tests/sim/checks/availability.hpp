// Liveness while a fault lasts: if a majority of a group's voters is well, one of them leads the group.
//
// The simulator's other bounds begin when all faults have stopped. Here a group must have a leader while a majority of
// its voters run, have a disk that answers, get enough processor time and hear each other. It may be without one for
// `unserved_bound` at most. If a voter with a slow disk is needed for the majority, its vote is written behind what it
// already has to write: that time is added. A node with a slow disk, or one that is starved, may serve, but after
// `unfit_bound` it leads no group that others could lead. Threads: one, virtual.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

// A second to notice that the disk hangs; another second for heartbeats that ask others about their disks, for leases
// to end and for a transfer to time out; an election with one split vote.
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
    TimePoint owed_since = never;   // never: it need not have a leader now
    TimePoint quick_since = never;  // never: a majority needs a slow disk
    TimePoint served_at{};
    Duration write_time{};  // the longest of a voter that is well, since then
  };
  void look();
  bool able(SimNode& node) const;   // it runs, gets time, and its disk answers
  bool well(SimNode& node) const;   // able, and not in its first moments
  bool quick(SimNode& node) const;  // well, and its disk is not slow
  // Not damaged: a damaged replica need not serve.
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
