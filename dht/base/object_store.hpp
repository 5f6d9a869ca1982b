// The ring as its users see it: linearizable objects. fs/ is written over this interface alone.
//
// Implemented by dht/net/client/object_client (the ring) and tests/support/memory_object_store (one process).
// Threads: everything on one loop. Every call has a deadline (RingClock, CLOCK_BOOTTIME) and ends with
// ErrorCode::timeout when it passes; a mutation that timed out may have happened or not.
// Locks of pending transactions never show: readers get the old or the new rows, writers wait for a bounded time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/rows.hpp"
#include "dht/base/task.hpp"
#include "dht/base/time.hpp"

namespace ringfs {

struct CommitRequest {
  std::vector<Condition> conditions;
  std::vector<Mutation> mutations;  // no prepare or resolve: those are the transaction's own
};

struct CommitReply {
  bool applied = false;
  std::uint32_t failed_condition = 0;  // when not applied: index of the first condition that does not hold
  std::uint64_t version = 0;           // of the rows written
  Stamp stamp;                         // the time of the partition's log when it happened
};

// One participant of a transaction: a batch for one partition. Rows in `locks` and rows that `mutations` put,
// erase, write or truncate stay locked until the end; conditions are checked when the part is prepared.
struct TransactionPart {
  std::vector<Condition> conditions;
  std::vector<RowAddress> locks;
  // Applied at commit; no erase_prefix. Others may add meanwhile to rows that are only added to.
  std::vector<Mutation> mutations;
};

// All or nothing across partitions. Parts are prepared one after another; several parts in one partition are
// fine as long as they name different rows. A Transaction that is destroyed without commit() is aborted by whoever
// meets its intents next.
class Transaction {
 public:
  virtual ~Transaction() = default;
  // applied = false: a condition does not hold (the caller aborts). Errors: aborted (a rival won or broke it: start
  // over).
  virtual Task<Result<CommitReply>> prepare(TransactionPart part) = 0;
  // After success every reader sees all of it, also before each partition was told: that may go on beside the caller.
  // Errors: aborted (nothing happened), timeout (unknown; it is resolved later).
  virtual Task<Status> commit() = 0;
  virtual Task<void> abort() = 0;
};

// Rows that are no longer certain: another client is about to change them, or this store is.
struct RowsRecall {
  PartitionId partition{};
  bool everything = false;          // any row of the partition
  std::vector<std::uint64_t> rows;  // row_hash() of each
  bool own_change = false;          // of this store's client
};
// Returns whether something has to be done before the rows change; then it calls `done` on the loop, once.
using RowsListener = std::function<bool(const RowsRecall& recall, std::function<void()> done)>;

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // All gets and scans in one partition, one consistent snapshot.
  virtual Task<Result<ReadReply>> read(ReadRequest request, TimePoint deadline) = 0;
  // Whether a read would be answered from memory now, without asking a node; none: this store never does that.
  virtual std::optional<bool> at_hand(const ReadRequest&) const { return std::nullopt; }
  // Until then nobody changes the row, which has this version, before the listener was told; none: that is not known.
  virtual std::optional<TimePoint> leased_until(const RowAddress&, std::uint64_t /*version*/) const {
    return std::nullopt;
  }
  // The one listener of a process that lets somebody else remember rows: the kernel. It is told of rows whether it has
  // passed them on or not.
  virtual void on_rows_recalled(const RowsListener&) {}
  // All conditions and mutations in one partition; executed exactly once.
  virtual Task<Result<CommitReply>> commit(CommitRequest request, TimePoint deadline) = 0;
  virtual std::unique_ptr<Transaction> begin(TimePoint deadline) = 0;
  // Returns when all parts of this store's committed transactions are resolved, or at the deadline; whoever meets a
  // lock that is left resolves it.
  virtual Task<void> finish_transactions(TimePoint deadline) = 0;

  virtual unsigned partition_bits() const = 0;
  // Now, and the wall time that programs see as times of files: a mount's own clock; at a node's gateway, whose clock
  // may be wrong, the ring's time. It serves nothing else; ages are in row_ages.hpp.
  virtual Clock clock() const = 0;
  virtual Random& random() = 0;
  virtual Task<void> sleep(Duration duration) = 0;
  // A sleep that no operation needs to end: the limit of a wait, or the pause of a background task. Cancelling ends it.
  // A test's clock that jumps to the next sleeper need not jump to these.
  virtual Task<void> sleep_beside(Duration duration) { return sleep(duration); }
};

}  // namespace ringfs
