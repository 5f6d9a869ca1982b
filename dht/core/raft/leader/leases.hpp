// The leader lease and the row leases (dissertation, section 6.4.1; docs/design.md#elections-and-leader-leases,
// docs/design.md#row-leases).
//
// A quorum that acknowledged a heartbeat elects nobody for the lease time from when the heartbeat left. A row lease is
// granted only while the leader lease holds. A brief one ends before it. A long one may outlive it, so it is granted
// only to a client whom a quorum knows by name: heartbeats say who may hold one, and the next leader recalls what this
// one granted (former_leases.hpp). In a group with a voter that was not heard yet, or that does not remember them, all
// leases are brief: any voter may be the next leader. None is granted while leadership is handed over. Threads: none.
// Errors: none. Limits: max_lease_clients, and those of row_leases.hpp.
#pragma once

#include <map>

#include "dht/core/raft/leader/transfer.hpp"

namespace ringfs::dht {

struct LeaseLimits {
  // After its last lease a client is named for so much longer, so that it need not wait for a quorum again.
  static constexpr Duration named = std::chrono::seconds(10);
};

class Leases {
 public:
  Leases(const ReplicaState& state, GroupServices& services, Followers& followers, const Transfer& transfer,
         Commitments& commitments)
      : state_(state), services_(services), followers_(followers), transfer_(transfer), commitments_(commitments) {}

  bool holds() const { return services_.faults.ignore_lease || end() > now(); }
  // As the voters reckon it, without the margin for clocks: whoever acknowledged a heartbeat refuses votes until then.
  bool voters_are_bound() const;
  // For rows that are about to be read; `hashes` get theirs. Zero: none is granted.
  Duration grant(const RowLease& wanted, const std::vector<RowAddress>& rows, std::vector<std::uint64_t>& hashes);
  // For rows that were found by a read which began at `mark`: RowLeases::grant_found().
  std::uint64_t mark() const { return commitments_.row_leases.mark(); }
  void grant_found(const RowLease& wanted, std::uint64_t mark, ReadAnswer& answer);
  // For rows as a batch that was just applied left them.
  Duration grant(const RowChanges& changed);
  void found_absent(std::uint64_t row) { commitments_.row_leases.found_absent(row, now()); }

  // For heartbeats.
  LeaseHolders named() const;
  void interval();  // forgets who has had no lease for long

 private:
  struct Named {
    std::uint64_t since = 0;  // the version with which it came in
    TimePoint until{};        // of its last lease
  };

  TimePoint now() const { return services_.now(); }
  TimePoint end() const;
  Duration grantable(const Uuid& client, Duration wanted);
  bool known_to_quorum(const Uuid& client);
  bool all_voters_remember() const;
  void note(const Uuid& client, Duration granted);

  const ReplicaState& state_;
  GroupServices& services_;
  Followers& followers_;
  const Transfer& transfer_;
  Commitments& commitments_;
  std::map<Uuid, Named> named_;
  bool unknown_ = false;  // as of the last interval
};

}  // namespace ringfs::dht
