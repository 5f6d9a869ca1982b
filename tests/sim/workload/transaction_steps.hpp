// What a batch does for a transaction, read from the batch itself: the steps of a coordinator
// (dht/net/client/transaction.hpp) and of those who end what one left behind (dht/net/client/lock_resolver.hpp).
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
  resolve_next,  // the same for another part of a transaction: only its coordinator's history tells it from the first
                 // one
  resolve_aborted,  // its locks go
  forget,           // the record goes
};

struct TransactionBatch {
  TransactionStep step{};
  TransactionId id;
};

// No value: it does nothing for a transaction.
std::optional<TransactionBatch> transaction_batch(const Batch& batch);

// As the coverage table says it of applied batches.
const char* name_of(TransactionStep step);

// A moment of a coordinator's life: just before it says something, or when it has said it and hears no answer any more.
struct TransactionMoment {
  TransactionStep step{};
  bool said = false;
  friend bool operator==(const TransactionMoment&, const TransactionMoment&) = default;
};
// A coordinator that dies there, as the coverage table says it.
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
