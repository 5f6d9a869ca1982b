// A replica whose data on the disk is damaged (Damage, effects.hpp), until it is another replica with fresh data.
//
// The way out is a change of members: out of the group, then in again under another identity (membership_change.cpp),
// for a replica that forgot what it acknowledged must not count for a moment. What it does until then depends on what
// is lost. Without its log or its votes: nothing. With damaged rows and a sound log: all that a voter does; otherwise
// one bad row would stop a group of which another member is down.
#include "dht/core/raft/compaction.hpp"
#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

namespace {

const char* name_of(Damage damage) { return damage == Damage::log ? "log" : "rows"; }

}  // namespace

void Group::mark_damaged(Damage damage) {
  if (!state_.holds_data() || damage <= state_.damage()) return;
  state_.note_damage(damage);
  state_.event("replica_damaged", "added=" + std::to_string(state_.id().added) + " what=" + name_of(damage));
  state_.mark();
  if (state_.has_lost_log()) {
    // Who follows need not wait for timeouts, if the brief row leases have ended; the leader lease of this term ends
    // with its leader.
    const std::optional<ReplicaId> target = leader() != nullptr ? leader()->targets().of_damaged() : std::nullopt;
    if (target && commitments_.brief_leases_until <= services_.now())
      services_.out.send(target->node, TimeoutNow{state_.header(*target)});
    election_.withdraw();
    if (log_.applying()) ignored_apply_ = log_.take_back_apply();
  } else if (Leader* leader = election_.leader()) {
    election_.carry_out(leader->hand_over_soon());
  }
  check();
}

void Group::apply_failed(LogIndex through, Damage damage) {
  if (ignored_apply_ == through) {
    ignored_apply_.reset();
    return;
  }
  const LogIndex expected = log_.take_back_apply();
  RINGFS_CHECK(through == expected && through > log_.applied());
  state_.block_applies();
  mark_damaged(damage);
  // Nobody will hear their results from here.
  for (const auto& [index, pending] : std::exchange(commitments_.operations, {})) {
    const Error error = damage_error("what it needs is damaged on this node");
    state_.fail(pending.operation, error.code, error.context);
  }
  state_.mark();
  check();
}

// For a client that needs what is damaged: another replica will serve it, or none has it.
Error Group::damage_error(std::string context) const {
  if (const Leader* leader = election_.leader()) return leader->proposals().damage_error(std::move(context));
  return {ErrorCode::unavailable, "this replica is damaged, another one will serve"};
}

// What is applied is in the rows: without those entries the log is as good.
void Group::entry_damaged(LogIndex index) {
  if (!state_.serves() || index <= log_.base_index() || index > log_.last_index()) return;  // it went meanwhile
  if (index > log_.applied())
    mark_damaged(Damage::log);
  else
    compact_for_damage(state_);
  check();
}

}  // namespace ringfs::dht
