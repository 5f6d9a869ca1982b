// Majorities of a group's voters, of both halves while the configuration is joint (dissertation, section 4.3).
//
// Pure functions. A half without voters never has a majority. Learners never count.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

// The largest value that a majority of `voters` has reached; `lowest` when there are no voters.
template <class Value, class ValueOf>
Value majority_value(const std::vector<ReplicaId>& voters, Value lowest, const ValueOf& value_of) {
  if (voters.empty()) return lowest;
  std::vector<Value> values;
  values.reserve(voters.size());
  for (const ReplicaId& voter : voters) values.push_back(value_of(voter));
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

// The largest value that a quorum of the configuration has reached.
template <class Value, class ValueOf>
Value quorum_value(const Configuration& configuration, Value lowest, const ValueOf& value_of) {
  Value value = majority_value(configuration.voters, lowest, value_of);
  if (configuration.old_voters.empty()) return value;
  return std::min(value, majority_value(configuration.old_voters, lowest, value_of));
}

enum class VoteOutcome { pending, won, lost };

inline VoteOutcome majority_vote(const std::vector<ReplicaId>& voters, const std::map<ReplicaId, bool>& votes) {
  std::size_t granted = 0;
  std::size_t refused = 0;
  for (const ReplicaId& voter : voters) {
    auto vote = votes.find(voter);
    if (vote == votes.end()) continue;
    ++(vote->second ? granted : refused);
  }
  if (2 * granted > voters.size()) return VoteOutcome::won;
  return 2 * (voters.size() - refused) > voters.size() ? VoteOutcome::pending : VoteOutcome::lost;
}

inline VoteOutcome vote_outcome(const Configuration& configuration, const std::map<ReplicaId, bool>& votes) {
  VoteOutcome outcome = majority_vote(configuration.voters, votes);
  if (configuration.old_voters.empty()) return outcome;
  VoteOutcome old = majority_vote(configuration.old_voters, votes);
  if (outcome == VoteOutcome::lost || old == VoteOutcome::lost) return VoteOutcome::lost;
  return outcome == old ? outcome : VoteOutcome::pending;
}

// The voters of both halves, each once, in the order of the configuration.
inline std::vector<ReplicaId> all_voters(const Configuration& configuration) {
  std::vector<ReplicaId> voters = configuration.voters;
  for (const ReplicaId& voter : configuration.old_voters) {
    if (std::find(voters.begin(), voters.end(), voter) == voters.end()) voters.push_back(voter);
  }
  return voters;
}

inline bool has_node(const std::vector<ReplicaId>& replicas, const Uuid& node) {
  return std::any_of(replicas.begin(), replicas.end(), [&](const ReplicaId& replica) { return replica.node == node; });
}

// As a voter of either half or as a learner.
inline bool names(const Configuration& configuration, const ReplicaId& replica) {
  for (const auto* list : {&configuration.voters, &configuration.old_voters, &configuration.learners}) {
    if (std::find(list->begin(), list->end(), replica) != list->end()) return true;
  }
  return false;
}

inline bool is_voter(const Configuration& configuration, const ReplicaId& replica) {
  auto has = [&](const std::vector<ReplicaId>& half) {
    return std::find(half.begin(), half.end(), replica) != half.end();
  };
  return has(configuration.voters) || has(configuration.old_voters);
}

}  // namespace ringfs::dht
