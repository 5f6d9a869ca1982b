// Which role this replica has in its term, and how it gets another: terms, votes and timeouts (dissertation, chapters
// 3.4, 3.10, 6.4.1 and 9.6; Raft paper, section 5.2).
//
//   role           what means something in it                          what ends it
//   learner        -                                                   a configuration in which it votes: follower
//   follower       leader, last_heard, deadline                        the deadline: pre-candidate
//   pre-candidate  votes; late_votes, of a campaign in this term that  pre-votes of a quorum: candidate; late votes of
//                  ran into its timeout; deadline                     one: leader; the deadline: another pre-campaign
//   candidate      votes (its own when it is durable), deadline        votes of a quorum: leader; the deadline:
//                                                                      pre-candidate
//   leader         Leader, which exists in no other role               a Verdict: follower, or candidate
//
// Beside these, from every role: a message of a higher term makes a follower or a learner (message_rules.hpp); a lost
// log or a reset makes a learner. Without a leader every replica asks now and then whether it still is a member
// (ReplicaLife).
//
// Threads: none. Errors: none. Limits: votes of one configuration.
#pragma once

#include <map>

#include "dht/core/raft/leader/leader.hpp"
#include "dht/core/raft/replica/replica_life.hpp"
#include "dht/core/raft/snapshot_receiver.hpp"

namespace ringfs::dht {

class Election {
 public:
  // `created`: genesis made the group just now, so no earlier life can have granted a lease.
  Election(ReplicaState& state, GroupServices& services, ReplicaLife& life, SnapshotReceiver& receiver,
           Commitments& commitments, bool created);

  Role role() const { return role_; }
  Leader* leader() { return leader_ ? &*leader_ : nullptr; }  // null: this replica does not lead
  const Leader* leader() const { return leader_ ? &*leader_ : nullptr; }

  void receive(const Uuid& source, const RequestVote& message);
  void receive(const Uuid& source, const VoteReply& message);
  void receive(const Uuid& source, const TimeoutNow& message);

  // A message that only the leader of this term or of a later one sends.
  void follow(const Uuid& leader, Term term);
  void become_follower(Term term, std::optional<Uuid> leader);
  void carry_out(Verdict verdict);
  // Neither leads, nor votes, nor answers any more; the others do.
  void withdraw();
  void configuration_changed();
  void hard_state_written();

  TimePoint deadline() const;
  void tick();
  void peer_disconnected(const Uuid& peer);

  void check() const;

 private:
  TimePoint now() const { return services_.now(); }
  bool must_refuse_votes() const;
  bool may_vote() const;
  VoteReply vote_reply(const RequestVote& message) const;
  Duration unfit_delay() const;
  Duration distance() const;
  Duration retry_wait() const;
  void reset_deadline();
  void set_retry_deadline();
  void pre_campaign();
  void campaign(bool transfer);
  void tally();
  void become_leader();
  void stop_leading(std::optional<Uuid> next_leader);
  void set_role_in_configuration();

  ReplicaState& state_;
  GroupServices& services_;
  ReplicaLife& life_;
  SnapshotReceiver& receiver_;
  Commitments& commitments_;

  Role role_ = Role::follower;
  bool votes_in_configuration_ = false;
  TimePoint last_heard_ = TimePoint::min();          // from a leader of the term of that moment
  TimePoint refuse_votes_until_ = TimePoint::min();  // an earlier life of this process may have granted a lease
  TimePoint deadline_{};                             // of the election
  Duration timeout_{};                               // drawn with the last reset, without the delays
  std::map<ReplicaId, bool> votes_;                  // of the campaign or pre-campaign that is on
  // Of the campaign in this term that ran into its timeout: they are as good as before.
  std::map<ReplicaId, bool> late_votes_;
  unsigned failed_campaigns_ = 0;  // since a leader was heard

  std::optional<Leader> leader_;
};

}  // namespace ringfs::dht
