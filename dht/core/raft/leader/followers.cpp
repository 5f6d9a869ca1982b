// What a leader concludes from what it knows of its followers.
#include "dht/core/raft/leader/followers.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

const Progress* Followers::find(const ReplicaId& replica) const {
  auto known = all_.find(replica);
  return known == all_.end() ? nullptr : &known->second;
}

Followers::Map::value_type* Followers::of_sender(const Uuid& source, LogIndex added) {
  auto known = services_.faults.ignore_replica_identity
                   ? std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one.first.node == source; })
                   : all_.find({source, added});
  return known == all_.end() ? nullptr : &*known;
}

void Followers::add(const ReplicaId& replica) {
  std::shared_ptr<std::size_t>& peer_bytes = services_.inflight_bytes[replica.node];
  if (!peer_bytes) peer_bytes = std::make_shared<std::size_t>(0);
  auto [progress, fresh] = all_.try_emplace(replica, peer_bytes);
  if (!fresh) return;
  progress->second.next = log_.last_index() + 1;
  progress->second.since = now();
}

Duration Followers::distance() const {
  Duration longest{};
  for (const auto& [replica, progress] : all_) longest = std::max(longest, services_.distances.to(replica.node));
  return longest;
}

bool Followers::answers(const ReplicaId& replica) const {
  if (replica == state_.id()) return true;
  const Progress* progress = find(replica);
  return progress != nullptr && answering(*progress);
}

bool Followers::majority_answers(const std::vector<ReplicaId>& voters) const {
  auto answering = std::count_if(voters.begin(), voters.end(), [&](const ReplicaId& voter) { return answers(voter); });
  return 2 * static_cast<std::size_t>(answering) > voters.size();
}

bool Followers::quorum_answers() const {
  const Configuration& configuration = state_.configuration();
  return quorum_value<bool>(configuration, false, [&](const ReplicaId& voter) { return answers(voter); });
}

bool Followers::caught_up(const ReplicaId& replica, const Progress& progress) const {
  return progress.state == Progress::State::replicate && answering(progress) && progress.match >= replica.added &&
         progress.match + FollowerLimits::slack_entries >= log_.last_index();
}

bool Followers::to_be_replaced(const ReplicaId& replica) const {
  if (replica == state_.id()) return state_.damage() != Damage::none;
  const Progress* progress = find(replica);
  return progress != nullptr && progress->to_be_replaced();
}

// Learners never count. This replica counts only up to what is durable here.
LogIndex Followers::quorum_match() const {
  auto match_of = [&](const ReplicaId& voter) {
    if (voter == state_.id()) return log_.stable();
    const Progress* progress = find(voter);
    return progress == nullptr ? LogIndex{0} : progress->match;
  };
  const Configuration& configuration = state_.configuration();
  if (!services_.faults.count_learners) return quorum_value<LogIndex>(configuration, 0, match_of);
  std::vector<LogIndex> matches;
  for (const ReplicaId& voter : all_voters(configuration)) matches.push_back(match_of(voter));
  std::size_t needed = matches.size() / 2 + 1;
  for (const ReplicaId& learner : configuration.learners) matches.push_back(match_of(learner));
  std::sort(matches.rbegin(), matches.rend());
  return matches[needed - 1];
}

// The largest value that a quorum has acknowledged, this replica included.
template <class Value, class ValueOf>
Value Followers::acknowledged_value(Value lowest, Value own, const ValueOf& value_of) const {
  return quorum_value(state_.configuration(), lowest, [&](const ReplicaId& voter) {
    if (voter == state_.id()) return own;
    const Progress* progress = find(voter);
    return progress == nullptr ? lowest : value_of(*progress);
  });
}

TimePoint Followers::quorum_acknowledged_at() const {
  return acknowledged_value(TimePoint::min(), now(),
                            [](const Progress& progress) { return progress.acknowledged_sent_at; });
}

std::uint64_t Followers::quorum_acknowledged_round() const {
  return acknowledged_value<std::uint64_t>(0, UINT64_MAX,
                                           [](const Progress& progress) { return progress.acknowledged_round; });
}

std::uint64_t Followers::quorum_lease_version() const {
  return acknowledged_value<std::uint64_t>(
      0, UINT64_MAX, [](const Progress& progress) { return progress.acknowledged_lease_version; });
}

// Entries of earlier terms are committed by one of the own term only (Raft paper, figure 8).
void Followers::commit() {
  LogIndex reached = quorum_match();
  if (reached <= log_.commit()) return;
  if (log_.entries().term(reached) != state_.term() && !services_.faults.commit_earlier_terms) return;
  log_.advance_commit(reached);
}

void Followers::evict_bodies() {
  LogIndex everywhere = log_.stable();
  for (const auto& [replica, progress] : all_) everywhere = std::min(everywhere, progress.match);
  log_.evict(everywhere, 0);
  log_.evict(log_.stable(), CacheLimits::leader);
}

LogIndex Followers::needed_from(Duration timeout) const {
  LogIndex needed = log_.applied();
  for (const auto& [replica, progress] : all_) {
    if (progress.snapshot && progress.snapshot->last_index != 0)
      needed = std::min(needed, progress.snapshot->last_index);
    else if (progress.short_since && *progress.short_since + timeout <= now())
      continue;  // its disk is full: as if it were dead
    else if (!progress.absent && progress.acknowledged_sent_at + timeout > now())
      needed = std::min(needed, progress.match);
  }
  return needed;
}

// What a quorum can take in. Who does not answer takes in nothing; but when no quorum answers, room is not what is
// missing: then what they said last counts, and clients wait for an election rather than hear of a full disk.
Room Followers::quorum_room() const {
  const Configuration& configuration = state_.configuration();
  const bool heard = quorum_answers();
  return quorum_value<Room>(configuration, Room::none, [&](const ReplicaId& voter) {
    return !heard || answers(voter) ? services_.room_of(voter.node) : Room::none;
  });
}

bool Followers::quorum_has_room_without(const ReplicaId& replica) const {
  const Configuration& current = state_.configuration();
  if (!current.old_voters.empty() || current.voters.size() < 3) return false;
  return std::all_of(current.voters.begin(), current.voters.end(), [&](const ReplicaId& voter) {
    return voter == replica || (answers(voter) && services_.room_of(voter.node) == Room::ample);
  });
}

void Followers::ask_for_heartbeats() const {
  for (const auto& [replica, progress] : all_) services_.urgent_heartbeats.insert(replica.node);
}

}  // namespace ringfs::dht
