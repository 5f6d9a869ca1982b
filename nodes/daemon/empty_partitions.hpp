// Which partitions hold nothing for the janitor: a whole pass met no row of its concern, and nothing has been applied
// since, so that another one would meet none either. So an idle ring is not read through every few
// seconds.
//
// Threads: one. Errors: none. Limits: one entry a partition that was led here.
#pragma once

#include <map>

#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::nodes {

class EmptyPartitions {
 public:
  // `applied`: how far the log was applied *before* the pass, for what comes during it may be missed by it.
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
