// What a batch does for a transaction, read from the batch itself: the steps of a coordinator
// (dht/net/client/transaction.hpp) and of those who end abandoned transactions (dht/net/client/lock_resolver.hpp).
//
// A client can be made to die at each of these, and each is counted when it is applied. Threads: none.
#pragma once

#include <optional>
#include <string>

#include "dht/core/protocol/operations.hpp"

namespace ringfs::sim {

enum class TransactionStep {
  first_prepare,      // the record and the first part's locks
  next_prepare,       // another part's locks
  flip,               // pending -> committed, or the end of a transaction in one partition
  abort,              // pending -> aborted
  tombstone,          // absent -> aborted
  resolve_committed,  // a part's changes take effect, its locks go
  resolve_next,       // the same for another part: only its coordinator's history tells it from the first one
  resolve_aborted,    // its locks go
  forget,             // the record goes
};

struct TransactionBatch {
  TransactionStep step{};
  TransactionId id;
};

// No value: it does nothing for a transaction.
std::optional<TransactionBatch> transaction_batch(const Batch& batch);

// The name of an applied batch's step in the coverage table.
const char* name_of(TransactionStep step);

// When a coordinator dies: just before it sends a step's batch, or after that and before the answer.
struct TransactionMoment {
  TransactionStep step{};
  bool said = false;
  friend bool operator==(const TransactionMoment&, const TransactionMoment&) = default;
};
// The name of a coordinator's death in the coverage table.
std::string death_at(const TransactionMoment& moment);

// The steps that a coordinator takes itself.
inline constexpr TransactionStep coordinator_steps[] = {TransactionStep::first_prepare,
                                                        TransactionStep::next_prepare,
                                                        TransactionStep::flip,
                                                        TransactionStep::abort,
                                                        TransactionStep::resolve_committed,
                                                        TransactionStep::resolve_next,
                                                        TransactionStep::resolve_aborted,
                                                        TransactionStep::forget};

}  // namespace ringfs::sim
