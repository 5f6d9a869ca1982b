// A group's inputs but messages (receive.cpp) and damage (damage.cpp): calls of the node, answers of the driver, and
// what is carried out once a turn.
#include "dht/core/raft/group.hpp"

#include <utility>

#include "dht/core/raft/compaction.hpp"

namespace ringfs::dht {

Group::Group(const PersistedGroup& persisted, bool created, bool holds_members_table, GroupServices& services)
    : services_(services),
      state_(persisted, holds_members_table, services),
      log_(state_.log()),
      commitments_(created, services.timing, services.now()),
      life_(state_, services),
      receiver_(state_, services, commitments_),
      election_(state_, services, life_, receiver_, commitments_, created),
      follower_(state_, services, election_, receiver_, life_) {
  check();
}

void Group::check() const {
  log_.check();
  election_.check();
  const bool leads = election_.role() == Role::leader;
  RINGFS_CHECK(!(receiver_.installing() && leads));
  // Of a follower only those operations are left that are committed.
  const auto& operations = commitments_.operations;
  RINGFS_CHECK(operations.empty() || operations.rbegin()->first <= (leads ? log_.last_index() : log_.commit()));
}

void Group::tick() {
  election_.tick();
  check();
}

void Group::interval() {
  Leader* leader = election_.leader();
  if (leader == nullptr) return;
  election_.carry_out(leader->interval());
  check();
}

void Group::peer_disconnected(const Uuid& peer) {
  election_.peer_disconnected(peer);
  check();
}

void Group::peer_restarted(const Uuid& peer) {
  if (Leader* leader = election_.leader()) leader->peer_restarted(peer);
  check();
}

void Group::peer_has_room(const Uuid& peer) {
  if (Leader* leader = election_.leader()) leader->peer_has_room(peer);
  check();
}

void Group::propose(Proposal proposal) {
  if (Leader* leader = election_.leader())
    leader->propose(std::move(proposal));
  else
    state_.fail(proposal.operation, ErrorCode::not_leader);
  check();
}

void Group::released(const Release& release) {
  if (Leader* leader = election_.leader()) leader->released(release);
  check();
}

void Group::read(OperationId operation, ReadRequest request, const RowLease& lease) {
  if (Leader* leader = election_.leader())
    leader->read(operation, std::move(request), lease);
  else
    state_.fail(operation, ErrorCode::not_leader);
  check();
}

void Group::written(EffectId write) {
  log_.written(write);
  if (Leader* leader = election_.leader())
    leader->written();
  else
    follower_.evict_bodies();
  if (state_.hard_state_written(write)) election_.hard_state_written();
  check();
}

void Group::applied(LogIndex through, const std::vector<AppliedBatch>& results) {
  if (ignored_apply_ == through) {  // indices of a later life are higher
    ignored_apply_.reset();
    return;
  }
  log_.applied(through);
  for (const AppliedBatch& batch : results) answer_operation(batch);
  commitments_.row_leases.applied(through);
  auto& operations = commitments_.operations;
  while (!operations.empty() && operations.begin()->first <= through) {
    state_.fail(operations.begin()->second.operation, ErrorCode::internal, "the store gave no result");
    operations.erase(operations.begin());
  }
  Leader* leader = election_.leader();
  while (std::optional<Configuration> old = log_.drop_superseded_configuration()) {
    const ConfigurationAt& committed = log_.configurations().front();
    if (leader != nullptr) life_.tell_removed(*old, committed);
    state_.event("configuration_committed", "index=" + std::to_string(committed.index));
  }
  life_.committed(log_.committed_configuration());
  if (leader != nullptr) leader->applied();
  compact_when_large(state_, services_, followers());
  state_.mark();
  check();
}

// The client that waits for this batch gets its result, with a lease on the rows that it changed.
void Group::answer_operation(const AppliedBatch& batch) {
  // Those behind it are still under way when its rows are leased.
  std::optional<RowChanges> changed = commitments_.row_leases.applied(batch.index);
  auto pending = commitments_.operations.find(batch.index);
  if (pending == commitments_.operations.end()) return;
  const auto [operation, term] = pending->second;
  commitments_.operations.erase(pending);
  if (log_.entries().term(batch.index) != term) {
    state_.fail(operation, ErrorCode::not_leader, "another leader's entry took its place");
    return;
  }
  BatchResult result = batch.result;
  // Only if it happened just now: a result from the record says nothing of what happened since.
  const bool fresh = result.outcome == BatchResult::Outcome::applied && result.version == batch.index;
  const bool held = result.held && !services_.faults.lease_held_rows;
  Leader* leader = election_.leader();
  if (fresh && changed && !held && leader != nullptr) result.lease = leader->grant(*changed);
  services_.out.reply(operation, Answer(result));
}

void Group::read_done(EffectId id, Result<ReadAnswer> answer) {
  Leader* leader = election_.leader();
  const std::optional<ReadQueue::Running> read = leader != nullptr ? leader->reads().take(id) : std::nullopt;
  if (!read) return;
  if (answer) {
    leader->reads().answer(*read, std::move(*answer));
    check();
    return;
  }
  Error error = answer.error();
  if (error.code == ErrorCode::corrupt) {
    mark_damaged(Damage::rows);  // it may lead no more
    error = damage_error(error.context);
  }
  state_.fail(read->operation, error.code, error.context);
  check();
}

void Group::loaded(EffectId id, Result<std::vector<Entry>> entries) {
  Leader* leader = election_.leader();
  if (leader == nullptr) return;
  const std::optional<LogIndex> damaged = leader->loaded(id, std::move(entries));
  if (damaged) entry_damaged(*damaged);
  check();
}

void Group::snapshot_read(EffectId id, Result<SnapshotData> data) {
  Leader* leader = election_.leader();
  if (leader == nullptr) return;
  if (leader->snapshot_read(id, std::move(data))) mark_damaged(Damage::rows);
  check();
}

void Group::flush() {
  if (std::optional<ConfigurationAt> committed = life_.take_retirement()) {
    reset_replica(state_.id().added, std::move(*committed));
    state_.event("replica_removed", "added=" + std::to_string(state_.id().added));
  }
  if (receiver_.install_when_ready()) election_.configuration_changed();
  if (Leader* leader = election_.leader()) leader->flush();
  // None beside a snapshot that is about to replace everything.
  if (!state_.has_lost_log() && !state_.apply_blocked() && !receiver_.installing()) log_.hand_out_apply();
  check();
}

// All data goes; term and vote stay.
void Group::reset_replica(LogIndex added, ConfigurationAt where_to_ask) {
  RINGFS_CHECK(!log_.applying());
  election_.withdraw();
  state_.reset(added, std::move(where_to_ask));
  life_.forget_retirement();
}

void Group::compact_for_budget(const LogBudget::Compaction& wanted) {
  ringfs::dht::compact_for_budget(state_, services_, followers(), wanted);
  check();
}

void Group::drop_staged_snapshot() {
  receiver_.drop_for_want_of_room();
  check();
}

GroupStatus Group::status() const {
  GroupStatus status;
  status.partition = state_.partition();
  status.role = election_.role();
  status.term = state_.term();
  status.leader = state_.leader();
  status.first_index = log_.base_index() + 1;
  status.last_index = log_.last_index();
  status.commit = log_.commit();
  status.applied = log_.applied();
  status.snapshotting = receiver_.receiving();
  status.damaged = state_.damage() != Damage::none;
  status.learners = static_cast<unsigned>(state_.configuration().learners.size());
  if (const Leader* leader = election_.leader()) leader->describe(status);
  return status;
}

}  // namespace ringfs::dht
