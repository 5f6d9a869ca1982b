// The groups of which this node has replicas, and their timers: election timeouts, and one heartbeat interval for all
// groups that it leads.
//
// Threads: none. Limits: one group a partition.
#pragma once

#include <algorithm>
#include <map>
#include <memory>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

class Groups {
 public:
  // With nothing to replicate for `quiet_after` the heartbeat interval grows.
  Groups(GroupServices& services, Duration quiet_after) : services_(services), quiet_after_(quiet_after) {}

  using Map = std::map<PartitionId, std::unique_ptr<Group>>;
  const Map& all() const { return groups_; }
  Group* find(PartitionId partition) const;  // null: no replica here
  Group& add(const PersistedGroup& persisted, bool created, bool holds_members_table);
  // Call after anything that may have moved the group's deadline forward or made it leader.
  void watch(const Group& group);

  void peer_restarted(const Uuid& peer);
  void peer_disconnected(const Uuid& peer);
  // What the peer's answers say of its disk. Whoever waited for its room goes on.
  void heard_room(const Uuid& peer, Room room);
  void drop_staged_snapshots();

  // As of the last interval: this node leads a group.
  bool leads() const { return interval_at_ != never; }
  Duration heartbeat_interval() const;
  // Once the interval has ended. True: this node leads a group, and heartbeats are due.
  bool interval_ended();
  void tick();
  // What has changed in this turn goes out.
  void flush();
  void keep_log_budget();
  // Followers wait for the commit index: not at the end of a quiet interval.
  void shorten_interval();
  TimePoint deadline() const { return std::min(interval_at_, tick_at_); }

 private:
  TimePoint now() const { return services_.clock.now; }

  GroupServices& services_;
  const Duration quiet_after_;
  Map groups_;
  TimePoint interval_at_ = never;  // never: this node leads nothing
  TimePoint tick_at_ = never;
};

}  // namespace ringfs::dht
