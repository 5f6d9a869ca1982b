// What a leader admits into its log, and when.
#include "dht/core/raft/leader/proposals.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

Proposals::~Proposals() {
  while (!delayed_.empty()) take(delayed_.begin());
}

std::optional<Error> Proposals::refusal(const Proposal& proposal) const {
  if (transfer_.under_way()) return Error{ErrorCode::overloaded, "leadership is being transferred"};
  if (state_.apply_blocked())
    return damage_error("an earlier change needs what is damaged on this node, and there is no other copy");
  if (std::optional<Error> error = room_refusal(proposal.needs_room)) return error;
  const std::size_t bytes = proposal.batch.size();
  bool full = state_.log().unapplied_bytes() + delayed_bytes_ + bytes > max_group_pending_bytes ||
              services_.unapplied_bytes + bytes > NodeLimits::unapplied_bytes;
  if (full) return Error{ErrorCode::overloaded, "too many bytes wait to be replicated"};
  return std::nullopt;
}

std::optional<Error> Proposals::room_refusal(bool needs_room) const {
  const Room needed = needs_room ? Room::ample : Room::reserve;
  if (services_.faults.ignore_rooms) return std::nullopt;
  // A new leader waits for the answers to its first heartbeats, which say what room there is, before it admits what
  // might not fit.
  const bool fresh = services_.now() < led_since_ + services_.timing.election_minimum;
  if (needs_room && fresh && !followers_.quorum_answers()) return Error{ErrorCode::overloaded, "a new leader"};
  const Room elsewhere = followers_.quorum_room();
  if (elsewhere < needed || (services_.faults.refuse_frees && elsewhere != Room::ample)) {
    return Error{ErrorCode::no_space, "a majority of the partition's disks is full"};
  }
  // It hands over to one with room: the client asks again.
  if (services_.room < needed) return Error{ErrorCode::overloaded, "the leader's disk is full"};
  return std::nullopt;
}

Error Proposals::damage_error(std::string context) const {
  // Not of_damaged(): a new leader has yet to hear who keeps up.
  const std::vector<ReplicaId> voters = all_voters(state_.configuration());
  const bool another = std::any_of(voters.begin(), voters.end(), [&](const ReplicaId& voter) {
    const Progress* progress = followers_.find(voter);
    return progress != nullptr && !progress->damaged;
  });
  if (another) return {ErrorCode::unavailable, "this replica is damaged, another one will serve"};
  return {ErrorCode::corrupt, std::move(context)};
}

void Proposals::propose(Proposal proposal) {
  if (std::optional<Error> error = refusal(proposal)) {
    state_.fail(proposal.operation, error->code, error->context);
    return;
  }
  const TimePoint now = services_.now();
  commitments_.row_leases.begin(proposal.changes, now);
  const TimePoint free = free_at(proposal.changes);
  if (free <= now) {
    append(std::move(proposal));
  } else if (may_delay(proposal.batch.size())) {
    recall(proposal.changes);
    delay(free, std::move(proposal));
  } else {
    commitments_.row_leases.end(proposal.changes);
    state_.fail(proposal.operation, ErrorCode::overloaded, "too many batches wait for row leases");
  }
}

TimePoint Proposals::free_at(const RowChanges& changes) const {
  const TimePoint now = services_.now();
  const NodeOptions::Faults& faults = services_.faults;
  if (faults.ignore_row_leases || (faults.prepare_ignores_row_leases && changes.prepares)) return now;
  const TimePoint free = commitments_.row_leases.free_at(changes, now);
  return faults.forget_former_leases ? free : std::max(free, commitments_.former_leases.free_at(changes.client, now));
}

// ---- Recalls ---------------------------------------------------------------------------------------

void Proposals::recall(const RowChanges& changes) {
  for (auto& [client, wanted] : commitments_.row_leases.recall(changes, services_.now()))
    send(client, std::move(wanted));
  recall_former(changes.client);
}

// What earlier leaders granted: this one does not know which rows.
void Proposals::recall_former(const Uuid& except) {
  if (services_.faults.forget_former_leases) return;
  for (const LeaseHolder& holder : commitments_.former_leases.left(services_.now())) {
    if (holder.client != except) send(holder.client, {commitments_.row_leases.next_number(), true, {}});
  }
}

void Proposals::send(const Uuid& client, RowLeases::Wanted wanted) {
  const bool everything = wanted.everything || wanted.rows.size() > max_recalled_rows;
  if (everything) wanted.rows.clear();
  ++services_.lease_counters.recalls;
  services_.out.recall({client, state_.partition(), state_.term(), wanted.number, everything, std::move(wanted.rows)});
}

void Proposals::recall_again() {
  recall_former({});
  for (const auto& [until, proposal] : delayed_) {
    for (auto& [client, wanted] : commitments_.row_leases.recall(proposal.changes, services_.now()))
      send(client, std::move(wanted));
  }
}

void Proposals::released(const Release& release) {
  // Without a term: of a client that ends, for whatever leader.
  if (release.term != 0 && release.term != state_.term()) return;
  ++services_.lease_counters.releases;
  // Everything: what earlier leaders granted is gone, too.
  if (release.everything) commitments_.former_leases.released(release.client);
  commitments_.row_leases.released(release.client, release.number, release.everything, release.rows);
  Delayed still;
  while (!delayed_.empty()) {
    auto one = delayed_.extract(delayed_.begin());
    one.key() = free_at(one.mapped().changes);
    still.insert(std::move(one));
  }
  delayed_ = std::move(still);
  append_free();
}

void Proposals::append(Proposal proposal) {
  state_.append_own(EntryKind::batch, std::move(proposal.batch.head), std::move(proposal.batch.blobs),
                    proposal.touches_members);
  const LogIndex index = state_.log().last_index();
  commitments_.operations[index] = {proposal.operation, state_.term()};
  commitments_.row_leases.entered(index, std::move(proposal.changes));
}

bool Proposals::may_delay(std::size_t bytes) const {
  return delayed_.size() < ProposalLimits::delayed && services_.delayed_batches < NodeLimits::delayed_batches &&
         services_.delayed_bytes + bytes <= NodeLimits::delayed_bytes;
}

void Proposals::delay(TimePoint until, Proposal proposal) {
  delayed_bytes_ += proposal.batch.size();
  services_.delayed_bytes += proposal.batch.size();
  ++services_.delayed_batches;
  ++services_.lease_counters.waits;
  proposal.delayed_at = services_.now();
  delayed_.emplace(until, std::move(proposal));
  state_.event("batch_delayed");
  state_.mark();
}

Proposal Proposals::take(Delayed::iterator place) {
  Proposal proposal = std::move(delayed_.extract(place).mapped());
  services_.lease_counters.waited += services_.now() - proposal.delayed_at;
  delayed_bytes_ -= proposal.batch.size();
  services_.delayed_bytes -= proposal.batch.size();
  --services_.delayed_batches;
  return proposal;
}

void Proposals::append_delayed() {
  const std::size_t before = delayed_.size();
  append_free();
  services_.lease_counters.ran_out += before - delayed_.size();
}

void Proposals::append_free() {
  while (!delayed_.empty() && delayed_.begin()->first <= services_.now()) {
    Proposal proposal = take(delayed_.begin());
    if (std::optional<Error> error = refusal(proposal)) {
      commitments_.row_leases.end(proposal.changes);
      state_.fail(proposal.operation, error->code, error->context);
    } else if (services_.out.is_open(proposal.operation)) {
      append(std::move(proposal));
    } else {
      commitments_.row_leases.end(proposal.changes);  // its client went away before it could happen
    }
  }
}

// Certainly not executed: they never entered the log.
void Proposals::fail_all() {
  while (!delayed_.empty()) state_.fail(take(delayed_.begin()).operation, ErrorCode::not_leader);
}

}  // namespace ringfs::dht
