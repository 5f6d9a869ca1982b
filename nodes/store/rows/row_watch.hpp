// What transactions add to the digest of one partition (row_digest.hpp) while its rows are walked in steps, each in a
// read transaction of its own.
//
// Why: a walk that adds up all rows must add up one state of them. A single read transaction would keep the WAL from
// starting over for as long as the disk needs to read a partition. So the walk continues in a newer state at each step,
// and adds what happened meanwhile to the rows that it has passed. Changes of rows ahead it will see.
//
// The writer announces a transaction before its commit, with the applied index before and after it. From the applied
// index that a read transaction sees it follows which announced transactions are in its state. If one of those is
// missing here, that is noticed.
//
// Threads: begin(), end() and added() on the walker's; the others on the writer's; a mutex is held for microseconds.
// Limits: one partition at a time; max_noted changes, beyond which the walk has no result. Errors: none.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "nodes/store/rows/hot_rows.hpp"

namespace ringfs::nodes {

class RowWatch {
 public:
  // There may be half a second between two steps, and a busy partition changes some 20,000 rows a second: 10 MB of
  // names.
  static constexpr std::size_t max_noted = 1 << 16;

  // ---- For the walker ----
  void begin(PartitionId partition);
  void end();
  // What the entries after `from` and up to `to` add to rows up to and including `walked`. Both are applied indexes
  // that read transactions saw; what is not after `to` is forgotten. None: not all of it is known, and the sum of the
  // walk is of no use.
  std::optional<RowDigest> added(dht::LogIndex from, dht::LogIndex to, const RowAddress& walked);

  // ---- For the writer ----
  void announce(const std::map<PartitionId, HotChanges>& transaction);
  void committed();
  void rolled_back();

 private:
  struct Change {
    RowAddress row;
    bool prefix = false;
    RowDigest added = 0;
  };
  struct Transaction {
    dht::LogIndex before = 0;
    dht::LogIndex applied = 0;
    std::vector<Change> changes;
  };
  static std::optional<RowDigest> added(const Transaction& transaction, const RowAddress& walked);
  void forget();

  std::mutex mutex_;
  std::optional<PartitionId> partition_;
  std::deque<Transaction> transactions_;
  std::size_t noted_ = 0;
  bool unknown_ = false;    // since begin() a change could not be noted
  bool announced_ = false;  // the last transaction is not committed yet
};

}  // namespace ringfs::nodes
