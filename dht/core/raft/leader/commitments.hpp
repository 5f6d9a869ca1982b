// What outlives a leadership: what a leader granted or took on, and must be kept or answered although it leads no more.
#pragma once

#include <map>

#include "dht/core/protocol/effects.hpp"
#include "dht/core/rows/row_leases.hpp"

namespace ringfs::dht {

struct Commitments {
  struct PendingOperation {
    OperationId operation = 0;
    Term term = 0;  // of its entry
  };

  RowLeases row_leases;
  // By the index of their entries. Those that are committed are answered when they are applied, whoever leads then.
  std::map<LogIndex, PendingOperation> operations;
  TimePoint next_transfer = TimePoint::min();  // none is tried sooner, in a later term either
};

}  // namespace ringfs::dht
