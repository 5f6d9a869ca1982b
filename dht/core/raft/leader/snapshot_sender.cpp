// Snapshots from a leader to its followers.
#include "dht/core/raft/leader/snapshot_sender.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

// Voters come first: the group's redundancy hangs on them. While moves are paused learners get none.
bool SnapshotSender::slot_free(bool learner) const {
  if (services_.snapshots_sending >= SnapshotLimits::sending) return false;
  if (!learner) return true;
  if (services_.moves_paused || !services_.pace.may_send(now())) return false;
  return services_.learner_snapshots < services_.pace.chunks_in(SnapshotLimits::paced_chunk_interval,
                                                                SnapshotLimits::chunk_estimate,
                                                                SnapshotLimits::to_learners);
}

void SnapshotSender::try_later(Progress& progress, int intervals) {
  progress.not_before = now() + intervals * services_.timing.heartbeat;
}

void SnapshotSender::start(const ReplicaId& replica, Progress& progress) {
  const bool learner = !is_voter(state_.configuration(), replica);
  // Nobody is there to take it, or it would refuse, or others come first.
  if (!followers_.answering(progress) || services_.room_of(replica.node) != Room::ample || !slot_free(learner)) {
    try_later(progress, 1);
    return;
  }
  ++services_.snapshots_sending;
  if (learner) ++services_.learner_snapshots;
  progress.probe();
  progress.state = Progress::State::snapshot;
  Progress::Snapshot snapshot;
  snapshot.number = services_.random.next() | 1;
  snapshot.read = services_.out.snapshot_read(state_.partition(), snapshot.number, 0);
  snapshot.heard_at = snapshot.opened_at = now();
  snapshot.learner = learner;
  progress.snapshot = std::move(snapshot);
  state_.event("snapshot_started", "to=" + replica.node.text());
}

void SnapshotSender::stop(Progress& progress) {
  if (!progress.snapshot) return;
  services_.out.close_snapshot(state_.partition(), progress.snapshot->number);
  if (progress.snapshot->learner) --services_.learner_snapshots;
  progress.snapshot.reset();
  --services_.snapshots_sending;
  progress.probe();
  followers_.check(progress);
}

bool SnapshotSender::read_done(EffectId id, Result<SnapshotData> data) {
  for (auto& [replica, progress] : followers_.all()) {
    if (!progress.snapshot || progress.snapshot->read != id) continue;
    Progress::Snapshot& snapshot = *progress.snapshot;
    snapshot.read = 0;
    if (!data) {
      state_.event("snapshot_failed", "error=" + std::string(to_string(data.error().code)));
      // The next one is sent at full speed; the pace lets the snapshots after it wait for that.
      if (data.error().code == ErrorCode::unavailable && snapshot.learner) progress.hurried = true;
      stop(progress);
      try_later(progress, 10);
      return data.error().code == ErrorCode::corrupt;
    }
    SnapshotChunk chunk;
    chunk.snapshot = snapshot.number;
    chunk.last_index = data->last_index;
    chunk.last_term = data->last_term;
    chunk.last_stamp = data->last_stamp;
    chunk.configuration = encode(data->configuration);
    chunk.configuration_index = data->configuration_index;
    chunk.number = snapshot.next_chunk;
    chunk.rows = std::move(data->rows);
    chunk.blobs = std::move(data->blobs);
    chunk.last = data->last;
    snapshot.last_index = chunk.last_index;
    snapshot.chunk = std::move(chunk);
    send_chunk(replica, progress);
    return false;
  }
  return false;
}

void SnapshotSender::send_chunk(const ReplicaId& replica, Progress& progress) {
  SnapshotChunk chunk = *progress.snapshot->chunk;
  chunk.raft = state_.header(replica);
  progress.sent_at = now();
  std::size_t bytes = chunk.rows.size();
  for (const SharedBytes& blob : chunk.blobs) bytes += blob.size();
  services_.pace.sent(bytes);
  services_.out.send(replica.node, std::move(chunk));
}

void SnapshotSender::interval(const ReplicaId& replica, Progress& progress) {
  Progress::Snapshot& snapshot = *progress.snapshot;
  if (snapshot.heard_at + SnapshotLimits::timeout <= now()) {
    state_.event("snapshot_abandoned", "to=" + replica.node.text());
    stop(progress);
    return;
  }
  if (snapshot.learner && services_.moves_paused) {  // its slot and its read transaction are wanted meanwhile
    state_.event("snapshot_paused", "to=" + replica.node.text());
    stop(progress);
    return;
  }
  if (snapshot.waiting) {
    snapshot.heard_at = now();
    read_next_chunk(replica, progress);
  }
  bool silent = progress.sent_at + 3 * services_.timing.heartbeat + followers_.distance() <= now();
  if (snapshot.chunk && silent && followers_.answering(progress)) send_chunk(replica, progress);
}

void SnapshotSender::receive(Followers::Map::value_type& follower, const SnapshotReply& message) {
  auto& [replica, progress] = follower;
  if (!progress.snapshot || progress.snapshot->number != message.snapshot || !progress.snapshot->chunk) return;
  Progress::Snapshot& snapshot = *progress.snapshot;
  snapshot.heard_at = now();
  progress.replied_at = now();
  state_.mark();
  if (message.installed) {
    LogIndex reached = snapshot.chunk->last_index;
    state_.event("snapshot_sent", "to=" + replica.node.text() + " index=" + std::to_string(reached));
    progress.match = std::max(progress.match, std::min(reached, state_.log().last_index()));
    progress.absent = false;
    progress.starved = 0;
    progress.hurried = false;
    stop(progress);  // goes on from `match`
    followers_.commit();
  } else if (message.refused || message.next < snapshot.chunk->number || message.next > snapshot.chunk->number + 1) {
    // It lost what it had staged. The store reads forwards only, so another snapshot starts over.
    if (message.refused) starved(replica, progress);
    stop(progress);
    try_later(progress, message.refused ? 10 : 1);
  } else if (message.next == snapshot.chunk->number + 1 && !snapshot.chunk->last) {
    snapshot.next_chunk = message.next;
    snapshot.chunk.reset();
    read_next_chunk(replica, progress);
  }
}

void SnapshotSender::read_next_chunk(const ReplicaId& replica, Progress& progress) {
  Progress::Snapshot& snapshot = *progress.snapshot;
  const bool paced = snapshot.learner && !progress.hurried && !is_voter(state_.configuration(), replica);
  const bool waited = std::exchange(snapshot.waiting, paced && !services_.pace.may_send(now()));
  if (snapshot.waiting) return;
  const bool renew = waited && snapshot.opened_at + SnapshotLimits::paced_transaction_age <= now();
  if (renew) snapshot.opened_at = now();
  snapshot.read = services_.out.snapshot_read(state_.partition(), snapshot.number, snapshot.next_chunk, renew);
}

// The voter had no room to stage a snapshot beside the rows that it has. If the others are enough, it is replaced like
// a damaged one: its old rows go first, and as a learner it waits for room without holding up anybody.
void SnapshotSender::starved(const ReplicaId& replica, Progress& progress) {
  if (services_.room_of(replica.node) == Room::ample || !is_voter(state_.configuration(), replica)) return;
  if (++progress.starved < SnapshotLimits::starved || progress.to_be_replaced() ||
      !followers_.quorum_has_room_without(replica))
    return;
  progress.given_up = true;
  state_.event("replica_given_up", "node=" + replica.node.text() + " reason=no_space");
}

}  // namespace ringfs::dht
