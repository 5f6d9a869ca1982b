// The ObjectStore over partitions: what the ring's client and the tests' memory store have in common.
//
// A subclass brings single operations to one partition's group (read_raw, commit_raw: exactly once, locks showing).
// This class finds the partition of an object's key, and hides the locks of pending transactions: readers get the old
// or the new rows, writers wait (dht/net/client/lock_resolver.hpp). It also begins transactions
// (dht/net/client/transaction.hpp).
//
// Threads: one loop. Errors of read and commit: timeout, invalid_argument (rows of several partitions, reserved keys,
// an addition that overflows), too_large, overloaded, corrupt, no_space.
#pragma once

#include <memory>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/sightings.hpp"

namespace ringfs::dht {

// Test-only switch that takes a guard away, so that the simulator can show that it would notice
// (docs/design.md#proof-by-simulation).
struct TransactionFaults {
  bool remember_held_rows = false;          // under a row lease, although a pending transaction changes them
  bool release_without_forgetting = false;  // a recall is answered, and the rows are read from memory on
  bool release_without_telling = false;     // a recall is answered before the listener has passed it on
  bool lease_from_answer = false;           // a row lease is counted from when its answer came
  bool drop_without_tombstone = false;      // of a record that is missing, or whose coordinator is taken for dead
};

// Committed transactions of one client that still have partitions to tell, beside their callers: a bound for the memory
// and for the load of a client that commits faster than partitions answer. Beyond it callers do their own work.
inline constexpr std::size_t max_transactions_ending = 64;

enum class LockFate {
  pending,  // the transaction goes on: its old rows are the truth
  gone,     // resolved: read or write again
};

class PartitionedStore : public ObjectStore {
 public:
  explicit PartitionedStore(TransactionFaults faults = {}) : faults_(faults) {}

  Task<Result<ReadReply>> read(ReadRequest request, TimePoint deadline) final;
  Task<Result<CommitReply>> commit(CommitRequest request, TimePoint deadline) final;
  std::unique_ptr<Transaction> begin(TimePoint deadline) final;
  Task<void> finish_transactions(TimePoint deadline) final;
  // Runs the task beside the caller, or in it when there are too many. It uses the store: its owner calls
  // finish_transactions(), or ends what is asked and runs the loop once more, or never runs it again, before the store
  // goes.
  Task<void> run_beside(Task<void> task);

  // Locks come back as they are.
  virtual Task<Result<ReadReply>> read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) = 0;
  // Outcomes: applied, condition_failed, locked, invalid: each is certain. An unknown end is an error (timeout).
  virtual Task<Result<BatchResult>> commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                               std::vector<Mutation> mutations, TimePoint deadline) = 0;

  // Whoever may only read cannot resolve a lock, which writes, nor look at transactions' records: it asks a node.
  virtual bool may_settle() const { return true; }
  // Asks a node to settle a lock that was met in the partition. Errors: those of read_raw and commit_raw.
  virtual Task<Result<LockFate>> settle_elsewhere(PartitionId where, RecordRef lock, TimePoint deadline) = 0;

  PartitionId partition_of_key(const std::string& key) const;
  const TransactionFaults& faults() const { return faults_; }
  Sightings& sightings() { return sightings_; }  // of records and parts of transactions
  // The ring's time, as far as this client has heard. Only the order of two transactions depends on it.
  virtual Stamp ring_time() const { return clock().stamp; }

 private:
  const TransactionFaults faults_;
  const std::shared_ptr<std::size_t> ending_ = std::make_shared<std::size_t>(0);  // shared with what runs
  Sightings sightings_;
};

// The one partition of all rows; invalid_argument when there is none or more than one.
Result<PartitionId> partition_of_rows(const PartitionedStore& store, const std::vector<Condition>& conditions,
                                      const std::vector<RowAddress>& locks, const std::vector<Mutation>& mutations);

// Waiting for a rival: 5 ms at first, doubling to 100 ms, each with jitter so that rivals do not wait in step.
class Backoff {
 public:
  Backoff(Random& random, Duration first, Duration most) : random_(random), next_(first), most_(most) {}
  Duration next();

 private:
  Random& random_;
  Duration next_;
  const Duration most_;
};

}  // namespace ringfs::dht
