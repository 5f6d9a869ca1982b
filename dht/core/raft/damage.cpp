// A replica whose data on the disk is damaged (Damage, effects.hpp), until it is another replica with fresh data.
//
// The way out is a change of members: out of the group, then in again under another identity (membership.cpp), for a
// replica that forgot what it promised must not count for a moment. What it does until then depends on what is lost.
// Without its log or its votes: nothing. With damaged rows and a sound log: all that a voter does, or a group of which
// another member is down would stand still for one row.
#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

namespace {

const char* name_of(Damage damage) { return damage == Damage::log ? "log" : "rows"; }

}  // namespace

void Group::mark_damaged(Damage damage) {
  if (!holds_data_ || damage <= damage_) return;
  damage_ = damage;
  event("replica_damaged", "added=" + std::to_string(replica_.added) + " what=" + name_of(damage));
  services_.out.group_write(partition_).damage = damage;
  mark();
  if (has_lost_log()) {
    // Who follows need not wait for time-outs, if the row leases have ended; a lease of this term ends with
    // its leader.
    const std::optional<ReplicaId> target = role_ == Role::leader ? target_of_damaged() : std::nullopt;
    if (target && row_leases_.last_until() <= now()) services_.out.send(target->node, TimeoutNow{header(*target)});
    leave_to_others();
    if (applying_through_ > applied_) ignored_apply_ = std::exchange(applying_through_, applied_);
    return;
  }
  if (role_ != Role::leader) return;
  next_transfer_ = now();
  drift_to_preferred();
}

void Group::apply_failed(LogIndex through, Damage damage) {
  if (ignored_apply_ == through) {
    ignored_apply_.reset();
    return;
  }
  RINGFS_CHECK(through == applying_through_ && through > applied_);
  applying_through_ = applied_;
  apply_blocked_ = true;
  mark_damaged(damage);
  // Nobody will hear their results from here.
  for (const auto& [index, pending] : std::exchange(operations_, {})) {
    const Error error = damage_error("what it needs is damaged on this node");
    fail_operation(pending.operation, error.code, error.context);
  }
  mark();
}

// As a leader: a voter that is sound, keeps up, answers and is fit to lead; of several the first of the preference
// list.
std::optional<ReplicaId> Group::target_of_damaged() const {
  std::optional<ReplicaId> target;
  for (const ReplicaId& voter : configuration().voters) {
    auto progress = progress_.find(voter);
    if (progress == progress_.end() || progress->second.damaged || !caught_up(voter, progress->second) ||
        said_unfit(voter))
      continue;
    if (!target || preference_rank(voter.node) < preference_rank(target->node)) target = voter;
  }
  return target;
}

// For a client that needs what is damaged: somebody else has it in a moment, or nobody has.
Error Group::damage_error(std::string context) const {
  if (role_ != Role::leader || target_of_damaged())
    return {ErrorCode::unavailable, "this replica is damaged, another one will serve"};
  return {ErrorCode::corrupt, std::move(context)};
}

// This entry or one behind it. What is applied is in the rows: without those entries the log is as good.
void Group::entry_damaged(LogIndex index) {
  if (!serves() || index <= log_.base_index() || index > log_.last_index()) return;  // it went meanwhile
  if (index > applied_) {
    mark_damaged(Damage::log);
    return;
  }
  compact_log(applied_);
  note_log_size();
  event("log_cut_for_damage", "through=" + std::to_string(applied_));
}

// By a reset, which leaves nothing, or by an install, which brings other rows and another log.
void Group::damage_ends(bool by_reset) {
  apply_blocked_ = false;
  repairing_ = repairing_ || damage_ != Damage::none;
  damage_ = Damage::none;
  if (by_reset || !repairing_) return;
  repairing_ = false;
  event("replica_repaired", "added=" + std::to_string(replica_.added));
}

}  // namespace ringfs::dht
