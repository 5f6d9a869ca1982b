// What the groups of a node share: its clock and disk, what it knows of its peers, and what all groups together may
// use.
//
// The node (dht/core/node) makes it, keeps it up to date and reads it; it outlives the groups. Threads: none.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "dht/core/members/placement.hpp"
#include "dht/core/protocol/node_options.hpp"
#include "dht/core/raft/distances.hpp"
#include "dht/core/raft/fitness.hpp"
#include "dht/core/raft/leader/progress.hpp"
#include "dht/core/raft/log_budget.hpp"
#include "dht/core/raft/outbox.hpp"
#include "dht/core/raft/snapshot_pace.hpp"

namespace ringfs::dht {

// Of all groups of one node together: of 256 groups each may be within its own limits.
struct NodeLimits {
  // Entries that are not applied. Beyond it leaders refuse proposals.
  static constexpr std::size_t unapplied_bytes = 256 << 20;
  // Reads that the store has not answered, cancelled ones too.
  static constexpr std::size_t running_reads = 16384;
  // Answers to reads that wait for a heartbeat round.
  static constexpr std::size_t held_read_bytes = 64 << 20;
  // Batches that wait for the ends of row leases; as many of ordinary size (4 KiB) as these bytes hold.
  static constexpr std::size_t delayed_bytes = 64 << 20;
  static constexpr std::size_t delayed_batches = 16384;
  // Groups led here with a learner that is being filled.
  static constexpr std::size_t groups_moving = 16;
};

// Of row leases, since the process started.
struct LeaseCounters {
  std::uint64_t grants = 0;
  std::uint64_t recalls = 0;   // repeated ones, too
  std::uint64_t releases = 0;  // answers to them
  std::uint64_t waits = 0;     // batches that waited for row leases
  std::uint64_t ran_out = 0;   // of those: until the leases had ended
  Duration waited{};           // all of them together
};

struct GroupServices {
  GroupServices(const Uuid& node, Random& random_source, Outbox& outbox)
      : self(node), random(random_source), out(outbox) {}

  const Uuid self;
  Random& random;
  Outbox& out;
  NodeOptions::Faults faults;
  Timing timing;
  Placement placement;
  Clock clock{};                           // of the call that is being carried out
  Stamp ring_time;                         // likewise, as the members agree
  Fitness fitness;                         // of this node and of its peers
  Distances distances;                     // of its peers
  TimePoint ask_until = TimePoint::min();  // heartbeats ask the peers whether their disks answer
  Room room = Room::ample;                 // of this node's disk
  std::map<Uuid, Room> peer_rooms;         // as they said last
  std::set<Uuid> lease_keepers;            // peers that remember who may hold row leases
  TimePoint appended_at{};                 // the newest entry of any group here
  TimePoint active_at = TimePoint::min();  // a group that this node leads had something to replicate
  LogIndex log_keep_entries = 0;           // NodeOptions; 0: compact by size
  LogBudget log_budget;
  std::size_t append_bytes = max_append_bytes;
  std::uint64_t last_round = 0;         // newest heartbeat round that left to anybody
  std::set<Uuid> urgent_heartbeats;     // peers that should get a round at once
  std::set<PartitionId> dirty;          // groups that want flush()
  std::uint64_t heartbeat_changes = 0;  // grows whenever Leader::heartbeat_for() of some group may say something else
  unsigned snapshots_sending = 0;
  unsigned learner_snapshots = 0;  // of these
  std::set<PartitionId> moving;    // groups led here whose learners are being filled
  bool moves_paused = false;       // no learner is added
  SnapshotPace pace;
  std::set<PartitionId> receiving;  // groups that take in a snapshot
  std::size_t unapplied_bytes = 0;  // of all groups
  std::size_t delayed_bytes = 0;    // likewise
  std::size_t delayed_batches = 0;
  // Appends to each peer that are not answered, of all groups.
  std::map<Uuid, std::shared_ptr<std::size_t>> inflight_bytes;
  std::size_t held_read_bytes = 0;
  LeaseCounters lease_counters;

  TimePoint now() const { return clock.now; }
  // The group wants flush(), and what heartbeats say of it may have changed.
  void mark(PartitionId partition) {
    dirty.insert(partition);
    ++heartbeat_changes;
  }
  bool disk_hangs() const { return fitness.hangs(now()); }
  // This node is not fit to lead: its disk hangs or is slow, or its loop comes late.
  bool should_not_lead() const { return !faults.lead_with_hung_disk && !fitness.fit(now()); }
  // Who has not said anything yet has room until it says otherwise.
  Room room_of(const Uuid& node) const {
    if (node == self) return room;
    auto known = peer_rooms.find(node);
    return known == peer_rooms.end() ? Room::ample : known->second;
  }
};

}  // namespace ringfs::dht
