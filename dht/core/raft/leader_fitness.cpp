// A leader that should not lead hands over, and who may take over (fitness.hpp; docs/design.md#fitness).
//
// A leader whose disk hangs cannot enter another term, for a vote must be written first. It waits until the row leases
// have ended (no new ones are given), then hands over to a voter whose disk is known to answer; if none takes
// it, it stops leading, so that the others elect one of themselves. If they could not, it stays: a ring on one disk is
// none the better for it. A hung write has not failed, so nothing that builds on it is said, and a hung disk neither
// asks for votes nor gives any.
#include <algorithm>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

bool Group::disk_hangs() const { return services_.fitness.hangs(now()); }

bool Group::should_not_lead() const { return !services_.faults.lead_with_hung_disk && !services_.fitness.fit(now()); }

// It said so; a disk that was idle is asked about, not held to be hung.
bool Group::said_unfit(const ReplicaId& replica) const {
  return !services_.faults.hand_over_blindly && services_.fitness.unfit(replica.node, now());
}

bool Group::known_fit(const ReplicaId& replica) const {
  return services_.faults.hand_over_blindly || services_.fitness.fit(replica.node, now());
}

bool Group::disk_answers(const ReplicaId& replica) const {
  return services_.faults.hand_over_blindly || services_.fitness.answers(replica.node, now());
}

// Without this replica's vote, which cannot be written.
bool Group::others_can_elect() const {
  std::map<ReplicaId, bool> votes;
  for (const ReplicaId& voter : all_voters(configuration())) votes[voter] = voter != replica_ && disk_answers(voter);
  return vote_outcome(configuration(), votes) == VoteOutcome::won;
}

// Their next heartbeat asks the peers to find out whether their disks answer.
void Group::ask_about_disks() {
  if (services_.ask_until <= now()) {
    for (const auto& [replica, progress] : progress_) services_.urgent_heartbeats.insert(replica.node);
  }
  services_.ask_until = now() + fitness_life;
}

// Of those that keep up and whose disks answer one that is well, by preference; from a hung disk to a slow one if there
// is no other.
std::optional<ReplicaId> Group::target_of_unfit() const {
  if (!others_can_elect()) return std::nullopt;
  std::optional<ReplicaId> target;
  for (bool well : {true, false}) {
    for (const ReplicaId& voter : configuration().voters) {
      auto progress = progress_.find(voter);
      if (progress == progress_.end() || progress->second.damaged || !caught_up(voter, progress->second) ||
          !disk_answers(voter))
        continue;
      if (known_fit(voter) != well) continue;
      if (!disk_hangs() && room_of(voter.node) < services_.room) continue;  // it would hand back
      if (!target || preference_rank(voter.node) < preference_rank(target->node)) target = voter;
    }
    if (target || !disk_hangs()) return target;
  }
  return target;
}

// Nobody took it over. Without its heartbeats the others elect one of themselves.
void Group::give_up_leading() {
  if (role_ != Role::leader || !others_can_elect()) return;
  event("leadership_given_up");
  become_follower(term_, std::nullopt);
}

}  // namespace ringfs::dht
