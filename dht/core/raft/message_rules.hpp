// What the term of a message does, for each message of a group: one table for all of them (Raft paper, section 5.1).
// receive.cpp carries it out before the part that the message is for sees it.
//
//   message          from                to                      a lower term   a higher term
//   RequestVote      any replica         this very replica       judged         judged: a lease may forbid to enter it,
//                                                                               a pre-vote never does
//   VoteReply        any replica         this very replica       judged         become a follower
//     pre-vote, granted                                          judged         judged: it names the term asked for
//   Append           the leader          this replica, or the    answered       follow
//   SnapshotChunk                        one that it becomes     answered       follow
//   heartbeat        the leader          this very replica       answered       follow
//   AppendReply      a follower          this very replica       dropped        become a follower
//   SnapshotReply    a follower          this very replica       dropped        become a follower
//   TimeoutNow       the leader          this very replica       dropped        dropped
//   ReplicaQuery     anybody             anybody                 it has none    it has none
//   ReplicaRemoved   anybody             anybody                 it has none    it has none
//
// An equal term: the messages of a leader are followed, unless this replica leads that term itself; all others are
// handed on. "This very replica": the message names it by its identity (ReplicaId), and does not come from an earlier
// life of a replica that is known here (ReplicaState::accepts). Answers to heartbeats have no header of their own: they
// count for the terms and replicas that their round named.
#pragma once

#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

struct MessageRule {
  enum class Identity : std::uint8_t {
    any,      // not looked at
    present,  // this very replica
    leads,    // this very replica, which is not removed
    makes,    // likewise; a leader's message may make it another one
  };
  enum class Lower : std::uint8_t { drop, answer, judge };
  enum class Higher : std::uint8_t { drop, follow, step_down, judge };

  Identity identity = Identity::present;
  Lower lower = Lower::drop;
  Higher higher = Higher::drop;
};

constexpr MessageRule rule_of(const RequestVote&) {
  return {MessageRule::Identity::present, MessageRule::Lower::judge, MessageRule::Higher::judge};
}
constexpr MessageRule rule_of(const VoteReply& message) {
  const bool names_term_asked_for = message.pre_vote && message.granted;
  return {MessageRule::Identity::present, MessageRule::Lower::judge,
          names_term_asked_for ? MessageRule::Higher::judge : MessageRule::Higher::step_down};
}
constexpr MessageRule rule_of(const Append&) {
  return {MessageRule::Identity::makes, MessageRule::Lower::answer, MessageRule::Higher::follow};
}
constexpr MessageRule rule_of(const SnapshotChunk&) {
  return {MessageRule::Identity::makes, MessageRule::Lower::answer, MessageRule::Higher::follow};
}
constexpr MessageRule rule_of(const HeartbeatGroup&) {
  return {MessageRule::Identity::leads, MessageRule::Lower::answer, MessageRule::Higher::follow};
}
constexpr MessageRule rule_of(const AppendReply&) {
  return {MessageRule::Identity::present, MessageRule::Lower::drop, MessageRule::Higher::step_down};
}
constexpr MessageRule rule_of(const SnapshotReply&) {
  return {MessageRule::Identity::present, MessageRule::Lower::drop, MessageRule::Higher::step_down};
}
constexpr MessageRule rule_of(const TimeoutNow&) {
  return {MessageRule::Identity::present, MessageRule::Lower::drop, MessageRule::Higher::drop};
}
constexpr MessageRule rule_of(const ReplicaQuery&) {
  return {MessageRule::Identity::any, MessageRule::Lower::judge, MessageRule::Higher::judge};
}
constexpr MessageRule rule_of(const ReplicaRemoved&) {
  return {MessageRule::Identity::any, MessageRule::Lower::judge, MessageRule::Higher::judge};
}

}  // namespace ringfs::dht
