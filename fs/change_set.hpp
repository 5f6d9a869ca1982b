// The conditions and mutations of one operation. apply() commits them as one batch if all lie in one partition, else as
// a transaction.
//
// Every condition carries a Check, so that the caller learns which of its assumptions failed.
// Threads: one loop. Errors of apply(): those of ObjectStore. `aborted`: another transaction won; the caller starts
// over.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/row_changes.hpp"

namespace ringfs::fs {

// What a condition assumed.
enum class Check : std::uint8_t {
  entry,        // the entry is (or is not) there, as seen
  target,       // the entry at the new name, likewise
  directory,    // the directory is there and as seen
  inode,        // the inode is there and as seen
  empty,        // the directory is empty
  fresh_inode,  // the inode number is unused
  contents,     // content id, cut, size as seen
  change,       // no other mount has changed the contents since
  mode,         // the mode is as seen
  inline_data,  // the inline row as seen
  block,        // a block of a chunk as seen
  lock,         // the append lock is as seen
  other,
};

class ChangeSet;
// The time at `offset` becomes `now`, or a nanosecond later than it was if that is later.
void move_time(ChangeSet& changes, const RowAddress& row, std::uint32_t offset, std::int64_t now);

struct Outcome {
  std::optional<Check> failed;  // nothing: applied
  std::uint64_t version = 0;    // of the rows written, when one batch did it
  bool applied() const { return !failed; }
};

class ChangeSet {
 public:
  void require(Check check, Condition condition);
  void change(Mutation mutation);
  // No other transaction or batch changes the row until this transaction ends. In a single batch it means nothing.
  void lock(RowAddress row);
  bool empty() const { return parts_.empty(); }

  // Partitions are prepared in ascending order, but those in which rows are only added to come first: the changes of
  // the first partition are visible as soon as the transaction is committed. `transaction` has begun already and holds
  // a lock; apply() commits it.
  Task<Result<Outcome>> apply(ObjectStore& store, TimePoint deadline, Transaction* transaction = nullptr);

 private:
  struct Part {
    TransactionPart part;
    std::vector<Check> checks;
  };
  Part& part_of(const std::string& key);
  // By key; grouped by partition in apply().
  std::map<std::string, Part> parts_;
};

// Waits a random, growing time between tries.
class Retry {
 public:
  Retry(ObjectStore& store, TimePoint deadline) : store_(store), deadline_(deadline) {}
  Task<bool> again();  // false: no time is left
  // A later try may succeed.
  static bool worthwhile(const Error& error) {
    return error.code == ErrorCode::aborted || error.code == ErrorCode::locked;
  }

 private:
  ObjectStore& store_;
  TimePoint deadline_;
  unsigned attempt_ = 0;
};

}  // namespace ringfs::fs
