// What transactions add to one partition's digest (row_digest.hpp) while its rows are walked in steps, each in a read
// transaction of its own.
//
// Why: a walk that adds up all rows must do so of one state of them. One read transaction for all would keep the WAL
// from starting over for as long as the disk takes to read a partition. So whoever walks goes on in a newer state at
// each step, and adds what happened meanwhile to the rows behind it; what happens before it, it will see. The writer
// announces a transaction before its commit, with the applied index before and after it: by the index that a read
// transaction sees it is known which of them are in its state, and none of those is ever missing here without being
// missed. Threads: begin(), end(), added() one that walks; the others the writer's; a mutex, held for microseconds.
// Limits: one partition at a time; max_noted changes, then the walk says nothing. Errors: none.
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
  // Between two steps lies half a second when the disk is spared, and a busy partition changes some 20,000 rows a
  // second: 10 MB of names.
  static constexpr std::size_t max_noted = 1 << 16;

  // ---- Who walks ----
  void begin(PartitionId partition);
  void end();
  // Of rows up to and with `walked`, what entries behind `from` up to `to` add; both are applied indexes that read
  // transactions saw, and what is not behind `to` is not asked for again. None: not all of it is known, and what was
  // added up so far is worth nothing.
  std::optional<RowDigest> added(dht::LogIndex from, dht::LogIndex to, const RowAddress& walked);

  // ---- The writer ----
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
  bool unknown_ = false;    // since begin() something could not be noted
  bool announced_ = false;  // the last of them is not committed yet
};

}  // namespace ringfs::nodes
