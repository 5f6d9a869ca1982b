// Evaluates batches and reads over rows: the same code over SQLite and over the simulator's rows
// (docs/design.md#batches, docs/design.md#exactly-once).
//
// evaluate() is deterministic: the result and the rows afterwards depend on the batch, the entry's stamp and index and
// the rows before, nothing else. It keeps in the partition itself, under keys that start with NUL:
//   dedup_key, sort = client (16 bytes)          results of the client's recent sequences
//   lock_key,  sort = key length, key, sort key  which transactions hold a row (locks.hpp)
//   part_key,  sort = record                     what a prepared transaction does here at commit
//   record_key, sort = transaction id            the state of transactions whose record lies here
// Threads: none of its own; one evaluate() at a time per partition.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "dht/base/rows.hpp"

namespace ringfs::dht {

extern const std::string dedup_key;
extern const std::string lock_key;
extern const std::string part_key;

// A consistent view of one partition's rows.
class RowReader {
 public:
  virtual ~RowReader() = default;
  virtual std::optional<Row> get(const RowAddress& row) = 0;
  // The row's version without its value.
  virtual std::optional<std::uint64_t> version(const RowAddress& row) = 0;
  // Rows of the object with sort keys > after (or >= prefix when after is empty) that start with prefix, ascending,
  // until visit returns false. values = false: values come empty.
  virtual void scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
                    const std::function<bool(Row&&)>& visit) = 0;
};

// Changes belong to the same atomic transaction as the apply; reads through it see them at once.
class RowWriter : public RowReader {
 public:
  // `value` may be one of the entry's blobs itself (same data()): the store then shares the payload instead of copying
  // it.
  virtual void put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) = 0;
  virtual void erase(const RowAddress& row) = 0;
  virtual void erase_prefix(const std::string& key, const std::string& prefix) = 0;
  // Overwrites bytes inside a row that exists and is long enough. Cheaper than put for a small part of a large value.
  virtual void overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes,
                         std::uint64_t version) = 0;
};

// Test-only switches (docs/design.md#proof-by-simulation).
struct EvaluateFaults {
  bool no_dedup = false;
  bool no_expiry = false;
  bool no_add_locks = false;  // a transaction's additions hold nothing
};

// The batch as decoded from the entry; a batch that does not decode is handled by the caller as Outcome::invalid.
BatchResult evaluate(const Batch& batch, Stamp stamp, std::uint64_t index, RowWriter& rows,
                     const EvaluateFaults& faults = {});

// Errors: too_large (a get does not fit in max_reply_bytes), corrupt (from the store, as thrown by it).
Result<ReadReply> execute_read(const ReadRequest& request, RowReader& rows);

}  // namespace ringfs::dht
