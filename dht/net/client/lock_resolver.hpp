// Resolving a lock that a client met: read the transaction's record, and end the transaction if that is possible
// (docs/design.md#transactions). The life of a record:
//
//      (absent) --first prepare--> pending --flip--> committed --all parts resolved--> (deleted)
//         |                           |
//         +------ tombstone ------> aborted --old enough, by the janitor--> (deleted)
//
// A missing record alone decides nothing. A client that meets a lock without a record first writes an aborted tombstone
// in its place, so that a first prepare that is still under way cannot create the record afterwards. Age alone decides
// nothing, either: a record that is pending for too long becomes such a tombstone before any of its locks is dropped,
// so that a coordinator that wakes up late cannot commit a transaction that has lost a part.
//
// Why every interleaving is right. (1) The fate is decided by one row in one partition and changes only by conditional
// batches: absent -> pending, pending -> committed, pending -> aborted, absent -> aborted. So committed and aborted
// exclude each other. (2) A committed record is deleted only when each of its parts was resolved, so a lock whose
// record is missing belongs to a transaction that never was committed; or the lock itself is gone by now and resolving
// it finds nothing to forget. (3) resolve is idempotent and finds its part by the record: helpers and the coordinator
// may do it at the same time. (4) A prepare that arrives after the record was aborted leaves locks that the next one
// who meets them drops, by (2) or by the tombstone. (5) A record that is pending for too long is aborted by a flip like
// any other; its coordinator's own flip then fails.
//
// No wall clock tells how old a record is: coordinators' clocks may be hours apart. A coordinator counts as dead when
// this process has seen its record pending for max_transaction_age by its own boot clock (sightings.hpp). Deleting a
// tombstone must be safe, since a first prepare that is still under way must find it. So its age is counted in the time
// of the record's partition (row_ages.hpp), by which the prepare's batch expires.
//
// Threads: one loop. Errors: those of read_raw and commit_raw.
#pragma once

#include <string>
#include <vector>

#include "dht/base/row_ages.hpp"
#include "dht/core/protocol/operations.hpp"
#include "dht/net/client/partitioned_store.hpp"

namespace ringfs::dht {

// A coordinator whose record was seen pending for longer than this is taken for dead.
inline constexpr Duration max_transaction_age = std::chrono::seconds(10);
// Tombstones and finished records that are older than this, in the time of their partition, can be deleted: no batch of
// the transaction can be executed any more.
inline constexpr Duration record_life = max_batch_life + dedup_life;
static_assert(record_life < longest_age);

// The value of a record row: its state first. `since` is the transaction's start while pending and the time of the flip
// afterwards, by the coordinator's notion of the ring's time: for people. The participants are known when it is
// committed.
struct TransactionRecord {
  RecordState state{};
  Stamp since;
  std::vector<PartitionId> participants;
};
std::string encode(const TransactionRecord& record);
Result<TransactionRecord> decode_transaction_record(std::string_view bytes);
// Follows from the id alone, so that each client can flip it on the condition of its value.
SharedBytes pending_record(const TransactionId& id);

// Whether the record says that the transaction is aborted. Changes nothing.
Task<Result<bool>> is_aborted(PartitionedStore& store, RecordRef lock, TimePoint deadline);

// `where`: the partition in which the lock was met. A store that may not settle asks a node.
Task<Result<LockFate>> settle_lock(PartitionedStore& store, PartitionId where, RecordRef lock, TimePoint deadline);

// What that node does (SettleOperation), by a store that may settle: only about locks that are there, for whoever asks
// may not write, and an invented transaction would get a tombstone. Errors: those of read_raw and commit_raw;
// invalid_argument (no such partition); unavailable (the lock's partition has no room to resolve it: ask again).
Task<Result<LockFate>> settle_for_reader(PartitionedStore& store, SettleOperation asked, TimePoint deadline);

// For the janitor: a record of this partition whose coordinator did not clean up. Aborts it when it is pending for too
// long; resolves the parts of a committed one; deletes what is older than record_life by `ages`. Does nothing about
// younger ones. Errors: those of commit_raw; the record then stays for the next round.
Task<Status> finish_record(PartitionedStore& store, PartitionId partition, Row row, RowAges ages, TimePoint deadline);
// The same for all records of a partition, and settles the parts (of whichever record) that lie in it for longer than a
// coordinator may live. A call that reaches its deadline first leaves in `place` where the next one goes on, so that
// those which take all the time, because a node does not answer, hide nothing that comes after them. Errors: the
// first; the others were looked at all the same.
inline constexpr std::uint32_t records_per_page = 256;
struct RecordsPlace {
  std::string record, part;  // the sort keys that were looked at last; empty: from the first
  bool at_the_first() const { return record.empty() && part.empty(); }
};
struct RecordsReport {
  std::size_t seen = 0;  // records and parts, in this call
  bool none = false;     // there is nothing in the partition
};
Task<Result<RecordsReport>> finish_records(PartitionedStore& store, PartitionId partition, RecordsPlace* place,
                                           RowAges ages, TimePoint deadline);

// Shared with the coordinator.
Condition record_is(const RecordRef& record, SharedBytes value);
Condition record_is_absent(const RecordRef& record);
Mutation put_record(const RecordRef& record, const TransactionRecord& value);
Mutation erase_record(const RecordRef& record);
Result<CommitReply> to_commit_reply(const BatchResult& result);

}  // namespace ringfs::dht
