// Which partitions have nothing for the janitor: a whole pass found no row for it, and nothing was applied since, so
// another pass would find none either. Without this, an unused ring would be read completely every few seconds.
//
// Threads: one. Errors: none. Limits: one entry for each partition that was led here.
#pragma once

#include <map>

#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::nodes {

class EmptyPartitions {
 public:
  // `applied`: the applied index *before* the pass, which may miss what comes during it.
  void note(PartitionId partition, dht::LogIndex applied, bool empty) {
    if (empty)
      applied_[partition] = applied;
    else
      applied_.erase(partition);
  }
  bool still_empty(PartitionId partition, dht::LogIndex applied) const {
    auto found = applied_.find(partition);
    return found != applied_.end() && found->second == applied;
  }

 private:
  std::map<PartitionId, dht::LogIndex> applied_;
};

}  // namespace ringfs::nodes
