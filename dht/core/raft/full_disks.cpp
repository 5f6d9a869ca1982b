// Disks that are full (docs/design.md#full-disks): a majority with room goes on, as if the others were dead.
#include <algorithm>

#include "dht/core/raft/group.hpp"
#include "dht/core/rows/room_need.hpp"

namespace ringfs::dht {

// Who has not said anything yet has room until it says otherwise.
Room Group::room_of(const Uuid& node) const {
  if (node == services_.self) return services_.room;
  auto known = services_.peer_rooms.find(node);
  return known == services_.peer_rooms.end() ? Room::ample : known->second;
}

// What a majority of the voters can take in. Who does not answer takes in nothing; but when a majority does not answer,
// room is not what is missing: then what they said last counts, and clients wait for an election rather than hear of a
// full disk.
Room Group::quorum_room() const {
  const bool heard = quorum_answers(configuration().voters);
  return quorum_value<Room>(configuration(), Room::none, [&](const ReplicaId& voter) {
    return !heard || answers(voter) ? room_of(voter.node) : Room::none;
  });
}

std::optional<Error> Group::room_refusal(bool needs_room) const {
  const Room needed = needs_room ? Room::ample : Room::reserve;
  if (services_.faults.ignore_rooms) return std::nullopt;
  // A new leader asks before it admits what might stand in everybody's way: the first heartbeats are answered in a
  // moment.
  const bool fresh = now() < led_since_ + services_.timing.election_minimum;
  if (needs_room && fresh && !quorum_answers(configuration().voters))
    return Error{ErrorCode::overloaded, "a new leader"};
  const Room elsewhere = quorum_room();
  if (elsewhere < needed || (services_.faults.refuse_frees && elsewhere != Room::ample)) {
    return Error{ErrorCode::no_space, "a majority of the partition's disks is full"};
  }
  // Another one will lead in a moment: ask again.
  if (services_.room < needed) return Error{ErrorCode::overloaded, "the leader's disk is full"};
  return std::nullopt;
}

// Of a leader without ample room: the voter with ample room that keeps up, the most preferred one of those; if it can
// take in nothing at all, one that can at least take what needs no room.
std::optional<ReplicaId> Group::target_with_room() const {
  std::optional<ReplicaId> target;
  if (services_.room == Room::ample) return target;
  const Room enough = services_.room == Room::none ? Room::reserve : Room::ample;
  for (const ReplicaId& voter : configuration().voters) {
    auto progress = progress_.find(voter);
    if (progress == progress_.end() || progress->second.damaged || !caught_up(voter, progress->second)) continue;
    if (room_of(voter.node) < enough || said_unfit(voter)) continue;
    const bool better =
        !target || room_of(voter.node) > room_of(target->node) ||
        (room_of(voter.node) == room_of(target->node) && preference_rank(voter.node) < preference_rank(target->node));
    if (better) target = voter;
  }
  return target;
}

// What its disk has no room for is not sent: those behind it wait as well.
void Group::trim_to_room(const ReplicaId& replica, std::vector<Entry>& entries) const {
  const Room room = room_of(replica.node);
  if (room >= Room::low) return;
  auto refused = [&](const Entry& entry) {
    return room == Room::none ? entry.kind == EntryKind::batch : !needs_no_room(entry);
  };
  entries.erase(std::find_if(entries.begin(), entries.end(), refused), entries.end());
}

// As a follower: the entries before this one may be taken in.
std::size_t Group::fitting_entries(const Append& message, std::size_t first) const {
  if (services_.room >= Room::low) return message.entries.size();
  std::size_t end = first;
  for (; end < message.entries.size(); ++end) {
    const Entry& entry = message.entries[end];
    if (services_.room == Room::none ? entry.kind == EntryKind::batch : !needs_no_room(entry)) break;
  }
  return end;
}

// What was admitted before a majority's disks filled up stands in front of what would give room back. A majority does
// not have it, so that majority can elect somebody without it, who removes it here. Its clients are told that the
// outcome is not known, as after any change of leader.
void Group::give_way_when_stuck() {
  const LogIndex reached = quorum_match();
  const Entry* next = reached < log_.last_index() ? log_.body(reached + 1) : nullptr;
  const bool refused = reached < log_.last_index() && (next == nullptr || !needs_no_room(*next));
  if (!refused || quorum_room() > Room::reserve) {
    stuck_since_.reset();
    return;
  }
  if (!stuck_since_ || stuck_at_ != reached) stuck_since_ = now();
  stuck_at_ = reached;
  if (*stuck_since_ + stuck_timeout > now()) return;
  event("gave_way", "commit=" + std::to_string(commit_) + " last=" + std::to_string(log_.last_index()));
  become_follower(term_, std::nullopt);
  election_deadline_ = now() + 3 * services_.timing.election_maximum;  // the others first
}

// The voter had no room to stage a snapshot beside the rows that it has. If the others are enough, it is replaced like
// a damaged one: its old rows go first, and as a learner it waits for room without holding up anybody.
void Group::starved(const ReplicaId& replica, Progress& progress) {
  if (room_of(replica.node) == Room::ample || !is_voter(configuration(), replica)) return;
  if (++progress.starved < max_starved_snapshots || progress.to_be_replaced() || !quorum_has_room_without(replica))
    return;
  progress.given_up = true;
  event("replica_given_up", "node=" + replica.node.text() + " reason=no_space");
}

bool Group::quorum_has_room_without(const ReplicaId& replica) const {
  const Configuration& current = configuration();
  if (!current.old_voters.empty() || current.voters.size() < 3) return false;
  return std::all_of(current.voters.begin(), current.voters.end(), [&](const ReplicaId& voter) {
    return voter == replica || (answers(voter) && room_of(voter.node) == Room::ample);
  });
}

void Group::drop_staged_snapshot() {
  if (!incoming_ || incoming_->install) return;
  event("snapshot_dropped", "reason=no_space");
  drop_incoming();
}

void Group::peer_has_room(const Uuid& peer) {
  if (role_ != Role::leader) return;
  for (auto& [replica, progress] : progress_) {
    if (replica.node != peer) continue;
    progress.not_before = TimePoint::min();
    mark();
  }
}

}  // namespace ringfs::dht
