// Takes in what the leader of the term sends: entries and the commit index (Raft paper, section 5.3).
//
// It has no state of its own: what it takes in is in the log. Snapshots: snapshot_receiver.hpp. Threads: none.
// Errors: an append that does not fit the log is rejected, with a hint where the logs may agree. Limits: what this
// node's disk has room for.
#pragma once

#include "dht/core/raft/election.hpp"

namespace ringfs::dht {

class Follower {
 public:
  Follower(ReplicaState& state, GroupServices& services, Election& election, SnapshotReceiver& receiver,
           ReplicaLife& life)
      : state_(state), log_(state.log()), services_(services), election_(election), receiver_(receiver), life_(life) {}

  // From the leader that is followed.
  void receive(const Uuid& source, const Append& message);
  AppendReply reply_to(const Append& message) const;  // not successful yet
  void heartbeat(LogIndex commit);
  void evict_bodies() { log_.evict(log_.stable(), CacheLimits::follower); }

 private:
  std::optional<LogIndex> place_entries(const Append& message, AppendReply& reply);
  std::size_t fitting_entries(const Append& message, std::size_t first) const;
  void append(const Entry& entry);

  ReplicaState& state_;
  ReplicatedLog& log_;
  GroupServices& services_;
  Election& election_;
  SnapshotReceiver& receiver_;
  ReplicaLife& life_;
};

}  // namespace ringfs::dht
