// Brings the leader's log to its followers: appends, their answers, retransmission (Raft paper, section 5.3;
// dissertation, section 10.2.1).
//
// Appends are pipelined within the window of each follower's Progress. Bodies that are no longer in memory are loaded
// first; entries that are no longer in the log go as a snapshot. Threads: none. Errors: answers that make no sense are
// dropped. Limits: progress.hpp.
#pragma once

#include "dht/core/raft/leader/snapshot_sender.hpp"

namespace ringfs::dht {

class Replication {
 public:
  Replication(ReplicaState& state, GroupServices& services, Followers& followers, SnapshotSender& snapshots)
      : state_(state), log_(state.log()), services_(services), followers_(followers), snapshots_(snapshots) {}

  void replicate(const ReplicaId& replica, Progress& progress);  // what the window and the follower's state allow
  void interval(const ReplicaId& replica, Progress& progress);   // of one that gets no snapshot
  // The store's answer. Returns the index of an entry that is damaged.
  std::optional<LogIndex> loaded(EffectId id, Result<std::vector<Entry>> entries);
  void receive(Followers::Map::value_type& follower, const AppendReply& message);

 private:
  TimePoint now() const { return services_.now(); }
  void send(const ReplicaId& replica, Progress& progress, std::vector<Entry> entries);
  void send_loaded(const ReplicaId& replica, Progress& progress, std::vector<Entry> entries);
  void trim_to_room(const ReplicaId& replica, std::vector<Entry>& entries) const;
  void rejected(Progress& progress, const AppendReply& message);
  void matched(Progress& progress, LogIndex match);

  ReplicaState& state_;
  ReplicatedLog& log_;
  GroupServices& services_;
  Followers& followers_;
  SnapshotSender& snapshots_;
};

}  // namespace ringfs::dht
