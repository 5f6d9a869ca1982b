// Rows that were read or written lately, answered on the loop without crossing to a thread and back
// (docs/design.md#store-files).
//
// They always equal the database: the writer announces which rows its transaction changes before the commit, during
// which partitions concerned answer nothing from here, and publishes them after it. A reader thread adds what it read
// if its snapshot is not older than what was published last. So nobody sees a row here that is older than one that was
// seen in the database. Threads: any; a mutex, held for microseconds. Limits: max_hot_bytes, then everything goes and
// fills again; values that are payloads are not kept. Errors: none.
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

// What a transaction does to a partition's rows, in order.
struct HotChange {
  RowAddress row;  // a prefix: the object's key and the beginning of the sort keys
  bool prefix = false;
  bool unknown = false;      // too large to be kept: only forget it
  std::optional<Row> after;  // none: it is gone
  RowDigest digest = 0;      // what that adds to the digest of the partition's rows
};

struct HotChanges {
  dht::LogIndex before = 0;   // what was applied
  dht::LogIndex applied = 0;  // afterwards
  bool all = false;           // other rows altogether: a snapshot was installed
  std::vector<HotChange> rows;
};

class HotRows {
 public:
  // No scans, every row known, no lock anywhere in the partition: the answer. Otherwise none.
  std::optional<dht::ReadAnswer> answer(PartitionId partition, const ReadRequest& request);

  // The writer, around its commit; after a failed one everything is forgotten.
  void announce(const std::map<PartitionId, HotChanges>& changes);
  void publish(std::map<PartitionId, HotChanges> changes);
  void clear();

  // A reader, of what it found at `applied`. `lock_free`: the partition held no lock at all then.
  void add(PartitionId partition, dht::LogIndex applied, const std::vector<RowAddress>& rows, const ReadReply& reply,
           bool lock_free);

 private:
  class View;
  struct Known {
    std::optional<Row> row;  // none: there is no such row
  };
  struct Partition {
    dht::LogIndex applied = 0;  // as of the last publication
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
