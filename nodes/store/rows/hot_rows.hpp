// Rows that were read or written lately. Reads of them are answered on the loop, without a thread
// (docs/design.md#store-files).
//
// They always equal the database. Before its commit the writer announces which rows a transaction changes; until it
// publishes them after the commit, those partitions are not answered from here. A reader adds the rows that it read,
// unless its snapshot is older than the last publication. So nobody sees a row here that is older than one that was
// seen in the database.
//
// Threads: any; a mutex is held for microseconds. Limits: max_hot_bytes, after which everything is dropped; payloads
// are not kept. Errors: none.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "dht/core/protocol/effects.hpp"
#include "nodes/store/rows/row_digest.hpp"

namespace ringfs::nodes {

inline constexpr std::size_t max_hot_bytes = 8 << 20;

// A change of a transaction to a row, or to all rows with a prefix, in order.
struct HotChange {
  RowAddress row;  // with `prefix`: the object's key and a prefix of sort keys
  bool prefix = false;
  bool unknown = false;      // the value is not kept: the row is only forgotten
  std::optional<Row> after;  // none: the row was erased
  RowDigest digest = 0;      // what the change adds to the digest of the partition's rows
};

struct HotChanges {
  dht::LogIndex before = 0;   // the applied index before the transaction
  dht::LogIndex applied = 0;  // and after it
  bool all = false;           // all rows are new: a snapshot was installed, or the replica was reset
  std::vector<HotChange> rows;
};

class HotRows {
 public:
  // The answer, if there are no scans, every row is known and the partition has no lock. Otherwise none.
  std::optional<dht::ReadAnswer> answer(PartitionId partition, const ReadRequest& request);

  // For the writer, around its commit. clear() after a failed one: everything is dropped.
  void announce(const std::map<PartitionId, HotChanges>& changes);
  void publish(std::map<PartitionId, HotChanges> changes);
  void clear();

  // For a reader: what it found at applied index `applied`. `lock_free`: the partition had no lock then.
  void add(PartitionId partition, dht::LogIndex applied, const std::vector<RowAddress>& rows, const ReadReply& reply,
           bool lock_free);

 private:
  class View;
  struct Known {
    std::optional<Row> row;  // none: there is no such row
  };
  struct Partition {
    dht::LogIndex applied = 0;  // at the last publication
    unsigned announced = 0;
    bool lock_free = false;
    std::map<RowAddress, Known> rows;
  };

  void put(Partition& partition, const RowAddress& address, std::optional<Row> row);
  void forget(Partition& partition, const HotChange& change);
  void forget_all(Partition& partition);

  std::mutex mutex_;
  std::map<PartitionId, Partition> partitions_;
  std::size_t bytes_ = 0;
};

}  // namespace ringfs::nodes
