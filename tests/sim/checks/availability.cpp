// Looks at every partition ten times a second: which nodes could serve it, and whether one of them does.
#include "tests/sim/checks/availability.hpp"

#include <algorithm>

namespace ringfs::sim {

namespace {
constexpr Duration judge_interval = std::chrono::milliseconds(100);
constexpr Duration start_up =
    std::chrono::seconds(3);  // of a process: first it refuses votes and has not heard from its groups

const dht::GroupStatus* group_of(const dht::NodeStatus& status, PartitionId partition) {
  auto found = std::find_if(status.groups.begin(), status.groups.end(),
                            [&](const dht::GroupStatus& group) { return group.partition == partition; });
  return found == status.groups.end() ? nullptr : &*found;
}
}  // namespace

void Availability::start() {
  stopped_ = false;
  look();
}

void Availability::look() {
  if (stopped_) return;
  std::map<Uuid, dht::NodeStatus> states;
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    SimNode& node = cluster_.node(i);
    if (node.running()) states.emplace(node.id(), node.status());
  }
  for (std::uint32_t index = 0; index < (1u << cluster_.options().partition_bits); ++index) {
    const PartitionId partition{index};
    const dht::Configuration* configuration = cluster_.invariants().newest_configuration(partition);
    if (configuration != nullptr) judge(partition, *configuration, states);
  }
  world_.after(judge_interval, [this] { look(); });
}

bool Availability::able(SimNode& node) const {
  return node.running() && !node.frozen() && !node.starved() && !node.disk().hangs();
}

bool Availability::well(SimNode& node) const { return able(node) && node.running_since() + start_up <= world_.now(); }

bool Availability::quick(SimNode& node) const { return well(node) && !node.disk_slow(); }

bool Availability::sound(const Uuid& node, PartitionId partition, const std::map<Uuid, dht::NodeStatus>& states) const {
  const auto& stored = cluster_.find(node)->live_disk().groups;
  auto group = stored.find(partition);
  if (group != stored.end() && (group->second.damage != dht::Damage::none || group->second.rows.any_rotten()))
    return false;
  auto state = states.find(node);
  if (state == states.end()) return true;
  const dht::GroupStatus* here = group_of(state->second, partition);
  return here == nullptr || !here->damaged;
}

// Some majority of the voters consists of candidates that fit and hear each other.
bool Availability::majority_of(const std::vector<dht::ReplicaId>& voters, const std::vector<dht::ReplicaId>& candidates,
                               bool (Availability::*fits)(SimNode&) const) {
  const std::size_t most = std::size_t{1} << candidates.size();
  for (std::size_t chosen = 1; chosen < most; ++chosen) {
    std::vector<SimNode*> nodes;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (((chosen >> i) & 1) != 0) nodes.push_back(cluster_.find(candidates[i].node));
    }
    if (2 * nodes.size() <= voters.size()) continue;
    const bool good = std::all_of(nodes.begin(), nodes.end(), [&](SimNode* one) {
      return (this->*fits)(*one) && std::all_of(nodes.begin(), nodes.end(), [&](SimNode* other) {
               return one == other || !cluster_.network().blocked(one->index(), other->index());
             });
    });
    if (good) return true;
  }
  return false;
}

Duration Availability::longest_write(const std::vector<dht::ReplicaId>& voters,
                                     const std::map<Uuid, dht::NodeStatus>& states) const {
  Duration longest{};
  for (const dht::ReplicaId& voter : voters) {
    auto state = states.find(voter.node);
    if (state != states.end() && well(*cluster_.find(voter.node)))
      longest = std::max(longest, state->second.disk_write_time);
  }
  return longest;
}

void Availability::judge(PartitionId partition, const dht::Configuration& configuration,
                         const std::map<Uuid, dht::NodeStatus>& states) {
  Group& group = groups_[partition];
  const TimePoint now = world_.now();
  std::vector<dht::ReplicaId> candidates = configuration.voters;
  std::erase_if(candidates, [&](const dht::ReplicaId& voter) { return !sound(voter.node, partition, states); });
  if (!configuration.old_voters.empty() || !majority_of(configuration.voters, candidates, &Availability::well)) {
    group.owed_since = group.quick_since = never;
    return;
  }
  if (group.owed_since == never) group.owed_since = now;
  const bool others_are_quick = majority_of(configuration.voters, candidates, &Availability::quick);
  if (!others_are_quick)
    group.quick_since = never;
  else if (group.quick_since == never)
    group.quick_since = now;
  for (const auto& [id, status] : states) {
    const dht::GroupStatus* here = group_of(status, partition);
    if (here == nullptr || here->role != dht::Role::leader || !here->lease) continue;
    SimNode& node = *cluster_.find(id);
    // A disk hangs, but nothing was asked of it for long enough: the node cannot know yet.
    const bool unnoticed =
        node.disk().hangs() && status.disk_stalled == Duration::zero() && !node.starved() && !node.frozen();
    if (able(node) || unnoticed) group.served_at = now;
    const bool unfit = node.disk_slow() || node.starved();
    if (unfit && others_are_quick && node.unfit_since() + unfit_bound <= now && group.owed_since + unfit_bound <= now) {
      world_.violate("slow nodes lead nothing", described(partition, states));
      return;
    }
  }
  const TimePoint since = std::max(group.owed_since, group.served_at);
  if (since == now) group.write_time = Duration::zero();
  group.write_time = std::max(group.write_time, longest_write(candidates, states));
  const bool late_for_quick = others_are_quick && now - std::max(group.quick_since, group.served_at) > unserved_bound;
  if (late_for_quick || now - since > unserved_bound + group.write_time) {
    world_.violate("a majority serves while a fault lasts", described(partition, states));
    return;
  }
  if (now - since > unserved_bound / 2) world_.count("a majority was without a leader for long");
}

std::string Availability::described(PartitionId partition, const std::map<Uuid, dht::NodeStatus>& states) {
  std::string text = "partition " + std::to_string(index_of(partition)) + ":";
  for (const auto& [id, status] : states) {
    const dht::GroupStatus* group = group_of(status, partition);
    if (group == nullptr) continue;
    SimNode& node = *cluster_.find(id);
    text += "\n    node " + std::to_string(node.index()) + " role " + std::to_string(static_cast<int>(group->role)) +
            " term " + std::to_string(group->term) + " log .." + std::to_string(group->last_index) + " commit " +
            std::to_string(group->commit) + (group->lease ? " lease" : "") + (node.disk().hangs() ? " hangs" : "") +
            (node.disk_slow() ? " slow" : "") + (node.starved() ? " starved" : "") + (node.frozen() ? " frozen" : "") +
            " stalled " + std::to_string(status.disk_stalled.count()) +
            (status.disk_slow ? " knows that it is slow" : "") + (status.late ? " knows that it is late" : "") +
            " write " + std::to_string(status.disk_write_time.count());
  }
  return text;
}

}  // namespace ringfs::sim
