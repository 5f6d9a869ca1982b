// Membership change: a leader moves its group to the nodes that the placement wants (docs/design.md#membership-change;
// dissertation, chapter 4).
//
//   add learners -> they catch up, by the log or a snapshot -> joint configuration -> new configuration
//
// One change is in flight: nothing is proposed before the newest configuration is applied, and nothing before an entry
// of the own term is applied (the bug of single-server changes, raft-dev 2015). Each step is derived anew from the
// newest configuration and the placement, so a new leader goes on where the last one stopped. A live voter goes only in
// the joint configuration in which its replacement votes.
//
// Threads: none. Errors: none. Limits: MembershipLimits, NodeLimits::groups_moving.
#pragma once

#include "dht/core/raft/leader/transfer_targets.hpp"

namespace ringfs::dht {

struct MembershipLimits {
  // Of a learner without an answer: others need not wait for it.
  static constexpr Duration learner_timeout = std::chrono::seconds(5);
  // Of a leader that is removed, to find a transfer target.
  static constexpr Duration hand_over_timeout = std::chrono::seconds(3);
};

class MembershipChange {
 public:
  MembershipChange(const ReplicaState& state, GroupServices& services, const Followers& followers,
                   const TransferTargets& targets)
      : state_(state), services_(services), followers_(followers), targets_(targets) {}

  void note_moving();  // whether the group takes up one of the node's moves
  // The configuration to append now. No value: none, or not yet.
  std::optional<Configuration> next();
  // The joint configuration is committed, and this leader is no voter of the one that follows.
  bool leaving() const { return joint_since_.has_value() && excluded(); }
  // The placement wants the node, and it does not vote in a configuration of its own yet.
  bool owes(const Uuid& node) const;
  bool settled() const;  // the members are those that the placement wants

 private:
  TimePoint now() const { return services_.now(); }
  bool excluded() const;
  std::optional<Configuration> leave_joint();
  std::optional<Configuration> with_learners(const std::vector<Uuid>& wanted);
  std::optional<Configuration> with_voters(const std::vector<Uuid>& wanted) const;
  std::vector<ReplicaId> target_voters(const std::vector<Uuid>& wanted) const;
  bool is_replaced_now(const ReplicaId& voter) const;
  bool gives_up_sound_copies(const std::vector<ReplicaId>& before, const std::vector<ReplicaId>& after) const;

  const ReplicaState& state_;
  GroupServices& services_;
  const Followers& followers_;
  const TransferTargets& targets_;
  std::optional<TimePoint> joint_since_;  // the joint configuration is committed
};

}  // namespace ringfs::dht
