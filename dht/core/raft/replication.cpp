// Proposals, appends, commit and what heartbeats mean for one group (Raft paper, section 5.3; dissertation, 10.2.1).
#include <algorithm>

#include "dht/core/members/touch.hpp"
#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

namespace {

// In heartbeat intervals. A follower's slow disk delays its answers to appends, not those to heartbeats.
constexpr int answer_intervals = 3;      // without an acknowledged heartbeat: it does not answer
constexpr int retransmit_intervals = 5;  // without an answer to an append: what was sent is taken for lost

}  // namespace

// ---- Leader ---------------------------------------------------------------------------------------

std::optional<Error> Group::refusal(std::size_t bytes, bool needs_room) const {
  if (role_ != Role::leader) return Error{ErrorCode::not_leader, {}};
  if (transfer_) return Error{ErrorCode::overloaded, "leadership is being transferred"};
  if (apply_blocked_)
    return damage_error("an earlier change needs what is damaged on this node, and there is no other copy");
  if (std::optional<Error> error = room_refusal(needs_room)) return error;
  bool full = unapplied_bytes_ + delayed_bytes_ + bytes > max_group_pending_bytes ||
              services_.unapplied_bytes + bytes > max_node_pending_bytes;
  if (full) return Error{ErrorCode::overloaded, "too many bytes wait to be replicated"};
  return std::nullopt;
}

void Group::propose(OperationId operation, EncodedBatch batch, RowChanges changes, BatchKind kind) {
  if (std::optional<Error> error = refusal(batch.size(), kind.needs_room)) {
    fail_operation(operation, error->code, error->context);
    return;
  }
  TimePoint free = row_leases_.begin(changes, now());
  const bool waits_for_nobody =
      services_.faults.ignore_row_leases || (services_.faults.prepare_ignores_row_leases && changes.prepares);
  if (free > now() && !waits_for_nobody && !may_delay(batch.size())) {
    row_leases_.end(changes);
    fail_operation(operation, ErrorCode::overloaded, "too many batches wait for the ends of row leases");
    return;
  }
  DelayedBatch whole{operation, std::move(batch), std::move(changes), kind};
  if (free <= now() || waits_for_nobody) {
    append_batch(std::move(whole));
  } else {
    delay(free, std::move(whole));
  }
}

bool Group::may_delay(std::size_t bytes) const {
  return delayed_.size() < max_delayed_batches && services_.delayed_batches < max_node_delayed_batches &&
         services_.delayed_bytes + bytes <= max_node_delayed_bytes;
}

void Group::delay(TimePoint until, DelayedBatch batch) {
  delayed_bytes_ += batch.batch.size();
  services_.delayed_bytes += batch.batch.size();
  ++services_.delayed_batches;
  delayed_.emplace(until, std::move(batch));
  event("batch_delayed");
  mark();
}

Group::DelayedBatch Group::take_delayed(std::multimap<TimePoint, DelayedBatch>::iterator place) {
  DelayedBatch batch = std::move(delayed_.extract(place).mapped());
  delayed_bytes_ -= batch.batch.size();
  services_.delayed_bytes -= batch.batch.size();
  --services_.delayed_batches;
  return batch;
}

void Group::append_batch(DelayedBatch batch) {
  append_local(EntryKind::batch, std::move(batch.batch.head), std::move(batch.batch.blobs), batch.kind.touches_members);
  operations_[log_.last_index()] = {batch.operation, term_};
  row_leases_.entered(log_.last_index(), std::move(batch.changes));
}

// Those that waited for the end of a row lease.
void Group::append_delayed() {
  while (!delayed_.empty() && delayed_.begin()->first <= now()) {
    DelayedBatch batch = take_delayed(delayed_.begin());
    if (std::optional<Error> error = refusal(batch.batch.size(), batch.kind.needs_room)) {
      row_leases_.end(batch.changes);
      fail_operation(batch.operation, error->code, error->context);
    } else if (services_.out.is_open(batch.operation)) {
      append_batch(std::move(batch));
    } else {
      row_leases_.end(batch.changes);  // its client went away before it could happen
    }
  }
}

// Certainly not executed: they never entered the log.
void Group::fail_delayed() {
  while (!delayed_.empty()) fail_operation(take_delayed(delayed_.begin()).operation, ErrorCode::not_leader);
}

void Group::append_local(EntryKind kind, SharedBytes head, std::vector<SharedBytes> blobs, bool touches_members) {
  Entry entry;
  entry.index = log_.last_index() + 1;
  entry.term = term_;
  entry.stamp = log_time();
  entry.kind = kind;
  entry.head = std::move(head);
  entry.blobs = std::move(blobs);
  RINGFS_CHECK(append_to_log(std::move(entry), touches_members));
  services_.active_at = now();
  mark();
}

Stamp Group::log_time() const {
  if (services_.faults.believe_own_clock) return std::max(services_.clock.stamp, log_clock_.last());
  return log_clock_.next(services_.ring_time, now());
}

Duration Group::answer_timeout() const { return answer_intervals * services_.timing.heartbeat; }

bool Group::answering(const Progress& progress) const {
  return progress.acknowledged_sent_at + answer_timeout() > now();
}

// Sends what the window and the state of the follower allow.
void Group::replicate(const ReplicaId& replica, Progress& progress) {
  while (progress.state != Progress::State::snapshot && !progress.paused && progress.load == 0 &&
         progress.not_before <= now() && !progress.window_full()) {
    if (progress.absent) {
      start_snapshot(replica, progress);
      return;
    }
    bool nothing_new = progress.next > log_.last_index();
    if (nothing_new && progress.state == Progress::State::replicate) return;
    if (progress.next <= log_.base_index()) {
      start_snapshot(replica, progress);
      return;
    }
    std::vector<Entry> entries;
    std::size_t bytes = 0;
    for (LogIndex index = progress.next; index <= log_.last_index(); ++index) {
      const Entry* entry = log_.body(index);
      if (entry == nullptr || (!entries.empty() && bytes + entry->bytes() > services_.append_bytes)) break;
      bytes += entry->bytes();
      entries.push_back(*entry);
    }
    const bool loaded = !entries.empty();
    trim_to_room(replica, entries);
    // It says when it has room; every interval looks again. A probe finds out all the same how far it is.
    if (loaded && entries.empty() && progress.state != Progress::State::probe) {
      progress.not_before = now() + services_.timing.heartbeat;
      return;
    }
    if (!loaded && !nothing_new) {
      progress.load = services_.out.load(partition_, progress.next, log_.last_index(), services_.append_bytes);
      return;
    }
    send_append(replica, progress, std::move(entries));
  }
}

void Group::send_append(const ReplicaId& replica, Progress& progress, std::vector<Entry> entries) {
  Append append;
  append.raft = header(replica);
  append.previous_index = progress.next - 1;
  append.previous_term = log_.term(append.previous_index).value();
  append.commit = commit_;
  progress.sent_at = now();
  if (progress.state == Progress::State::probe) {
    progress.paused = true;
  } else if (!entries.empty()) {
    std::size_t bytes = 0;
    for (const Entry& entry : entries) bytes += entry.bytes();
    progress.next = entries.back().index + 1;
    progress.add_inflight(entries.back().index, bytes);
  }
  append.entries = std::move(entries);
  services_.out.send(replica.node, std::move(append));
}

void Group::loaded(EffectId id, Result<std::vector<Entry>> entries) {
  for (auto& [replica, progress] : progress_) {
    if (progress.load != id) continue;
    progress.load = 0;
    mark();
    if (!entries) {  // the rows themselves may still be good
      event("load_failed", "error=" + std::string(to_string(entries.error().code)));
      const LogIndex first = progress.next;
      start_snapshot(replica, progress);
      if (entries.error().code == ErrorCode::corrupt) entry_damaged(first);
      return;
    }
    if (progress.state == Progress::State::snapshot || progress.paused || entries->empty()) return;
    if (entries->front().index != progress.next || progress.next <= log_.base_index()) return;
    for (std::size_t i = 0; i < entries->size(); ++i) {
      const Entry& entry = (*entries)[i];
      if (entry.index != progress.next + i || log_.term(entry.index) != entry.term) return;
    }
    trim_to_room(replica, *entries);
    if (!entries->empty() || progress.state == Progress::State::probe)
      send_append(replica, progress, std::move(*entries));
    else
      progress.not_before = now() + services_.timing.heartbeat;
    return;
  }
}

void Group::receive(const Uuid& source, const AppendReply& message) {
  if (!accept(source, message.raft)) return;
  if (message.raft.term > term_) {
    become_follower(message.raft.term, std::nullopt);
    return;
  }
  auto known = progress_of({source, message.raft.source_added});
  if (role_ != Role::leader || message.raft.term != term_ || known == progress_.end()) return;
  Progress& progress = known->second;
  progress.replied_at = now();
  mark();
  if (message.no_space) {
    if (progress.snapshot) return;
    progress.probe();
    progress.not_before = now() + 10 * services_.timing.heartbeat;
    return;
  }
  if (message.absent) {
    if (progress.match > 0 || is_voter(configuration(), known->first)) return;  // late, or makes no sense
    if (!progress.absent) services_.urgent_heartbeats.insert(source);
    progress.absent = true;
    if (!progress.snapshot) progress.probe();
    return;
  }
  if (!message.success) {
    if (progress.state == Progress::State::snapshot || message.rejected <= progress.match) return;  // of the past
    if (progress.state == Progress::State::replicate) {
      progress.probe();
    } else if (message.rejected != progress.next - 1) {
      return;
    }
    progress.load = 0;
    progress.paused = false;
    // Back to the last entry here that the follower can have, whole terms at a time.
    LogIndex agree = std::min(message.hint_index, message.rejected - 1);
    // Below the base only a snapshot helps; replicate() sees to it.
    if (agree >= log_.base_index()) agree = log_.last_with_term_up_to(agree, message.hint_term);
    progress.next = std::max(agree, progress.match) + 1;
    return;
  }
  if (message.match > log_.last_index()) return;  // makes no sense
  progress.match = std::max(progress.match, message.match);
  ++services_.heartbeat_changes;
  progress.next = std::max(progress.next, progress.match + 1);
  progress.free_inflight(progress.match);
  if (progress.state == Progress::State::probe) {
    progress.paused = false;
    progress.state = Progress::State::replicate;
    progress.next = progress.match + 1;
  } else if (progress.state == Progress::State::snapshot && progress.match >= log_.base_index()) {
    stop_snapshot(progress);
  }
  maybe_commit();
  evict_bodies();
}

// What a quorum has; learners never count.
LogIndex Group::quorum_match() const {
  auto match_of = [&](const ReplicaId& voter) {
    if (voter == replica_) return stable_;
    auto progress = progress_.find(voter);
    return progress == progress_.end() ? LogIndex{0} : progress->second.match;
  };
  if (!services_.faults.count_learners) return quorum_value<LogIndex>(configuration(), 0, match_of);
  std::vector<LogIndex> matches;
  for (const ReplicaId& voter : all_voters(configuration())) matches.push_back(match_of(voter));
  std::size_t needed = matches.size() / 2 + 1;
  for (const ReplicaId& learner : configuration().learners) matches.push_back(match_of(learner));
  std::sort(matches.rbegin(), matches.rend());
  return matches[needed - 1];
}

// Entries of earlier terms are committed by one of the own term only (Raft paper, figure 8).
void Group::maybe_commit() {
  LogIndex reached = quorum_match();
  if (reached <= commit_) return;
  if (log_.term(reached) != term_ && !services_.faults.commit_earlier_terms) return;
  advance_commit(reached);
}

// Bodies that everybody has, and those beyond the budget; LoadEntries finds them on disk.
void Group::evict_bodies() {
  if (role_ != Role::leader) {
    log_.evict(stable_, follower_cache_bytes);
    return;
  }
  LogIndex everywhere = stable_;
  for (const auto& [replica, progress] : progress_) everywhere = std::min(everywhere, progress.match);
  log_.evict(everywhere, 0);
  log_.evict(stable_, leader_cache_bytes);
}

void Group::interval() {
  if (role_ != Role::leader) return;
  check_quorum();
  if (role_ != Role::leader) return;
  bool active = applied_ < log_.last_index() || transfer_ || should_not_lead();
  for (auto& [replica, progress] : progress_) {
    if (room_of(replica.node) == Room::ample)
      progress.short_since.reset();
    else if (!progress.short_since)
      progress.short_since = now();
    active = active || progress.snapshot;
    if (progress.snapshot)
      tick_snapshot(replica, progress);
    else
      tick_progress(replica, progress);
  }
  if (active) services_.active_at = now();
  if (!services_.faults.ignore_lease) {
    bool holds = lease_holds();
    if (lease_seen_ && !holds) event("lease_expired");
    lease_seen_ = holds;
  }
  give_way_when_stuck();
  if (role_ != Role::leader) return;
  drift_to_preferred();
  if (role_ == Role::leader) move_members();
}

// Retransmission: what is not answered in time by somebody who answers heartbeats is sent again, from what is certain.
// Whoever does not answer heartbeats gets nothing until he does, but for a new learner: it answers none before an
// append has made it.
void Group::tick_progress(const ReplicaId& replica, Progress& progress) {
  bool waiting = progress.paused || !progress.inflight.empty();
  TimePoint active = std::max(progress.sent_at, progress.replied_at);
  bool silent = waiting && active + retransmit_intervals * services_.timing.heartbeat <= now();
  if (!answering(progress)) {
    if (silent && progress.state == Progress::State::replicate) {
      progress.probe();
      progress.paused = true;
    } else if (progress.match == 0 && !is_voter(configuration(), replica) &&
               active + retransmit_intervals * services_.timing.heartbeat <= now()) {
      progress.probe();
      progress.next = log_.last_index() + 1;  // a small one, whatever was cut meanwhile
      mark();
    }
    return;
  }
  if (silent) progress.probe();
  if (progress.match == log_.last_index() && progress.state != Progress::State::probe) return;
  services_.active_at = now();
  mark();
}

void Group::peer_restarted(const Uuid& peer) {
  for (auto& [replica, progress] : progress_) {
    if (replica.node != peer) continue;
    preferred_since_.reset();
    if (!progress.snapshot) progress.probe();
    mark();
  }
}

// ---- Follower -------------------------------------------------------------------------------------

namespace {

// What the sender promises about the shape of its message; nothing of it is believed unchecked.
bool well_formed(const Append& message) {
  LogIndex index = message.previous_index;
  Term term = message.previous_term;
  for (const Entry& entry : message.entries) {
    if (entry.index != ++index || entry.term < term || entry.term > message.raft.term) return false;
    if (entry.kind < EntryKind::no_op || entry.kind > EntryKind::batch || entry.bytes() > UINT32_MAX) return false;
    if (entry.kind == EntryKind::configuration) {
      Result<Configuration> configuration = decode_configuration(entry.head.view());
      if (!configuration || configuration->voters.empty()) return false;
    }
    term = entry.term;
  }
  return true;
}

}  // namespace

void Group::receive(const Uuid& source, const Append& message) {
  if (!accept_from_leader(source, message.raft)) return;
  AppendReply reply;
  reply.raft = answer_header(message.raft);
  reply.room = services_.room;
  reply.rejected = message.previous_index;
  if (message.raft.term < term_) {  // tells a deposed leader the new term
    services_.out.send_after_write(source, reply);
    return;
  }
  if (!well_formed(message)) {
    event("malformed_append", "source=" + source.text());
    return;
  }
  if (!follow(source, message.raft)) return;
  if (incoming_ && incoming_->install) return;  // the log is about to be replaced; the leader sends again
  reply.raft.term = term_;
  if (!holds_data_) {
    reply.absent = true;
    services_.out.send_after_write(source, std::move(reply));
    return;
  }
  std::optional<LogIndex> match = place_entries(message, reply);
  if (match) {
    reply.match = *match;
    advance_commit(std::min(message.commit, *match));
    if (incoming_ && *match >= incoming_->last_index) drop_incoming();  // the log suffices
  }
  // Behind every write so far: what is acknowledged is durable.
  services_.out.send_after_write(source, std::move(reply));
  evict_bodies();
}

// Up to where this log agrees with the leader's now. No value: it rejected; `reply` says why.
std::optional<LogIndex> Group::place_entries(const Append& message, AppendReply& reply) {
  LogIndex last = message.previous_index + message.entries.size();
  bool known_before = message.previous_index < commit_ ||  // committed entries agree whatever they were sent behind
                      log_.term(message.previous_index) == message.previous_term ||
                      (services_.faults.ignore_previous_term && message.previous_index <= log_.last_index());
  if (!known_before) {
    LogIndex hint = log_.last_with_term_up_to(message.previous_index, message.previous_term);
    reply.hint_index = std::max(hint, commit_);
    reply.hint_term = log_.term(reply.hint_index).value();
    return std::nullopt;
  }
  auto entry = message.entries.begin();
  while (entry != message.entries.end() && (entry->index <= commit_ || log_.term(entry->index) == entry->term)) ++entry;
  reply.success = true;
  if (entry == message.entries.end()) return std::max(last, std::min(commit_, log_.last_index()));
  const std::size_t first = static_cast<std::size_t>(entry - message.entries.begin());
  const auto end = message.entries.begin() + static_cast<std::ptrdiff_t>(fitting_entries(message, first));
  if (entry == end) {
    reply.success = false;
    reply.no_space = true;
    return std::nullopt;
  }
  if (entry->index <= log_.last_index()) {
    event("log_truncated", "from=" + std::to_string(entry->index));
    truncate_log(entry->index);
  }
  for (; entry != end; ++entry) {
    bool touches = holds_members_table_ && entry->kind == EntryKind::batch && touches_members_table(*entry);
    RINGFS_CHECK(append_to_log(*entry, touches));  // well_formed() saw it
  }
  return log_.last_index() < last ? log_.last_index() : last;
}

// ---- Heartbeats -----------------------------------------------------------------------------------

std::optional<HeartbeatGroup> Group::heartbeat_for(const ReplicaId& peer) const {
  auto progress = progress_.find(peer);
  if (role_ != Role::leader || progress == progress_.end()) return std::nullopt;
  // Never beyond what the peer is known to have: its log may differ from there on.
  return HeartbeatGroup{partition_, term_, std::min(commit_, progress->second.match), replica_.added, peer.added};
}

Group::HeartbeatAnswer Group::heartbeat(const Uuid& source, const HeartbeatGroup& heartbeat) {
  RaftHeader header{partition_, heartbeat.term, heartbeat.source_added, heartbeat.destination_added};
  if (!accept(source, header) || removed()) {
    return {false, 0, has_lost_log() && heartbeat.destination_added == replica_.added};
  }
  if (!follow(source, header)) return {false, term_, false};
  if (!(incoming_ && incoming_->install) && holds_data_) advance_commit(heartbeat.commit);
  return {true, term_, damage_ != Damage::none};
}

void Group::heartbeat_acknowledged(const Uuid& source, const HeartbeatGroup& sent, std::uint64_t round,
                                   TimePoint sent_at, bool damaged) {
  auto progress = progress_.find({source, sent.destination_added});
  if (role_ != Role::leader || sent.term != term_ || progress == progress_.end()) return;
  if (round <= progress->second.acknowledged_round) return;
  progress->second.acknowledged_round = round;
  progress->second.acknowledged_sent_at = sent_at;
  progress->second.damaged = damaged;
  release_held_reads();
}

void Group::heartbeat_refused(const Uuid& source, const HeartbeatGroup& sent, const HeartbeatReply::Refusal& refusal) {
  auto progress = progress_.find({source, sent.destination_added});
  if (role_ != Role::leader || sent.term != term_ || progress == progress_.end()) return;
  progress->second.damaged = progress->second.damaged || refusal.damaged;
  if (refusal.term > term_) become_follower(refusal.term, std::nullopt);
}

}  // namespace ringfs::dht
