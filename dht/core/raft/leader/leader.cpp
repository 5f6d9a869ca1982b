// A leader from its no-op to its end: what happens every interval, and what it does with its parts.
#include "dht/core/raft/leader/leader.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"
#include "dht/core/rows/room_need.hpp"

namespace ringfs::dht {

Leader::Leader(ReplicaState& state, GroupServices& services, Commitments& commitments)
    : state_(state),
      log_(state.log()),
      services_(services),
      commitments_(commitments),
      led_since_(services.now()),
      followers_(state, services),
      snapshots_(state, services, followers_),
      replication_(state, services, followers_, snapshots_),
      targets_(state, services, followers_),
      transfer_(state, services, followers_, targets_, commitments),
      leases_(state, services, followers_, transfer_, commitments),
      proposals_(state, services, followers_, transfer_, commitments, led_since_),
      reads_(state, services, followers_, leases_),
      membership_(state, services, followers_, targets_) {}

void Leader::begin() {
  take_up_configuration();
  term_start_ = log_.last_index() + 1;
  state_.event("leader_elected", "index=" + std::to_string(term_start_));
  state_.append_own(EntryKind::no_op, {}, {}, false);
  leases_.interval();
  proposals_.recall_again();
  followers_.ask_for_heartbeats();
}

void Leader::end() {
  for (auto& [replica, progress] : followers_.all()) snapshots_.stop(progress);
  log_.note_size();  // no follower here needs any of it
  services_.moving.erase(state_.partition());
  // What is committed will be applied here and answered then, unless the disk hangs; of the rest nobody can know. The
  // same sequence may be tried again.
  auto& operations = commitments_.operations;
  while (!operations.empty() && (services_.disk_hangs() || operations.rbegin()->first > log_.commit())) {
    auto last = std::prev(operations.end());
    state_.fail(last->second.operation, ErrorCode::not_leader, "leadership was lost");
    operations.erase(last);
  }
  proposals_.fail_all();
  reads_.fail_all();
  commitments_.former_leases.granted(commitments_.row_leases.holders(now()));
  commitments_.row_leases.clear();
}

// One Progress for each other replica of the newest configuration.
void Leader::take_up_configuration() {
  std::set<ReplicaId> others;
  const Configuration& newest = state_.configuration();
  for (const auto* half : {&newest.voters, &newest.old_voters, &newest.learners})
    others.insert(half->begin(), half->end());
  others.erase(state_.id());
  Followers::Map& known = followers_.all();
  for (auto one = known.begin(); one != known.end();) {
    if (others.contains(one->first)) {
      ++one;
      continue;
    }
    snapshots_.stop(one->second);
    one = known.erase(one);
  }
  for (const ReplicaId& other : others) followers_.add(other);
  state_.mark();
}

Verdict Leader::interval() {
  if (lost_quorum()) {
    state_.event("quorum_lost");
    return Verdict::step_down;
  }
  bool active = log_.applied() < log_.last_index() || transfer_.under_way() || services_.should_not_lead();
  for (auto& [replica, progress] : followers_.all()) {
    if (services_.room_of(replica.node) == Room::ample)
      progress.short_since.reset();
    else if (!progress.short_since)
      progress.short_since = now();
    active = active || progress.snapshot;
    if (progress.snapshot)
      snapshots_.interval(replica, progress);
    else
      replication_.interval(replica, progress);
  }
  if (active) services_.active_at = now();
  if (!services_.faults.ignore_lease) {
    const bool holds = leases_.holds();
    if (lease_seen_ && !holds) state_.event("lease_expired");
    lease_seen_ = holds;
  }
  leases_.interval();
  proposals_.recall_again();
  if (stuck()) return Verdict::give_way;
  const Verdict verdict = transfer_.step(membership_.leaving(), proposals_.any_delayed());
  if (verdict == Verdict::lead_on) change_members();
  return verdict;
}

Verdict Leader::tick() {
  proposals_.append_delayed();
  if (transfer_.deadline() > now()) return Verdict::lead_on;
  return transfer_.step(membership_.leaving(), proposals_.any_delayed());
}

Verdict Leader::hand_over_soon() {
  commitments_.next_transfer = now();
  return transfer_.step(membership_.leaving(), proposals_.any_delayed());
}

// CheckQuorum: a leader that a quorum does not answer any more steps down, so that clients look for the other one.
bool Leader::lost_quorum() const {
  const TimePoint heard = std::max(followers_.quorum_acknowledged_at(), led_since_);
  return heard + services_.timing.election_minimum + Distances::patience * followers_.distance() <= now();
}

// Entries that were admitted before a majority's disks filled up are in front of those that would free room. A majority
// does not have them, so it can elect a leader without them, which removes them here. Their clients are told that the
// outcome is not known, as after any change of leader.
bool Leader::stuck() {
  const LogIndex reached = followers_.quorum_match();
  const Entry* next = reached < log_.last_index() ? log_.entries().body(reached + 1) : nullptr;
  const bool refused = reached < log_.last_index() && (next == nullptr || !needs_no_room(*next));
  if (!refused || followers_.quorum_room() > Room::reserve) {
    stuck_since_.reset();
    return false;
  }
  if (!stuck_since_ || stuck_at_ != reached) stuck_since_ = now();
  stuck_at_ = reached;
  if (*stuck_since_ + LeaderLimits::stuck_timeout > now()) return false;
  state_.event("gave_way", "commit=" + std::to_string(log_.commit()) + " last=" + std::to_string(log_.last_index()));
  return true;
}

void Leader::change_members() {
  membership_.note_moving();
  const bool in_flight = log_.configurations().size() > 1 && !services_.faults.overlapping_changes;
  if (transfer_.under_way() || services_.disk_hangs() || log_.applied() < term_start_ || in_flight ||
      services_.room == Room::none)
    return;
  const std::optional<Configuration> next = membership_.next();
  if (!next) return;
  state_.append_own(EntryKind::configuration, SharedBytes(encode(*next)), {}, false);
  take_up_configuration();
  state_.event("configuration_proposed", "index=" + std::to_string(log_.last_index()) +
                                             " voters=" + std::to_string(next->voters.size()) +
                                             " old=" + std::to_string(next->old_voters.size()) +
                                             " learners=" + std::to_string(next->learners.size()));
}

void Leader::flush() {
  for (auto& [replica, progress] : followers_.all()) replication_.replicate(replica, progress);
  transfer_.send_if_ready(proposals_.any_delayed());
}

void Leader::receive(const Uuid& source, const AppendReply& message) {
  if (auto* follower = followers_.of_sender(source, message.raft.source_added))
    replication_.receive(*follower, message);
}

void Leader::receive(const Uuid& source, const SnapshotReply& message) {
  if (auto* follower = followers_.of_sender(source, message.raft.source_added)) snapshots_.receive(*follower, message);
}

std::optional<HeartbeatGroup> Leader::heartbeat_for(const ReplicaId& peer) const {
  const Progress* progress = followers_.find(peer);
  if (progress == nullptr) return std::nullopt;
  // Never beyond what the peer is known to have: its log may differ from there on.
  return HeartbeatGroup{state_.partition(), state_.term(), std::min(log_.commit(), progress->match),
                        state_.id().added,  peer.added,    leases_.named()};
}

void Leader::heartbeat_acknowledged(const HeartbeatGroup& sent, const ReplicaId& peer, std::uint64_t round,
                                    TimePoint sent_at, bool damaged) {
  auto known = followers_.all().find(peer);
  if (known == followers_.all().end()) return;
  Progress& progress = known->second;
  if (round <= progress.acknowledged_round) return;
  progress.acknowledged_round = round;
  progress.acknowledged_sent_at = sent_at;
  progress.acknowledged_lease_version = sent.leases.version;
  progress.damaged = damaged;
  reads_.release_held();
}

bool Leader::heartbeat_refused(const ReplicaId& peer, bool damaged) {
  auto known = followers_.all().find(peer);
  if (known == followers_.all().end()) return false;
  known->second.damaged = known->second.damaged || damaged;
  return true;
}

// What was in flight on that connection is lost.
void Leader::peer_disconnected(const Uuid& peer) {
  for (auto& [replica, progress] : followers_.all()) {
    if (replica.node != peer || progress.snapshot || (!progress.paused && progress.inflight.empty())) continue;
    progress.probe();
    state_.mark();
  }
}

void Leader::peer_restarted(const Uuid& peer) {
  for (auto& [replica, progress] : followers_.all()) {
    if (replica.node != peer) continue;
    transfer_.peer_restarted();
    if (!progress.snapshot) progress.probe();
    state_.mark();
  }
}

void Leader::peer_has_room(const Uuid& peer) {
  for (auto& [replica, progress] : followers_.all()) {
    if (replica.node != peer) continue;
    progress.not_before = TimePoint::min();
    state_.mark();
  }
}

// Everything that earlier leaders committed is known to be applied once the own no-op is.
bool Leader::may_read() const { return services_.faults.read_before_own_no_op || log_.applied() >= term_start_; }

void Leader::read(OperationId operation, ReadRequest request, const RowLease& lease) {
  reads_.begin(operation, std::move(request), lease, may_read());
}

void Leader::written() {
  followers_.evict_bodies();
  followers_.commit();
}

void Leader::applied() {
  if (may_read()) reads_.start_waiting();
}

Duration Leader::grant(const RowChanges& changed) { return may_read() ? leases_.grant(changed) : Duration::zero(); }

std::optional<LogIndex> Leader::loaded(EffectId id, Result<std::vector<Entry>> entries) {
  return replication_.loaded(id, std::move(entries));
}

bool Leader::snapshot_read(EffectId id, Result<SnapshotData> data) { return snapshots_.read_done(id, std::move(data)); }

void Leader::describe(GroupStatus& status) const {
  status.lease = leases_.holds() && may_read();
  status.settled = membership_.settled();
  for (const auto& [replica, progress] : followers_.all()) {
    if (progress.snapshot) status.snapshotting = true;
    if (!is_voter(state_.configuration(), replica)) continue;
    bool heard = progress.acknowledged_sent_at + services_.timing.election_maximum > now();
    // Under load a healthy follower is some entries behind at any moment.
    bool lags =
        progress.state != Progress::State::replicate || progress.match + FollowerLimits::slack_entries < log_.commit();
    if (!heard || lags || (progress.inflight.empty() && progress.match < log_.commit())) ++status.behind;
  }
}

}  // namespace ringfs::dht
