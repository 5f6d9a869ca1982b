// What outlives a leadership: what a leader granted or took on, and must be kept or answered although it leads no more.
#pragma once

#include <map>

#include "dht/core/protocol/effects.hpp"
#include "dht/core/raft/former_leases.hpp"
#include "dht/core/rows/row_leases.hpp"

namespace ringfs::dht {

struct Commitments {
  // `created`: genesis made the group just now.
  Commitments(bool created, const Timing& timing, TimePoint now)
      : former_leases(created, timing.lease + max_row_lease, now) {}

  struct PendingOperation {
    OperationId operation = 0;
    Term term = 0;  // of its entry
  };

  RowLeases row_leases;
  TimePoint brief_leases_until = TimePoint::min();
  FormerLeases former_leases;
  // By the index of their entries. Those that are committed are answered when they are applied, whoever leads then.
  std::map<LogIndex, PendingOperation> operations;
  TimePoint next_transfer = TimePoint::min();  // none is tried sooner, in a later term either
};

}  // namespace ringfs::dht
