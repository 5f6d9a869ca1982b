// Objects, rows, batches and reads: what a client says to the group of one partition.
//
// An object is what one key names: sorted rows (sort key -> value) in one partition. A Batch is evaluated
// when it is applied, by every replica alike (dht/core/rows/evaluate.hpp, docs/design.md#batches): if all conditions
// hold, all mutations happen; otherwise none. All rows of a batch or a read lie in one partition.
//
// Limits: below, checked by validate() before anything is proposed. Keys that start with a NUL byte belong to
// the evaluator (dedup records, locks, transaction records) and are refused from clients where noted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/bytes.hpp"
#include "dht/base/error.hpp"
#include "dht/base/position.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs {

inline constexpr std::size_t max_key_bytes = 2048;       // a key or a sort key: names of 255 bytes and REST keys fit
inline constexpr std::size_t max_value_bytes = 1 << 20;  // one value
// All of a batch: a 1 MiB chunk and its conditions.
inline constexpr std::size_t max_batch_bytes = (1 << 20) + (1 << 17);
inline constexpr std::size_t max_batch_items = 4096;  // conditions + mutations
inline constexpr std::size_t max_read_items = 4096;   // gets + scans
// Rows of one reply; a scan stops before, a get past it is too_large.
inline constexpr std::size_t max_reply_bytes = (1 << 20) + (1 << 17);
// Locks in the range of one scan. None may be left out: more is `overloaded`.
inline constexpr std::size_t max_scan_locks = 1024;
// Transactions that add to one row at a time (locks.hpp): each reader of the row asks for their ends.
inline constexpr std::size_t max_row_holders = 255;
// Values of at least this size are stored once (docs/design.md#store-files).
inline constexpr std::size_t payload_threshold = 16 << 10;
inline constexpr Duration max_batch_life = std::chrono::seconds(60);  // expires - stamp at apply
inline constexpr Duration dedup_life = std::chrono::seconds(120);     // how long a result is remembered

struct RowAddress {
  std::string key;
  std::string sort;
  friend auto operator<=>(const RowAddress&, const RowAddress&) = default;
};
// Tells rows apart where a mistake only costs time.
std::uint64_t row_hash(const RowAddress& row);

// Transaction ids sort by age: the lowest wins (docs/design.md#transactions).
struct TransactionId {
  std::uint64_t started = 0;  // ring time in microseconds
  Uuid random;
  friend auto operator<=>(const TransactionId&, const TransactionId&) = default;
};

// Where a transaction's record lies: the partition of its first participant.
struct RecordRef {
  PartitionId partition{};
  TransactionId id;
  friend auto operator<=>(const RecordRef&, const RecordRef&) = default;
};

struct Condition {
  enum class Kind : std::uint8_t {
    absent = 1,      // the row does not exist
    present,         // the row exists
    version_equals,  // the row exists with this version; version 0: it does not exist
    value_equals,    // the row exists with this value
    empty_prefix,    // no row of the object `row.key` has a sort key that starts with `row.sort`
    bytes_equal,     // the row exists and holds `value` at `offset`
  };
  Kind kind{};
  RowAddress row;
  std::uint64_t version = 0;
  std::uint32_t offset = 0;
  SharedBytes value;
};

struct Mutation {
  enum class Kind : std::uint8_t {
    put = 1,       // row = value
    erase,         // the row goes; absent is fine
    erase_prefix,  // every row of the object whose sort key starts with row.sort goes
    add_i64,       // 64-bit big-endian integer at `offset` += number; a row that is absent or too short is left alone
    max_i64,       // ... = max(itself, number); likewise
    write_bytes,   // bytes at `offset` = value; an absent or shorter row grows, zero-filled
    truncate,      // length = number; grows zero-filled; absent row: created unless number is 0
    // Lay intents: lock `locks` and every row that `part` names (locks.hpp); keep `part`, which erases no prefix.
    prepare,
    // End of a transaction here: apply the kept part (number = 1) or forget it (0); drop its locks.
    resolve,
  };
  Kind kind{};
  RowAddress row;
  std::uint32_t offset = 0;
  std::int64_t number = 0;
  SharedBytes value;
  // prepare and resolve only:
  RecordRef record;
  std::vector<RowAddress> locks;
  std::vector<Mutation> part;  // never nested further
};

// The state of a transaction's record, one byte, row {record_key, record_sort(id)} in the record's partition.
// Put and flipped by ordinary conditions and mutations.
enum class RecordState : std::uint8_t { pending = 1, committed = 2, aborted = 3 };
extern const std::string record_key;  // "\0record"
std::string record_sort(const TransactionId& id);

struct Batch {
  Uuid client;
  std::uint64_t sequence = 0;          // counts per (client, partition), from 1
  std::uint64_t first_incomplete = 0;  // lower sequences of this client here will never be asked again
  Stamp expires;
  std::vector<Condition> conditions;
  std::vector<Mutation> mutations;
};

// What applying a batch gave. Deterministic: every replica computes the same bytes.
struct BatchResult {
  enum class Outcome : std::uint8_t {
    applied = 1,
    condition_failed,  // failed_condition says which, the first in order
    locked,            // a row is held by the transaction `lock`
    expired,
    superseded,
    invalid,  // limits broken, malformed, or an arithmetic overflow
  };
  Outcome outcome{};
  std::uint32_t failed_condition = 0;
  RecordRef lock;
  std::uint64_t version = 0;  // of every row that this batch wrote: the index of its log entry
  Stamp stamp;                // of its log entry
  // Only in an answer, not in the encoding: the rows stay as this batch left them for so long from when the client
  // asked.
  Duration lease{};
  // Only from the evaluator to the leader: a pending transaction adds to a row that this batch changed, too, at any
  // time.
  bool held = false;
};

struct Row {
  std::string sort;
  std::uint64_t version = 0;
  SharedBytes value;
};

struct ReadRequest {
  struct Scan {
    std::string key;
    std::string prefix;  // of the sort keys
    std::string after;   // only sort keys greater than this (whole sort key, prefix included); empty: from the start
    std::uint32_t max_rows = 1000;
    bool values = true;  // false: values come back empty
  };
  std::vector<RowAddress> gets;
  std::vector<Scan> scans;
};

struct ReadReply {
  struct Get {
    bool found = false;
    Row row;
    // Transactions that mean to change this row, each once: one, or several that add to it (max_row_holders).
    std::vector<RecordRef> locks;
  };
  struct ScanResult {
    std::vector<Row> rows;         // ascending by sort key
    bool more = false;             // stopped at max_rows or at the reply's size
    std::vector<RecordRef> locks;  // transactions that mean to change rows in the range, each once (max_scan_locks)
  };
  std::vector<Get> gets;
  std::vector<ScanResult> scans;
};

Status validate(const Batch& batch);
Status validate(const ReadRequest& request);

// Encodings, the same on disk and on the wire (docs/disk-format.md). Values of at least payload_threshold bytes
// travel beside the head as blobs, in order of appearance, so that they are not copied.
struct EncodedBatch {
  SharedBytes head;
  std::vector<SharedBytes> blobs;
  std::size_t size() const;
};
EncodedBatch encode(const Batch& batch);
Result<Batch> decode_batch(const SharedBytes& head, const std::vector<SharedBytes>& blobs);  // corrupt, too_large

std::string encode(const BatchResult& result);
Result<BatchResult> decode_batch_result(std::string_view bytes);

// A transaction's part as it is kept in a row: mutations with their values inline.
std::string encode_part(const std::vector<Mutation>& part);
Result<std::vector<Mutation>> decode_part(std::string_view bytes);

std::string encode(const ReadRequest& request);
Result<ReadRequest> decode_read_request(std::string_view bytes);
EncodedBatch encode(const ReadReply& reply);  // head and blobs as for a batch
Result<ReadReply> decode_read_reply(const SharedBytes& head, const std::vector<SharedBytes>& blobs);

void write(Writer& writer, const RecordRef& record);
RecordRef read_record_ref(Reader& reader);

}  // namespace ringfs
