// When the leader lease ends, and which row leases fit under it.
#include "dht/core/raft/leader/leases.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

TimePoint Leases::end() const {
  if (transfer_.lease_void()) return TimePoint::min();
  const Timing& timing = services_.timing;
  Duration usable(static_cast<std::int64_t>(static_cast<double>(timing.lease.count()) * (1.0 - timing.lease_margin)));
  TimePoint acknowledged = followers_.quorum_acknowledged_at();
  return acknowledged == TimePoint::min() ? acknowledged : acknowledged + usable;
}

bool Leases::voters_are_bound() const {
  return !transfer_.lease_void() && followers_.quorum_acknowledged_at() + services_.timing.lease > now();
}

// How long a row lease can be that is granted now, up to `wanted`. Before a transfer the brief ones must have ended.
Duration Leases::grantable(const Uuid& client, Duration wanted) {
  if (wanted <= Duration::zero() || transfer_.under_way() || transfer_.handing_over()) return Duration::zero();
  const TimePoint leads_until = end();
  if (leads_until <= now()) return Duration::zero();
  if (known_to_quorum(client)) return std::min(wanted, max_row_lease);
  const Duration brief = std::min(wanted, brief_row_lease);
  return leads_until < now() + brief ? Duration::zero() : brief;
}

// A client that is not named yet gets its name into the next heartbeats.
bool Leases::known_to_quorum(const Uuid& client) {
  if (services_.faults.grant_unnamed) return true;
  auto known = named_.find(client);
  if (known != named_.end()) return followers_.quorum_lease_version() >= known->second.since && all_voters_remember();
  if (named_.size() < max_lease_clients) {
    named_[client] = {followers_.raise_lease_version(), now()};
    ++services_.heartbeat_changes;
  }
  return false;
}

bool Leases::all_voters_remember() const {
  const std::vector<ReplicaId> voters = all_voters(state_.configuration());
  return std::all_of(voters.begin(), voters.end(), [this](const ReplicaId& voter) {
    return voter.node == services_.self || services_.lease_keepers.contains(voter.node);
  });
}

void Leases::note(const Uuid& client, Duration granted) {
  ++services_.lease_counters.grants;
  if (granted <= brief_row_lease)
    commitments_.brief_leases_until = std::max(commitments_.brief_leases_until, now() + granted);
  auto known = named_.find(client);
  if (known != named_.end()) known->second.until = std::max(known->second.until, now() + granted);
}

Duration Leases::grant(const RowLease& wanted, const std::vector<RowAddress>& rows,
                       std::vector<std::uint64_t>& hashes) {
  const Duration duration = rows.empty() ? Duration::zero() : grantable(wanted.client, wanted.duration);
  if (duration == Duration::zero()) return duration;
  hashes.reserve(rows.size());
  for (const RowAddress& row : rows) hashes.push_back(row_hash(row));
  if (!commitments_.row_leases.grant(wanted.client, hashes, now() + duration, now())) return Duration::zero();
  note(wanted.client, duration);
  return duration;
}

void Leases::grant_found(const RowLease& wanted, std::uint64_t mark, ReadAnswer& answer) {
  const Duration duration = answer.scanned.empty() ? Duration::zero() : grantable(wanted.client, wanted.duration);
  if (duration == Duration::zero()) return;
  std::optional<std::vector<std::uint32_t>> others =
      commitments_.row_leases.grant_found(wanted.client, answer.scanned, mark, now() + duration, now());
  if (!others) return;
  note(wanted.client, duration);
  answer.scan_lease = duration;
  answer.unleased = std::move(*others);
}

Duration Leases::grant(const RowChanges& changed) {
  const bool may_change = changed.everything || changed.prepares;
  const Duration duration = may_change ? Duration::zero() : grantable(changed.client, changed.lease);
  if (duration == Duration::zero()) return duration;
  RowLeases& rows = commitments_.row_leases;
  if (!rows.grant(changed.client, changed.rows, now() + duration, now())) return Duration::zero();
  for (std::uint64_t row : changed.erased) rows.found_absent(row, now());
  note(changed.client, duration);
  return duration;
}

LeaseHolders Leases::named() const {
  LeaseHolders holders{followers_.lease_version(), unknown_, {}};
  for (const auto& [client, named] : named_) holders.clients.push_back(client);
  for (const LeaseHolder& former : commitments_.former_leases.left(now())) {
    auto place = std::lower_bound(holders.clients.begin(), holders.clients.end(), former.client);
    const bool there = place != holders.clients.end() && *place == former.client;
    if (!there) holders.clients.insert(place, former.client);
  }
  if (holders.clients.size() > max_lease_holders) {
    holders.clients.resize(max_lease_holders);
    holders.unknown = true;
  }
  return holders;
}

void Leases::interval() {
  const auto gone =
      std::erase_if(named_, [this](const auto& one) { return one.second.until + LeaseLimits::named <= now(); });
  const bool unknown = commitments_.former_leases.unknown(now()) > Duration::zero();
  if (gone > 0 || unknown != unknown_) ++services_.heartbeat_changes;
  unknown_ = unknown;
}

}  // namespace ringfs::dht
