// Snapshots of the partition's rows for followers whose entries were cut (docs/design.md#snapshots).
#include <algorithm>
#include <utility>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

// ---- Leader ---------------------------------------------------------------------------------------

// Voters first: they are what redundancy there is. While moves are paused learners get none.
bool Group::snapshot_slot_free(bool learner) const {
  if (services_.snapshots_sending >= max_snapshots_sending) return false;
  if (!learner) return true;
  if (services_.moves_paused || !services_.pace.may_send(now())) return false;
  return services_.learner_snapshots <
         services_.pace.chunks_in(paced_chunk_interval, snapshot_chunk_estimate, max_learner_snapshots);
}

void Group::start_snapshot(const ReplicaId& replica, Progress& progress) {
  if (!answering(progress)) {  // nobody there to take it; tick_progress comes back
    progress.not_before = now() + services_.timing.heartbeat;
    return;
  }
  if (room_of(replica.node) != Room::ample) {  // it would refuse
    progress.not_before = now() + services_.timing.heartbeat;
    return;
  }
  const bool learner = !is_voter(configuration(), replica);
  if (!snapshot_slot_free(learner)) {
    progress.not_before = now() + services_.timing.heartbeat;
    return;
  }
  ++services_.snapshots_sending;
  if (learner) ++services_.learner_snapshots;
  progress.probe();
  progress.state = Progress::State::snapshot;
  Progress::Snapshot snapshot;
  snapshot.number = services_.random.next() | 1;
  snapshot.read = services_.out.snapshot_read(partition_, snapshot.number, 0);
  snapshot.heard_at = snapshot.opened_at = now();
  snapshot.learner = learner;
  progress.snapshot = std::move(snapshot);
  event("snapshot_started", "to=" + replica.node.text());
}

void Group::stop_snapshot(Progress& progress) {
  if (!progress.snapshot) return;
  services_.out.close_snapshot(partition_, progress.snapshot->number);
  if (progress.snapshot->learner) --services_.learner_snapshots;
  progress.snapshot.reset();
  --services_.snapshots_sending;
  progress.probe();
}

void Group::snapshot_read(EffectId id, Result<SnapshotData> data) {
  for (auto& [replica, progress] : progress_) {
    if (!progress.snapshot || progress.snapshot->read != id) continue;
    Progress::Snapshot& snapshot = *progress.snapshot;
    snapshot.read = 0;
    if (!data) {
      event("snapshot_failed", "error=" + std::string(to_string(data.error().code)));
      // The debt is kept: what is sent too fast now, the snapshots after it wait for.
      if (data.error().code == ErrorCode::unavailable && snapshot.learner) progress.hurried = true;
      stop_snapshot(progress);
      progress.not_before = now() + 10 * services_.timing.heartbeat;
      if (data.error().code == ErrorCode::corrupt) mark_damaged(Damage::rows);
      return;
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
    return;
  }
}

void Group::send_chunk(const ReplicaId& replica, Progress& progress) {
  SnapshotChunk chunk = *progress.snapshot->chunk;
  chunk.raft = header(replica);
  progress.sent_at = now();
  std::size_t bytes = chunk.rows.size();
  for (const SharedBytes& blob : chunk.blobs) bytes += blob.size();
  services_.pace.sent(bytes);
  services_.out.send(replica.node, std::move(chunk));
}

void Group::tick_snapshot(const ReplicaId& replica, Progress& progress) {
  Progress::Snapshot& snapshot = *progress.snapshot;
  if (snapshot.heard_at + snapshot_timeout <= now()) {
    event("snapshot_abandoned", "to=" + replica.node.text());
    stop_snapshot(progress);
    return;
  }
  if (snapshot.learner && services_.moves_paused) {  // its slot and its read transaction are wanted meanwhile
    event("snapshot_paused", "to=" + replica.node.text());
    stop_snapshot(progress);
    return;
  }
  if (snapshot.waiting) {
    snapshot.heard_at = now();
    read_next_chunk(replica, progress);
  }
  bool silent = progress.sent_at + 3 * services_.timing.heartbeat <= now();
  if (snapshot.chunk && silent && answering(progress)) send_chunk(replica, progress);
}

void Group::receive(const Uuid& source, const SnapshotReply& message) {
  if (!accept(source, message.raft)) return;
  if (message.raft.term > term_) {
    become_follower(message.raft.term, std::nullopt);
    return;
  }
  auto known = progress_of({source, message.raft.source_added});
  if (role_ != Role::leader || message.raft.term != term_ || known == progress_.end()) return;
  Progress& progress = known->second;
  if (!progress.snapshot || progress.snapshot->number != message.snapshot || !progress.snapshot->chunk) return;
  Progress::Snapshot& snapshot = *progress.snapshot;
  snapshot.heard_at = now();
  progress.replied_at = now();
  mark();
  if (message.installed) {
    LogIndex reached = snapshot.chunk->last_index;
    event("snapshot_sent", "to=" + source.text() + " index=" + std::to_string(reached));
    progress.match = std::max(progress.match, std::min(reached, log_.last_index()));
    progress.absent = false;
    progress.starved = 0;
    progress.hurried = false;
    stop_snapshot(progress);  // goes on from `match`
    maybe_commit();
  } else if (message.refused || message.next < snapshot.chunk->number || message.next > snapshot.chunk->number + 1) {
    // It lost what it had staged: the store reads forwards only, so another snapshot starts over.
    if (message.refused) starved(known->first, progress);
    stop_snapshot(progress);
    progress.not_before = now() + (message.refused ? 10 : 1) * services_.timing.heartbeat;
  } else if (message.next == snapshot.chunk->number + 1 && !snapshot.chunk->last) {
    snapshot.next_chunk = message.next;
    snapshot.chunk.reset();
    read_next_chunk(known->first, progress);
  }
}

void Group::read_next_chunk(const ReplicaId& replica, Progress& progress) {
  Progress::Snapshot& snapshot = *progress.snapshot;
  const bool paced = snapshot.learner && !progress.hurried && !is_voter(configuration(), replica);
  const bool waited = std::exchange(snapshot.waiting, paced && !services_.pace.may_send(now()));
  if (snapshot.waiting) return;
  const bool renew = waited && snapshot.opened_at + paced_transaction_age <= now();
  if (renew) snapshot.opened_at = now();
  snapshot.read = services_.out.snapshot_read(partition_, snapshot.number, snapshot.next_chunk, renew);
}

// ---- Follower -------------------------------------------------------------------------------------

void Group::receive(const Uuid& source, const SnapshotChunk& message) {
  if (!accept_from_leader(source, message.raft)) return;
  SnapshotReply reply;
  reply.room = services_.room;
  reply.raft = answer_header(message.raft);
  reply.snapshot = message.snapshot;
  if (message.raft.term < term_) {
    services_.out.send_after_write(source, reply);
    return;
  }
  Result<Configuration> configuration = decode_configuration(message.configuration);
  if (!configuration || configuration->voters.empty() || message.last_term > message.raft.term) {
    event("malformed_snapshot", "source=" + source.text());
    return;
  }
  if (!follow(source, message.raft)) return;
  if (incoming_ && incoming_->install) return;  // answered when it is installed
  reply.raft.term = term_;
  if (holds_data_ && log_.term(message.last_index) == message.last_term) advance_commit(message.last_index);
  if (holds_data_ && message.last_index <= commit_) {
    // Everything in it is here already. The log stays as it is: what follows in it may be acknowledged (Raft paper,
    // section 7, "retain log entries following it").
    drop_incoming();
    reply.installed = true;
    services_.out.send_after_write(source, reply);
    return;
  }
  const bool room = services_.receiving.contains(partition_) || services_.receiving.size() < max_snapshots_receiving;
  if (services_.room != Room::ample || !room) {
    drop_incoming();
    reply.refused = true;
    services_.out.send_after_write(source, reply);
    return;
  }
  services_.receiving.insert(partition_);
  bool known = incoming_ && incoming_->source == source && incoming_->number == message.snapshot;
  if (!known && message.number == 0) {
    incoming_ = IncomingSnapshot{source, message.snapshot, 0, message.raft, message.last_index, std::nullopt};
    known = true;
  }
  if (known && message.number == incoming_->next_chunk) {
    services_.out.separate_group_write(partition_).stage =
        StageChunk{message.snapshot, message.number, message.rows, message.blobs};
    services_.out.end_group_write(partition_);
    ++incoming_->next_chunk;
    incoming_->raft = message.raft;
    if (message.last) {
      incoming_->install = InstallSnapshot{message.snapshot,   message.last_index, message.last_term,
                                           message.last_stamp, *configuration,     message.configuration_index};
      mark();
      return;
    }
  }
  reply.next = known ? incoming_->next_chunk : 0;
  services_.out.send_after_write(source, reply);
}

void Group::drop_incoming() {
  // One that is about to be installed is needed; of the others nothing may stay on the disk.
  if (incoming_ && !incoming_->install && incoming_->next_chunk > 0) {
    services_.out.separate_group_write(partition_).unstage = true;
    services_.out.end_group_write(partition_);
  }
  incoming_.reset();
  services_.receiving.erase(partition_);
}

// The rows are replaced when no apply is outstanding, so that nothing of the old log lands on the new rows.
void Group::maybe_install() {
  if (!incoming_ || !incoming_->install || applying_through_ > applied_) return;
  IncomingSnapshot incoming = std::move(*incoming_);
  drop_incoming();
  const InstallSnapshot& install = *incoming.install;
  RINGFS_CHECK((install.last_index > commit_ || !holds_data_) && role_ != Role::leader);
  services_.out.separate_group_write(partition_).install = install;
  services_.out.end_group_write(partition_);
  while (!operations_.empty() && operations_.begin()->first <= install.last_index) {
    fail_operation(operations_.begin()->second.operation, ErrorCode::unavailable, "its outcome came in a snapshot");
    operations_.erase(operations_.begin());
  }
  holds_data_ = true;
  damage_ends(false);
  log_.reset(install.last_index, install.last_term);
  log_clock_.entered(install.last_stamp, now());
  commit_ = applied_ = applying_through_ = install.last_index;
  drop_unapplied(unapplied_bytes_);
  note_log_size();
  members_touches_.clear();
  pending_writes_.clear();
  stable_ = install.last_index;  // no later than whatever depends on it: writes keep their order
  configurations_.clear();
  configurations_.push_back({install.configuration_index, install.configuration});
  configuration_changed();
  if (holds_members_table_) members_install_ = services_.out.write_id();
  event("snapshot_installed", "index=" + std::to_string(install.last_index));
  SnapshotReply reply;
  reply.room = services_.room;
  reply.raft = answer_header(incoming.raft);
  reply.snapshot = incoming.number;
  reply.next = incoming.next_chunk;
  reply.installed = true;
  services_.out.send_after_write(incoming.source, reply);
}

}  // namespace ringfs::dht
