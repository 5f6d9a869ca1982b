// The choice of a transfer target: who keeps up, is sound and fit and has room, the most preferred one of those.
#include "dht/core/raft/leader/transfer_targets.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

// It said so; a disk that was idle is asked about, not held to be hung.
bool TransferTargets::said_unfit(const ReplicaId& replica) const {
  return !services_.faults.hand_over_blindly && services_.fitness.unfit(replica.node, services_.now());
}

bool TransferTargets::known_fit(const ReplicaId& replica) const {
  return services_.faults.hand_over_blindly || services_.fitness.fit(replica.node, services_.now());
}

bool TransferTargets::disk_answers(const ReplicaId& replica) const {
  return services_.faults.hand_over_blindly || services_.fitness.answers(replica.node, services_.now());
}

// Without this replica's vote, which cannot be written.
bool TransferTargets::others_can_elect() const {
  std::map<ReplicaId, bool> votes;
  for (const ReplicaId& voter : all_voters(state_.configuration()))
    votes[voter] = voter != state_.id() && disk_answers(voter);
  return vote_outcome(state_.configuration(), votes) == VoteOutcome::won;
}

bool TransferTargets::sound_and_caught_up(const ReplicaId& voter) const {
  const Progress* progress = followers_.find(voter);
  return progress != nullptr && !progress->damaged && followers_.caught_up(voter, *progress);
}

bool TransferTargets::more_preferred(const ReplicaId& voter, const std::optional<ReplicaId>& than) const {
  return !than || state_.preference_rank(voter.node) < state_.preference_rank(than->node);
}

// Of those whose disks answer one that is well, by preference; from a hung disk to a slow one if there is no other.
std::optional<ReplicaId> TransferTargets::of_unfit() const {
  if (!others_can_elect()) return std::nullopt;
  std::optional<ReplicaId> target;
  for (bool well : {true, false}) {
    for (const ReplicaId& voter : state_.configuration().voters) {
      if (!sound_and_caught_up(voter) || !disk_answers(voter) || known_fit(voter) != well) continue;
      // It would hand back.
      if (!services_.disk_hangs() && services_.room_of(voter.node) < services_.room) continue;
      if (more_preferred(voter, target)) target = voter;
    }
    if (target || !services_.disk_hangs()) return target;
  }
  return target;
}

std::optional<ReplicaId> TransferTargets::of_damaged() const {
  std::optional<ReplicaId> target;
  for (const ReplicaId& voter : state_.configuration().voters) {
    if (!sound_and_caught_up(voter) || said_unfit(voter)) continue;
    if (more_preferred(voter, target)) target = voter;
  }
  return target;
}

// Of the new voters any, the preferred primary if it keeps up.
std::optional<ReplicaId> TransferTargets::of_leaving() const {
  std::optional<ReplicaId> target;
  for (const ReplicaId& voter : state_.configuration().voters) {
    if (!sound_and_caught_up(voter) || said_unfit(voter)) continue;
    if (!target || state_.preference_rank(voter.node) == 0) target = voter;
  }
  return target;
}

// With ample room, the most preferred one of those; if this node can take in nothing at all, one that can at least take
// what needs no room.
std::optional<ReplicaId> TransferTargets::with_room() const {
  std::optional<ReplicaId> target;
  if (services_.room == Room::ample) return target;
  const Room enough = services_.room == Room::none ? Room::reserve : Room::ample;
  for (const ReplicaId& voter : state_.configuration().voters) {
    const Room room = services_.room_of(voter.node);
    if (!sound_and_caught_up(voter) || room < enough || said_unfit(voter)) continue;
    const bool better = !target || room > services_.room_of(target->node) ||
                        (room == services_.room_of(target->node) && more_preferred(voter, target));
    if (better) target = voter;
  }
  return target;
}

std::optional<ReplicaId> TransferTargets::preferred_primary() const {
  const std::vector<ReplicaId>& voters = state_.configuration().voters;
  auto preferred = std::find_if(voters.begin(), voters.end(),
                                [&](const ReplicaId& one) { return state_.preference_rank(one.node) == 0; });
  if (preferred == voters.end() || !sound_and_caught_up(*preferred) || said_unfit(*preferred)) return std::nullopt;
  if (services_.room_of(preferred->node) < services_.room) return std::nullopt;
  return *preferred;
}

}  // namespace ringfs::dht
