// The coordinator of two-phase commit with intents (docs/design.md#transactions).
//
//   1. first prepare: record (pending, on condition that it is absent) and the first part's locks, in one batch
//   2. further parts' locks, one after another
//   3. flip pending -> committed, on condition of its value: from then on every reader sees all of it. The record's own
//      partition resolves its part in the same batch
//   4. the other partitions' parts are resolved, at the same time; whoever meets a lock first may do it, too
//   5. the record goes, when all parts are known to be resolved
//
// commit() returns after 3; 4 and 5 go on beside the caller. A row that is not resolved yet shows a lock to its
// readers, also a row that is only added to (dht/core/rows/locks.hpp), so no reader misses what was committed. commit()
// waits for resolves only in partitions with additions: such a row, a directory's attributes, is what this client reads
// next, and meeting its lock costs more. A part with additions that is prepared first is resolved with the flip.
//
// Dying at any step leaves either a record that is not committed, whose locks the next one who meets them drops, or one
// that is, whose locks the next one who meets them resolves (dht/net/client/lock_resolver.hpp says why that is right).
//
// Rivals: wait-die by the id. An older transaction waits for a younger one's lock; a younger one gives up with
// `aborted` and its caller starts over. So there is no deadlock.
//
// Threads: one loop; one call at a time; the store outlives the coordinator.
#pragma once

#include <set>

#include "dht/net/client/partitioned_store.hpp"

namespace ringfs::dht {

class TransactionCoordinator : public Transaction {
 public:
  TransactionCoordinator(PartitionedStore& store, TransactionId id, TimePoint deadline);

  Task<Result<CommitReply>> prepare(TransactionPart part) override;
  Task<Status> commit() override;
  Task<void> abort() override;

  const TransactionId& id() const { return id_; }

 private:
  enum class State { open, aborted, committed, unknown };

  Task<Status> wait_or_die(PartitionId where, RecordRef rival, Backoff& backoff);
  Task<bool> abort_record(TimePoint deadline);
  TimePoint cleanup_deadline() const;

  PartitionedStore& store_;
  const TransactionId id_;
  const TimePoint deadline_;
  State state_ = State::open;
  bool has_record_ = false;       // a first prepare was sent
  bool unknown_prepare_ = false;  // some prepare may still be executed
  RecordRef record_;
  std::set<PartitionId> participants_;  // partitions that hold locks of ours, or may
  std::set<PartitionId> adding_;        // those with parts that add to rows which they do not hold alone
};

}  // namespace ringfs::dht
