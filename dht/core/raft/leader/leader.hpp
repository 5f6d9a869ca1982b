// What a replica has only while it leads its group, as one object: it begins with the election that was won and ends
// when another one leads, a quorum does not answer, or leadership is given up. Nothing of it is left then but
// Commitments.
//
//   followers          what it knows of the others                      followers.hpp, progress.hpp
//   replication        appends to them                                  replication.hpp
//   snapshots          rows for those that lag too far                  snapshot_sender.hpp
//   transfer           when and to whom it hands over                   transfer.hpp, transfer_targets.hpp
//   leases             the leader lease and row leases                  leases.hpp
//   proposals          batches that are admitted or wait                proposals.hpp
//   reads              reads under way                                  read_queue.hpp
//   membership         the group moves where the placement wants it     membership_change.hpp
//
// It never ends itself: where it should, it returns a Verdict, and Election carries that out. Threads: none. Errors:
// none. Limits: those of its parts.
#pragma once

#include "dht/core/raft/leader/membership_change.hpp"
#include "dht/core/raft/leader/proposals.hpp"
#include "dht/core/raft/leader/read_queue.hpp"
#include "dht/core/raft/leader/replication.hpp"

namespace ringfs::dht {

struct LeaderLimits {
  // For so long a majority may have no room for the next entry; then the leader lets the others elect one without it.
  static constexpr Duration stuck_timeout = std::chrono::seconds(2);
};

class Leader {
 public:
  Leader(ReplicaState& state, GroupServices& services, Commitments& commitments);
  Leader(const Leader&) = delete;
  Leader& operator=(const Leader&) = delete;

  void begin();  // its no-op, and the first heartbeats
  void end();    // whoever waits is told; it is destroyed next

  [[nodiscard]] Verdict interval();  // once every heartbeat interval
  [[nodiscard]] Verdict tick();      // at the deadline
  TimePoint deadline() const { return std::min(transfer_.deadline(), proposals_.deadline()); }
  [[nodiscard]] Verdict hand_over_soon();  // its data is damaged
  void flush();                            // appends, once a turn

  void receive(const Uuid& source, const AppendReply& message);
  void receive(const Uuid& source, const SnapshotReply& message);
  // What to say to a peer. No value: no replica that is known.
  std::optional<HeartbeatGroup> heartbeat_for(const ReplicaId& peer) const;
  void heartbeat_acknowledged(const HeartbeatGroup& sent, const ReplicaId& peer, std::uint64_t round, TimePoint sent_at,
                              bool damaged);
  bool heartbeat_refused(const ReplicaId& peer, bool damaged);  // false: by no replica that is known
  void peer_disconnected(const Uuid& peer);
  void peer_restarted(const Uuid& peer);
  void peer_has_room(const Uuid& peer);  // again, or more than before

  void propose(Proposal proposal) { proposals_.propose(std::move(proposal)); }
  void released(const Release& release) { proposals_.released(release); }
  void read(OperationId operation, ReadRequest request, const RowLease& lease);
  void written();  // entries have become durable here
  void applied();  // entries have been applied here
  Duration grant(const RowChanges& changed);
  std::optional<LogIndex> loaded(EffectId id, Result<std::vector<Entry>> entries);
  bool snapshot_read(EffectId id, Result<SnapshotData> data);

  const Followers& followers() const { return followers_; }
  const TransferTargets& targets() const { return targets_; }
  const Leases& leases() const { return leases_; }
  const Proposals& proposals() const { return proposals_; }
  const MembershipChange& membership() const { return membership_; }
  ReadQueue& reads() { return reads_; }
  LogIndex term_start() const { return term_start_; }
  bool may_read() const;
  void describe(GroupStatus& status) const;

 private:
  TimePoint now() const { return services_.now(); }
  void take_up_configuration();
  bool lost_quorum() const;
  bool stuck();
  void change_members();

  ReplicaState& state_;
  ReplicatedLog& log_;
  GroupServices& services_;
  Commitments& commitments_;

  const TimePoint led_since_;
  LogIndex term_start_ = 0;  // the own no-op
  bool lease_seen_ = false;
  std::optional<TimePoint> stuck_since_;  // a majority has no room for the entry after stuck_at_
  LogIndex stuck_at_ = 0;

  Followers followers_;
  SnapshotSender snapshots_;
  Replication replication_;
  TransferTargets targets_;
  Transfer transfer_;
  Leases leases_;
  Proposals proposals_;
  ReadQueue reads_;
  MembershipChange membership_;
};

}  // namespace ringfs::dht
