// One Raft group: this node's replica of one partition (docs/design.md#partitions-and-groups).
//
// Raft as published (Ongaro, "Consensus: Bridging Theory and Practice", 2014) with PreVote, CheckQuorum, leader leases,
// ReadIndex as their fall-back, leadership transfer, pipelined appends, chunked snapshots and joint configurations.
// Group is the face that the node sees. It hands each input to the parts that it concerns:
//
//   part                  what it is                                                       file
//   ReplicaState          identity, term, vote, damage                                     replica/replica_state.hpp
//     ReplicatedLog       the log; stable, commit, applied; configurations                 replica/replicated_log.hpp
//   ReplicaLife           whether this replica still is a member                           replica/replica_life.hpp
//   Election              the role, votes and timeouts; owns the Leader                   election.hpp
//     Leader              what only a leader has: replication, leases, transfer, ...       leader/leader.hpp
//   Follower              entries from a leader                                            follower.hpp
//   SnapshotReceiver      rows from a leader                                               snapshot_receiver.hpp
//   Commitments           what outlives a leadership                                       leader/commitments.hpp
//   compaction            how far the log is compacted                                     compaction.hpp
//   message rules         what the term of each message does (receive.cpp)                 message_rules.hpp
//   GroupServices         what the groups of a node share                                  group_services.hpp
//
// Who calls whom: Group any part; Follower calls Election; Election calls Leader, SnapshotReceiver and ReplicaLife; the
// parts of Leader call each other (leader/leader.hpp). All of them change ReplicaState. Nobody calls Group: a part
// tells by a return value that leadership should end (Verdict) or that data is damaged.
//
// Inputs change the state and put votes, replies and writes into the Outbox; flush(), once a turn, sends the appends
// and hands out the applies, so that many proposals of one turn share a message. Every input ends with check(): the
// invariants of docs/invariants.md that a few comparisons can tell. Threads: none. Errors: messages that do not make
// sense are dropped; an answer of the driver to nothing that was asked, or a committed entry that would change, aborts.
// Limits: NodeLimits (group_services.hpp) and those of the parts.
#pragma once

#include <optional>
#include <vector>

#include "dht/core/protocol/persisted_state.hpp"
#include "dht/core/raft/follower.hpp"
#include "dht/core/raft/message_rules.hpp"

namespace ringfs::dht {

class Group {
 public:
  // `created`: genesis made it just now, so no earlier life can have granted a lease.
  Group(const PersistedGroup& persisted, bool created, bool holds_members_table, GroupServices& services);

  // A RequestVote, VoteReply, Append, AppendReply, TimeoutNow, SnapshotChunk, SnapshotReply, ReplicaQuery or
  // ReplicaRemoved.
  template <class M>
  void receive(const Uuid& source, const M& message);

  // Heartbeats (heartbeats.hpp): as a follower whether to acknowledge, as a leader what was answered.
  struct HeartbeatAnswer {
    bool acknowledged = false;
    Term term = 0;         // when not: this replica's, 0 when it is another replica
    bool damaged = false;  // acknowledged: its rows; otherwise this very replica has lost its log
  };
  HeartbeatAnswer heartbeat(const Uuid& source, const HeartbeatGroup& heartbeat);
  void heartbeat_acknowledged(const Uuid& source, const HeartbeatGroup& sent, std::uint64_t round, TimePoint sent_at,
                              bool damaged);
  void heartbeat_refused(const Uuid& source, const HeartbeatGroup& sent, const HeartbeatReply::Refusal& refusal);

  void tick();  // timeouts
  TimePoint deadline() const { return election_.deadline(); }
  void interval();  // as a leader: once every heartbeat interval
  void peer_disconnected(const Uuid& peer);
  void peer_restarted(const Uuid& peer);
  void peer_has_room(const Uuid& peer);  // again, or more than before

  void propose(Proposal proposal);
  void released(const Release& release);
  void read(OperationId operation, ReadRequest request, const RowLease& lease);

  // The driver's answers.
  void written(EffectId write);
  void applied(LogIndex through, const std::vector<AppliedBatch>& results);
  void apply_failed(LogIndex through, Damage damage);
  void read_done(EffectId id, Result<ReadAnswer> answer);
  void loaded(EffectId id, Result<std::vector<Entry>> entries);
  void snapshot_read(EffectId id, Result<SnapshotData> data);

  void flush();
  void compact_for_budget(const LogBudget::Compaction& wanted);
  void drop_staged_snapshot();  // for want of room
  void mark_damaged(Damage damage);
  void entry_damaged(LogIndex index);  // this entry or one behind it

  const ReplicaState& state() const { return state_; }
  const Leader* leader() const { return election_.leader(); }  // null: this replica does not lead
  bool holds_lease() const { return leader() != nullptr && leader()->leases().holds(); }
  GroupStatus status() const;
  // True once after the rows of the members table may have changed here.
  bool take_members_touched() { return log_.take_members_touched(); }

 private:
  // receive.cpp
  bool is_addressed(const Uuid& source, const RaftHeader& header, MessageRule::Identity identity);
  bool take_identity(const RaftHeader& header);
  bool take_term(const Uuid& source, Term term, const MessageRule& rule);

  void answer_operation(const AppliedBatch& batch);
  void reset_replica(LogIndex added, ConfigurationAt where_to_ask);
  Leader* leader_of(Term term);
  const Followers* followers() const { return leader() != nullptr ? &leader()->followers() : nullptr; }
  Error damage_error(std::string context) const;
  void check() const;

  GroupServices& services_;
  ReplicaState state_;
  ReplicatedLog& log_;  // of state_
  Commitments commitments_;
  ReplicaLife life_;
  SnapshotReceiver receiver_;
  Election election_;
  Follower follower_;
  std::optional<LogIndex> ignored_apply_;  // was under way when the log was lost
};

}  // namespace ringfs::dht
