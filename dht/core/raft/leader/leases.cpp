// When the leader lease ends, and which row leases fit under it.
#include "dht/core/raft/leader/leases.hpp"

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

// How long a row lease can be that is granted now, up to `wanted`. Before a transfer all row leases must have ended.
Duration Leases::grantable(Duration wanted) const {
  if (wanted <= Duration::zero() || transfer_.under_way() || transfer_.handing_over()) return Duration::zero();
  Duration duration = std::min(wanted, max_row_lease);
  return end() < now() + duration ? Duration::zero() : duration;
}

Duration Leases::grant(const RowLease& wanted, const std::vector<RowAddress>& rows,
                       std::vector<std::uint64_t>& hashes) {
  const Duration duration = rows.empty() ? Duration::zero() : grantable(wanted.duration);
  if (duration == Duration::zero()) return duration;
  hashes.reserve(rows.size());
  for (const RowAddress& row : rows) hashes.push_back(row_hash(row));
  return rows_.grant(wanted.client, hashes, now() + duration, now()) ? duration : Duration::zero();
}

Duration Leases::grant(const RowChanges& changed) {
  const bool may_change = changed.everything || changed.prepares;
  const Duration duration = may_change ? Duration::zero() : grantable(changed.lease);
  if (duration == Duration::zero()) return duration;
  if (!rows_.grant(changed.client, changed.rows, now() + duration, now())) return Duration::zero();
  for (std::uint64_t row : changed.erased) rows_.found_absent(row, now());
  return duration;
}

}  // namespace ringfs::dht
