// The steps of a transfer of leadership.
#include "dht/core/raft/leader/transfer.hpp"

namespace ringfs::dht {

Verdict Transfer::step(bool leaving, bool batches_wait) {
  const bool unfit = services_.should_not_lead();
  const bool hung = unfit && services_.disk_hangs();
  if (target_) return wait_for_target();
  // Its disk hung, and nobody took over or could.
  if (lease_void_ && !services_.disk_hangs()) return Verdict::stand;
  handing_over_ = false;  // until it turns out below that it is time
  if (unfit) ask_about_disks();
  if (now() < commitments_.next_transfer && !hung) return Verdict::lead_on;
  const std::optional<ReplicaId> target = choose(leaving);
  if (!target) {
    const bool too_long = hung && services_.fitness.stalled(now()) >= 2 * disk_timeout;
    return too_long ? give_up_leading() : Verdict::lead_on;
  }
  // No new row leases, and the brief ones must end before: the next leader would not know them.
  handing_over_ = true;
  if (commitments_.brief_leases_until > now()) return Verdict::lead_on;
  const Duration far = Distances::patience * services_.distances.to(target->node);
  target_ = Target{*target, now() + services_.timing.election_minimum / (hung ? 2 : 1) + far, false};
  state_.event("transfer", "to=" + target->node.text());
  send_if_ready(batches_wait);
  return Verdict::lead_on;
}

Verdict Transfer::wait_for_target() {
  if (now() < target_->deadline) {
    // Again, for the first one may have been lost; whoever has followed it ignores what is of an earlier term.
    if (target_->sent) send_timeout_now();
    return Verdict::lead_on;
  }
  const bool sent = target_->sent;
  target_.reset();
  preferred_since_.reset();
  commitments_.next_transfer = now() + TransferLimits::pause;
  state_.event("transfer_failed");
  if (services_.should_not_lead() && services_.disk_hangs()) return give_up_leading();
  // The lease of this term was given away.
  return sent ? Verdict::stand : Verdict::lead_on;
}

std::optional<ReplicaId> Transfer::choose(bool leaving) {
  if (services_.should_not_lead()) return targets_.of_unfit();
  if (state_.damage() != Damage::none) return targets_.of_damaged();
  const std::optional<ReplicaId> target = leaving ? targets_.of_leaving() : targets_.with_room();
  return target ? target : steady_primary();
}

// The preferred primary, if it is another one and has kept up for long enough.
std::optional<ReplicaId> Transfer::steady_primary() {
  const std::optional<ReplicaId> preferred = targets_.preferred_primary();
  if (!preferred) {
    preferred_since_.reset();
    return std::nullopt;
  }
  if (!preferred_since_) {
    preferred_since_ =
        now() + Duration(services_.random.below(static_cast<std::uint64_t>(TransferLimits::spread.count())));
  }
  if (*preferred_since_ + TransferLimits::steady > now()) return std::nullopt;
  if (targets_.known_fit(*preferred)) return preferred;
  ask_about_disks();
  return std::nullopt;
}

// Their next heartbeat asks the peers to find out whether their disks answer.
void Transfer::ask_about_disks() {
  if (services_.ask_until <= now()) followers_.ask_for_heartbeats();
  services_.ask_until = now() + fitness_life;
}

// Nobody took over. Without the heartbeats of this leader the others elect one of themselves.
Verdict Transfer::give_up_leading() {
  if (!targets_.others_can_elect()) return Verdict::lead_on;
  state_.event("leadership_given_up");
  return Verdict::step_down;
}

void Transfer::send_if_ready(bool batches_wait) {
  if (!target_ || target_->sent) return;
  const Progress* progress = followers_.find(target_->replica);
  if (progress == nullptr || progress->match != state_.log().last_index()) return;
  if (commitments_.brief_leases_until > now() || batches_wait) return;  // brief row leases end in this term
  target_->sent = true;
  lease_void_ = true;
  send_timeout_now();
}

void Transfer::send_timeout_now() {
  services_.out.send(target_->replica.node, TimeoutNow{state_.header(target_->replica)});
}

}  // namespace ringfs::dht
