// The next configuration on the way to the members that the placement wants.
#include "dht/core/raft/leader/membership_change.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

namespace {

bool same_members(std::vector<ReplicaId> left, std::vector<ReplicaId> right) {
  std::sort(left.begin(), left.end());
  std::sort(right.begin(), right.end());
  return left == right;
}

const ReplicaId* of_node(const std::vector<ReplicaId>& replicas, const Uuid& node) {
  auto found = std::find_if(replicas.begin(), replicas.end(), [&](const ReplicaId& one) { return one.node == node; });
  return found == replicas.end() ? nullptr : &*found;
}

}  // namespace

std::optional<Configuration> MembershipChange::next() {
  if (!state_.configuration().old_voters.empty()) return leave_joint();
  joint_since_.reset();
  const Followers::Map& followers = followers_.all();
  const bool whole =
      std::none_of(followers.begin(), followers.end(), [](const auto& one) { return one.second.to_be_replaced(); });
  if (settled() && whole) return std::nullopt;
  const std::vector<Uuid>& wanted = services_.placement.preference_list(state_.partition());
  if (wanted.empty()) return std::nullopt;
  std::optional<Configuration> next = with_learners(wanted);
  return next ? next : with_voters(wanted);
}

// Learners that a move needs, without those that no move needs any more. No value: they are right.
std::optional<Configuration> MembershipChange::with_learners(const std::vector<Uuid>& wanted) {
  Configuration next = state_.configuration();
  std::erase_if(next.learners, [&](const ReplicaId& learner) {
    return followers_.to_be_replaced(learner) ||
           std::find(wanted.begin(), wanted.end(), learner.node) == wanted.end() || has_node(next.voters, learner.node);
  });
  std::set<PartitionId>& moving = services_.moving;
  const bool room = moving.contains(state_.partition()) || moving.size() < NodeLimits::groups_moving;
  for (const Uuid& node : wanted) {
    if (!room || services_.moves_paused || has_node(next.voters, node) || has_node(next.learners, node)) continue;
    next.learners.push_back({node, state_.log().last_index() + 1});
    moving.insert(state_.partition());
  }
  if (next == state_.configuration()) return std::nullopt;
  return next;
}

// The joint configuration that leads to the voters wanted, when they are ready. No value: not yet, or nothing to do.
std::optional<Configuration> MembershipChange::with_voters(const std::vector<Uuid>& wanted) const {
  const Configuration& current = state_.configuration();
  std::vector<ReplicaId> target = target_voters(wanted);
  if (target.empty() || same_members(target, current.voters) || !followers_.majority_answers(target) ||
      gives_up_sound_copies(current.voters, target))
    return std::nullopt;
  Configuration next;
  next.voters = std::move(target);
  if (!services_.faults.skip_joint) next.old_voters = current.voters;
  for (const ReplicaId& learner : current.learners) {
    if (!has_node(next.voters, learner.node)) next.learners.push_back(learner);
  }
  return next;
}

// Those wanted, once all of them vote or have caught up. If one of them does not come, or a present voter does not
// answer: those that are ready, and as many of the present voters as it takes. Empty: wait.
std::vector<ReplicaId> MembershipChange::target_voters(const std::vector<Uuid>& wanted) const {
  const Configuration& current = state_.configuration();
  std::vector<ReplicaId> target;
  bool stalled = false;
  for (const Uuid& node : wanted) {
    if (const ReplicaId* voter = of_node(current.voters, node)) {
      if (is_replaced_now(*voter))
        stalled = true;  // it comes again as a learner
      else
        target.push_back(*voter);
      continue;
    }
    const ReplicaId* learner = of_node(current.learners, node);
    const Progress* progress = learner == nullptr ? nullptr : followers_.find(*learner);
    if (progress == nullptr) continue;
    if (followers_.caught_up(*learner, *progress))
      target.push_back(*learner);
    else
      stalled =
          stalled || (!followers_.answering(*progress) && progress->since + MembershipLimits::learner_timeout <= now());
  }
  if (target.size() == wanted.size()) return target;
  const bool all_answer = std::all_of(current.voters.begin(), current.voters.end(),
                                      [&](const ReplicaId& one) { return followers_.answers(one); });
  if (!stalled && all_answer) return {};
  // A damaged voter may have the last good copy of some row: it goes only when the sound ones are a majority without
  // it, also where fewer copies than that are wanted from now on.
  const bool any_goes = std::any_of(current.voters.begin(), current.voters.end(),
                                    [&](const ReplicaId& one) { return is_replaced_now(one); });
  const std::size_t majority = current.voters.size() / 2 + 1;
  const std::size_t enough = any_goes ? std::max(wanted.size(), majority) : wanted.size();
  for (bool live : {true, false}) {
    for (const ReplicaId& voter : current.voters) {
      const bool kept = target.size() >= enough || has_node(target, voter.node) || is_replaced_now(voter) ||
                        followers_.answers(voter) != live;
      if (!kept) target.push_back(voter);
    }
  }
  if (any_goes && target.size() < majority) return {};
  return target;
}

// Not while moves are paused: nobody would come in its place.
bool MembershipChange::is_replaced_now(const ReplicaId& voter) const {
  return followers_.to_be_replaced(voter) && !services_.moves_paused;
}

// Fewer replicas would be sound, and those that stay could not replace the others: nobody removes the last good copy of
// a row. It matters where the number of copies falls.
bool MembershipChange::gives_up_sound_copies(const std::vector<ReplicaId>& before,
                                             const std::vector<ReplicaId>& after) const {
  const auto sound = [&](const std::vector<ReplicaId>& voters) {
    return static_cast<std::size_t>(std::count_if(
        voters.begin(), voters.end(), [&](const ReplicaId& one) { return !followers_.to_be_replaced(one); }));
  };
  const std::size_t left = sound(after);
  return left < sound(before) && 2 * left <= after.size();
}

// The joint configuration is committed. A leader that is not among the new voters hands leadership over first
// (Transfer), if one of them takes it. Meanwhile damage may have become known: then those that should go stay, if all
// others are among them (with both majorities either half may follow).
std::optional<Configuration> MembershipChange::leave_joint() {
  const Configuration& joint = state_.configuration();
  const bool takes_away = std::all_of(joint.voters.begin(), joint.voters.end(), [&](const ReplicaId& one) {
    return std::find(joint.old_voters.begin(), joint.old_voters.end(), one) != joint.old_voters.end();
  });
  if (takes_away && gives_up_sound_copies(joint.old_voters, joint.voters)) {
    joint_since_.reset();
    return Configuration{joint.old_voters, {}, joint.learners};
  }
  if (!joint_since_) joint_since_ = now();
  if (excluded() && targets_.of_leaving() && *joint_since_ + MembershipLimits::hand_over_timeout > now())
    return std::nullopt;
  Configuration next = state_.configuration();
  next.old_voters.clear();
  return next;
}

bool MembershipChange::excluded() const {
  const std::vector<ReplicaId>& voters = state_.configuration().voters;
  return std::find(voters.begin(), voters.end(), state_.id()) == voters.end();
}

// Those with a learner that is being filled.
void MembershipChange::note_moving() {
  bool moving = false;
  for (const ReplicaId& learner : state_.configuration().learners) {
    const Progress* progress = followers_.find(learner);
    if (progress == nullptr || followers_.caught_up(learner, *progress)) continue;
    moving = moving || followers_.answering(*progress) || progress->since + MembershipLimits::learner_timeout > now();
  }
  if (moving)
    services_.moving.insert(state_.partition());
  else
    services_.moving.erase(state_.partition());
}

bool MembershipChange::owes(const Uuid& node) const {
  const std::vector<Uuid>& wanted = services_.placement.preference_list(state_.partition());
  if (std::find(wanted.begin(), wanted.end(), node) == wanted.end()) return false;
  const bool rests = state_.log().configurations().size() == 1 && state_.configuration().old_voters.empty();
  return !rests || !has_node(state_.configuration().voters, node);
}

bool MembershipChange::settled() const {
  if (state_.log().configurations().size() > 1) return false;
  const Configuration& current = state_.configuration();
  const std::vector<Uuid>& wanted = services_.placement.preference_list(state_.partition());
  return current.old_voters.empty() && current.learners.empty() && current.voters.size() == wanted.size() &&
         std::all_of(wanted.begin(), wanted.end(), [&](const Uuid& node) { return has_node(current.voters, node); });
}

}  // namespace ringfs::dht
