// The leader lease and the row leases that it grants under it (dissertation, section 6.4.1;
// docs/design.md#elections-and-leader-leases, docs/design.md#row-leases).
//
// A quorum that acknowledged a heartbeat elects nobody for the lease time from when the heartbeat left. A row lease
// never outlives the leader lease, and none is granted while leadership is handed over: the next leader would not know
// it. Threads: none. Errors: none. Limits: row_leases.hpp.
#pragma once

#include "dht/core/raft/leader/transfer.hpp"

namespace ringfs::dht {

class Leases {
 public:
  Leases(const GroupServices& services, const Followers& followers, const Transfer& transfer, RowLeases& rows)
      : services_(services), followers_(followers), transfer_(transfer), rows_(rows) {}

  bool holds() const { return services_.faults.ignore_lease || end() > now(); }
  // As the voters reckon it, without the margin for clocks: whoever acknowledged a heartbeat refuses votes until then.
  bool voters_are_bound() const;
  // For rows that are about to be read; `hashes` get theirs. Zero: none is granted.
  Duration grant(const RowLease& wanted, const std::vector<RowAddress>& rows, std::vector<std::uint64_t>& hashes);
  // For rows as a batch that was just applied left them.
  Duration grant(const RowChanges& changed);
  void found_absent(std::uint64_t row) { rows_.found_absent(row, now()); }

 private:
  TimePoint now() const { return services_.now(); }
  TimePoint end() const;
  Duration grantable(Duration wanted) const;

  const GroupServices& services_;
  const Followers& followers_;
  const Transfer& transfer_;
  RowLeases& rows_;
};

}  // namespace ringfs::dht
