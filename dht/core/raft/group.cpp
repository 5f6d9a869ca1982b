#include "dht/core/raft/group.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

Group::Group(const PersistedGroup& persisted, bool created, bool holds_members_table, GroupServices& services)
    : partition_(persisted.partition),
      holds_members_table_(holds_members_table),
      services_(services),
      replica_(persisted.replica),
      holds_data_(persisted.holds_data),
      term_(persisted.hard_state.term),
      vote_(persisted.hard_state.vote),
      log_(persisted.base_index, persisted.base_term, persisted.log),
      log_clock_(persisted.last_stamp, services.clock.now),
      stable_(log_.last_index()),
      commit_(persisted.applied),
      applied_(persisted.applied),
      applying_through_(persisted.applied),
      damage_(persisted.damage) {
  RINGFS_CHECK(applied_ >= log_.base_index() && applied_ <= log_.last_index());
  configurations_.push_back({persisted.configuration_index, persisted.configuration});
  for (const Entry& entry : persisted.configuration_entries) {
    if (entry.index <= applied_) continue;
    Result<Configuration> configuration = decode_configuration(entry.head.view());
    RINGFS_CHECK(configuration.has_value());  // it was checked before it was written
    configurations_.push_back({entry.index, *configuration});
  }
  for (LogIndex index = applied_ + 1; index <= log_.last_index(); ++index) {
    add_unapplied(log_.entry_bytes(index));
    if (holds_members_table_) members_touches_.insert(index);  // their bodies are not at hand: assume the worst
  }
  note_log_size();
  members_touched_ = holds_members_table_ && holds_data_;
  query_at_ = now() + replica_query_timeout;
  if (!created) refuse_votes_until_ = now() + services_.timing.lease;
  role_ = promotable() ? Role::follower : Role::learner;
  // The preferred primary comes first, so that a fresh ring is usable at once and leaders are where lookups end.
  reset_election_deadline();
  if (preference_rank(services_.self) == 0) {
    election_deadline_ =
        now() + services_.timing.lease + services_.timing.heartbeat / 5 + Duration(services_.random.below(40000));
  } else {
    election_deadline_ += services_.timing.lease;
  }
}

Group::~Group() {
  services_.log_budget.remove(partition_);
  while (!delayed_.empty()) take_delayed(delayed_.begin());
}

void Group::event(const char* name, const std::string& detail) const {
  std::string text = "partition=" + std::to_string(index_of(partition_)) + " term=" + std::to_string(term_);
  if (!detail.empty()) text += " " + detail;
  services_.out.event(name, std::move(text));
}

// The message is for this very replica, and its source is not an earlier life of a replica that we know
// (docs/design.md#replica-identity). A source that we do not know may be a member of a configuration that has not
// arrived here yet.
bool Group::accept(const Uuid& source, const RaftHeader& header) const {
  if (header.destination_added != replica_.added || has_lost_log()) return false;
  if (services_.faults.ignore_replica_identity) return true;
  const Configuration& known = configuration();
  for (const auto* half : {&known.voters, &known.old_voters, &known.learners}) {
    for (const ReplicaId& replica : *half) {
      if (replica.node == source && replica.added > header.source_added) return false;
    }
  }
  return true;
}

std::map<ReplicaId, Progress>::iterator Group::progress_of(const ReplicaId& replica) {
  if (!services_.faults.ignore_replica_identity) return progress_.find(replica);
  return std::find_if(progress_.begin(), progress_.end(),
                      [&](const auto& known) { return known.first.node == replica.node; });
}

// False: the entry is a configuration that does not decode; nothing happened.
bool Group::append_to_log(Entry entry, bool may_touch_members) {
  std::optional<Configuration> configuration;
  if (entry.kind == EntryKind::configuration) {
    Result<Configuration> decoded = decode_configuration(entry.head.view());
    if (!decoded || decoded->voters.empty()) return false;
    configuration = *decoded;
  }
  log_clock_.entered(entry.stamp, now());
  services_.appended_at = now();
  add_unapplied(entry.bytes());
  if (holds_members_table_ && may_touch_members) members_touches_.insert(entry.index);
  services_.out.group_write(partition_).append.push_back(entry);
  LogIndex index = entry.index;
  log_.append(std::move(entry));
  note_write();
  if (configuration) {
    configurations_.push_back({index, std::move(*configuration)});
    const std::vector<ReplicaId>& voters = configurations_.back().configuration.voters;
    const bool goes = role_ != Role::leader && std::find(voters.begin(), voters.end(), replica_) == voters.end();
    if (services_.faults.drop_early && goes && promotable()) retire_ = configurations_.back();
    configuration_changed();
  }
  return true;
}

void Group::add_unapplied(std::size_t bytes) {
  unapplied_bytes_ += bytes;
  services_.unapplied_bytes += bytes;
}

void Group::drop_unapplied(std::size_t bytes) {
  unapplied_bytes_ -= bytes;
  services_.unapplied_bytes -= bytes;
}

void Group::truncate_log(LogIndex from) {
  RINGFS_CHECK(from > commit_);  // committed entries never change
  GroupWrite& write = services_.out.group_write(partition_);
  bool already_gone = !write.append.empty() && write.append.front().index < from;
  while (!write.append.empty() && write.append.back().index >= from) write.append.pop_back();
  if (!already_gone && log_.last_index() >= from) {
    write.truncate_from = write.truncate_from ? std::min(*write.truncate_from, from) : from;
  }
  for (LogIndex index = from; index <= log_.last_index(); ++index) drop_unapplied(log_.entry_bytes(index));
  log_.truncate_from(from);
  members_touches_.erase(members_touches_.lower_bound(from), members_touches_.end());
  stable_ = std::min(stable_, from - 1);
  for (PendingWrite& pending : pending_writes_) pending.last = std::min(pending.last, from - 1);
  note_write();
  while (configurations_.size() > 1 && configurations_.back().index >= from) {
    configurations_.pop_back();
    configuration_changed();
  }
}

// The log's end as of now becomes durable with the write that is being collected.
void Group::note_write() {
  EffectId id = services_.out.write_id();
  if (pending_writes_.empty() || pending_writes_.back().id != id) pending_writes_.push_back({id, 0});
  pending_writes_.back().last = log_.last_index();
}

void Group::configuration_changed() {
  if (role_ == Role::follower || role_ == Role::learner) role_ = promotable() ? Role::follower : Role::learner;
  if (role_ != Role::leader) return;
  std::set<ReplicaId> others;
  const Configuration& newest = configuration();
  for (const auto* half : {&newest.voters, &newest.old_voters, &newest.learners})
    others.insert(half->begin(), half->end());
  others.erase(replica_);
  for (auto known = progress_.begin(); known != progress_.end();) {
    if (others.contains(known->first)) {
      ++known;
      continue;
    }
    stop_snapshot(known->second);
    known = progress_.erase(known);
  }
  for (const ReplicaId& other : others) {
    std::shared_ptr<std::size_t>& peer_bytes = services_.inflight_bytes[other.node];
    if (!peer_bytes) peer_bytes = std::make_shared<std::size_t>(0);
    auto [progress, fresh] = progress_.try_emplace(other, peer_bytes);
    if (!fresh) continue;
    progress->second.next = log_.last_index() + 1;
    progress->second.since = now();
  }
  mark();
}

void Group::advance_commit(LogIndex index) {
  index = std::min(index, log_.last_index());
  if (index <= commit_) return;
  commit_ = index;
  mark();
}

// One Apply is outstanding at a time, and none beside a snapshot that is about to replace everything.
void Group::emit_apply() {
  if (applying_through_ > applied_ || commit_ <= applied_) return;
  if (has_lost_log() || apply_blocked_ || (incoming_ && incoming_->install)) return;
  LogIndex through = applied_;
  std::size_t bytes = 0;
  while (through < commit_ && through - applied_ < max_apply_entries) {
    std::size_t next = log_.entry_bytes(through + 1);
    if (through > applied_ && bytes + next > max_apply_bytes) break;
    bytes += next;
    ++through;
  }
  applying_through_ = through;
  services_.out.apply(partition_, through);
}

void Group::applied(LogIndex through, const std::vector<AppliedBatch>& results) {
  if (ignored_apply_ == through) {  // indices of a later life are higher
    ignored_apply_.reset();
    return;
  }
  RINGFS_CHECK(through == applying_through_ && through > applied_);
  for (LogIndex index = applied_ + 1; index <= through; ++index) drop_unapplied(log_.entry_bytes(index));
  applied_ = through;
  for (const AppliedBatch& batch : results) {
    // Those behind it are still under way when its rows are leased.
    std::optional<RowChanges> changed = row_leases_.applied(batch.index);
    auto pending = operations_.find(batch.index);
    if (pending == operations_.end()) continue;
    if (log_.term(batch.index) == pending->second.term) {
      BatchResult result = batch.result;
      // Only if it happened just now: a result from the record says nothing of what happened since.
      const bool fresh = result.outcome == BatchResult::Outcome::applied && result.version == batch.index;
      const bool held = result.held && !services_.faults.lease_held_rows;
      if (fresh && changed && !held) result.lease = grant_lease(*changed);
      services_.out.reply(pending->second.operation, Answer(std::move(result)));
    } else {
      fail_operation(pending->second.operation, ErrorCode::not_leader, "another leader's entry took its place");
    }
    operations_.erase(pending);
  }
  row_leases_.applied(through);
  while (!operations_.empty() && operations_.begin()->first <= through) {
    fail_operation(operations_.begin()->second.operation, ErrorCode::internal, "the store gave no result");
    operations_.erase(operations_.begin());
  }
  while (configurations_.size() > 1 && configurations_[1].index <= applied_) {
    if (role_ == Role::leader) tell_removed(configurations_[0].configuration, configurations_[1]);
    configurations_.erase(configurations_.begin());
    event("configuration_committed", "index=" + std::to_string(configurations_.front().index));
  }
  if (excludes(committed_configuration())) retire_ = committed_configuration();
  auto touched = members_touches_.upper_bound(applied_);
  if (touched != members_touches_.begin()) {
    members_touches_.erase(members_touches_.begin(), touched);
    members_touched_ = true;
  }
  if (may_read()) start_waiting_reads();
  maybe_compact();
  mark();
}

void Group::written(EffectId write) {
  while (!pending_writes_.empty() && pending_writes_.front().id <= write) {
    stable_ = std::max(stable_, pending_writes_.front().last);
    pending_writes_.pop_front();
  }
  if (members_install_ != 0 && members_install_ <= write) {
    members_install_ = 0;
    members_touched_ = true;
  }
  evict_bodies();
  if (role_ == Role::leader) maybe_commit();
  if (hard_state_write_ != 0 && hard_state_write_ <= write) hard_state_written();
}

void Group::flush() {
  maybe_retire();
  maybe_install();
  if (role_ == Role::leader) {
    for (auto& [replica, progress] : progress_) replicate(replica, progress);
    transfer_if_ready();
  }
  emit_apply();
}

void Group::fail_operation(OperationId operation, ErrorCode code, std::string context) {
  services_.out.reply(operation, tl::unexpected(OperationFailure{{code, std::move(context)}, redirect()}));
}

Redirect Group::redirect() const {
  Redirect redirect;
  redirect.leader = leader_;
  for (const ReplicaId& voter : all_voters(configuration())) redirect.members.push_back(voter.node);
  return redirect;
}

GroupStatus Group::status() const {
  GroupStatus status;
  status.partition = partition_;
  status.role = role_;
  status.term = term_;
  status.leader = leader_;
  status.first_index = log_.first_index();
  status.last_index = log_.last_index();
  status.commit = commit_;
  status.applied = applied_;
  status.lease = lease_holds() && may_read();
  status.snapshotting = incoming_.has_value();
  status.damaged = damage_ != Damage::none;
  status.settled = settled();
  status.learners = static_cast<unsigned>(configuration().learners.size());
  if (role_ != Role::leader) return status;
  for (const auto& [replica, progress] : progress_) {
    if (progress.snapshot) status.snapshotting = true;
    if (!is_voter(configuration(), replica)) continue;
    bool heard = progress.acknowledged_sent_at + services_.timing.election_maximum > now();
    // Under load a healthy follower is some entries behind at any moment.
    bool lags = progress.state != Progress::State::replicate || progress.match + transfer_slack_entries < commit_;
    if (!heard || lags || (progress.inflight.empty() && progress.match < commit_)) ++status.behind;
  }
  return status;
}

}  // namespace ringfs::dht
