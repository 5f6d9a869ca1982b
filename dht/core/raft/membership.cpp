// Membership change: a leader moves its group to the nodes that the placement wants (docs/design.md#membership-change;
// dissertation, chapter 4).
//
//   add learners -> they catch up, by the log or a snapshot -> joint configuration -> new configuration
//
// One change is in flight: nothing is proposed before the newest configuration is applied, and nothing before an entry
// of the own term is applied (the bug of single-server changes, raft-dev 2015). Each step is derived anew from the
// newest configuration and the placement, so a new leader goes on where the last one stopped. A live voter goes only in
// the joint configuration in which its replacement votes.
#include <algorithm>

#include "dht/core/raft/group.hpp"

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

// Once an interval.
void Group::move_members() {
  note_moving();
  const bool in_flight = configurations_.size() > 1 && !services_.faults.overlapping_changes;
  if (transfer_ || disk_hangs() || applied_ < term_start_ || in_flight || services_.room == Room::none) return;
  if (!configuration().old_voters.empty()) {
    leave_joint();
    return;
  }
  joint_since_.reset();
  const bool whole =
      std::none_of(progress_.begin(), progress_.end(), [](const auto& one) { return one.second.to_be_replaced(); });
  if (settled() && whole) return;
  const std::vector<Uuid>& wanted = services_.placement.preference_list(partition_);
  if (wanted.empty()) return;
  std::optional<Configuration> next = with_learners(wanted);
  if (!next) next = with_voters(wanted);
  if (next) append_configuration(*next);
}

void Group::append_configuration(const Configuration& next) {
  append_local(EntryKind::configuration, SharedBytes(encode(next)), {}, false);
  event("configuration_proposed",
        "index=" + std::to_string(log_.last_index()) + " voters=" + std::to_string(next.voters.size()) +
            " old=" + std::to_string(next.old_voters.size()) + " learners=" + std::to_string(next.learners.size()));
}

// Learners that a move needs, without those that no move needs any more. No value: they are right.
std::optional<Configuration> Group::with_learners(const std::vector<Uuid>& wanted) {
  Configuration next = configuration();
  std::erase_if(next.learners, [&](const ReplicaId& learner) {
    return to_be_replaced(learner) || std::find(wanted.begin(), wanted.end(), learner.node) == wanted.end() ||
           has_node(next.voters, learner.node);
  });
  const bool room = services_.moving.contains(partition_) || services_.moving.size() < max_groups_moving;
  for (const Uuid& node : wanted) {
    if (!room || services_.moves_paused || has_node(next.voters, node) || has_node(next.learners, node)) continue;
    next.learners.push_back({node, log_.last_index() + 1});
    services_.moving.insert(partition_);
  }
  if (next == configuration()) return std::nullopt;
  return next;
}

// The joint configuration that leads to the voters wanted, when they are ready. No value: not yet, or nothing to do.
std::optional<Configuration> Group::with_voters(const std::vector<Uuid>& wanted) const {
  const Configuration& current = configuration();
  std::vector<ReplicaId> target = target_voters(wanted);
  if (target.empty() || same_members(target, current.voters) || !quorum_answers(target)) return std::nullopt;
  Configuration next;
  next.voters = std::move(target);
  if (!services_.faults.skip_joint) next.old_voters = current.voters;
  for (const ReplicaId& learner : current.learners) {
    if (!has_node(next.voters, learner.node)) next.learners.push_back(learner);
  }
  return next;
}

// Those wanted, once all of them vote or could. While one of them is not there and a voter is missing or nobody knows
// for how long: those that are ready, and as many of the present voters as it takes. Empty: wait.
std::vector<ReplicaId> Group::target_voters(const std::vector<Uuid>& wanted) const {
  const Configuration& current = configuration();
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
    auto progress = learner == nullptr ? progress_.end() : progress_.find(*learner);
    if (progress == progress_.end()) continue;
    if (caught_up(progress->first, progress->second))
      target.push_back(*learner);
    else
      stalled = stalled || (!answering(progress->second) && progress->second.since + learner_timeout <= now());
  }
  if (target.size() == wanted.size()) return target;
  if (!stalled &&
      std::all_of(current.voters.begin(), current.voters.end(), [&](const ReplicaId& one) { return answers(one); }))
    return {};
  // A damaged voter may have the last good copy of some row: it goes only when the sound ones are a majority without
  // it, also where fewer copies than that are wanted from now on.
  const bool any_goes = std::any_of(current.voters.begin(), current.voters.end(),
                                    [&](const ReplicaId& one) { return is_replaced_now(one); });
  const std::size_t majority = current.voters.size() / 2 + 1;
  const std::size_t enough = any_goes ? std::max(wanted.size(), majority) : wanted.size();
  for (bool live : {true, false}) {
    for (const ReplicaId& voter : current.voters) {
      const bool kept =
          target.size() >= enough || has_node(target, voter.node) || is_replaced_now(voter) || answers(voter) != live;
      if (!kept) target.push_back(voter);
    }
  }
  if (any_goes && target.size() < majority) return {};
  return target;
}

// While moves are paused nobody would come in its place.
bool Group::is_replaced_now(const ReplicaId& voter) const { return to_be_replaced(voter) && !services_.moves_paused; }

bool Group::to_be_replaced(const ReplicaId& replica) const {
  if (replica == replica_) return damage_ != Damage::none;
  auto progress = progress_.find(replica);
  return progress != progress_.end() && progress->second.to_be_replaced();
}

bool Group::caught_up(const ReplicaId& replica, const Progress& progress) const {
  return progress.state == Progress::State::replicate && answering(progress) && progress.match >= replica.added &&
         progress.match + transfer_slack_entries >= log_.last_index();
}

bool Group::answers(const ReplicaId& replica) const {
  if (replica == replica_) return true;
  auto progress = progress_.find(replica);
  return progress != progress_.end() && answering(progress->second);
}

bool Group::quorum_answers(const std::vector<ReplicaId>& voters) const {
  auto answering = std::count_if(voters.begin(), voters.end(), [&](const ReplicaId& voter) { return answers(voter); });
  return 2 * static_cast<std::size_t>(answering) > voters.size();
}

// The joint configuration is committed. A leader that is not among the new voters hands leadership over first, if one
// of them takes it.
void Group::leave_joint() {
  if (!joint_since_) joint_since_ = now();
  if (leaving() && target_of_leaving() && *joint_since_ + hand_over_timeout > now())
    return;  // drift_to_preferred() does it
  Configuration next = configuration();
  next.old_voters.clear();
  append_configuration(next);
}

// This leader is about to be no voter any more.
bool Group::leaving() const {
  const std::vector<ReplicaId>& voters = configuration().voters;
  return std::find(voters.begin(), voters.end(), replica_) == voters.end();
}

// Of the new voters one that keeps up, the preferred primary if it does.
std::optional<ReplicaId> Group::target_of_leaving() const {
  std::optional<ReplicaId> target;
  for (const ReplicaId& voter : configuration().voters) {
    auto progress = progress_.find(voter);
    if (progress == progress_.end() || progress->second.damaged || !caught_up(voter, progress->second) ||
        said_unfit(voter))
      continue;
    if (!target || preference_rank(voter.node) == 0) target = voter;
  }
  return target;
}

// Which groups take up one of the node's moves: those with a learner that is being filled.
void Group::note_moving() {
  bool moving = false;
  for (const ReplicaId& learner : configuration().learners) {
    auto progress = progress_.find(learner);
    if (progress == progress_.end() || caught_up(learner, progress->second)) continue;
    moving = moving || answering(progress->second) || progress->second.since + learner_timeout > now();
  }
  if (moving)
    services_.moving.insert(partition_);
  else
    services_.moving.erase(partition_);
}

bool Group::owes(const Uuid& node) const {
  const std::vector<Uuid>& wanted = services_.placement.preference_list(partition_);
  if (std::find(wanted.begin(), wanted.end(), node) == wanted.end()) return false;
  const bool rests = configurations_.size() == 1 && configuration().old_voters.empty();
  return !rests || !has_node(configuration().voters, node);
}

bool Group::names_node(const Uuid& node) const {
  return std::any_of(configurations_.begin(), configurations_.end(), [&](const ConfigurationAt& one) {
    const Configuration& known = one.configuration;
    return has_node(known.voters, node) || has_node(known.old_voters, node) || has_node(known.learners, node);
  });
}

bool Group::settled() const {
  if (role_ != Role::leader || configurations_.size() > 1) return false;
  const Configuration& current = configuration();
  const std::vector<Uuid>& wanted = services_.placement.preference_list(partition_);
  return current.old_voters.empty() && current.learners.empty() && current.voters.size() == wanted.size() &&
         std::all_of(wanted.begin(), wanted.end(), [&](const Uuid& node) { return has_node(current.voters, node); });
}

}  // namespace ringfs::dht
