// The regular look at open inodes: at changes by other mounts, and holds on inodes that were unlinked.
//
// Every hold_interval an instance reads the inodes that it has open. So it learns of changes by other mounts, and puts
// a hold on those that were unlinked. A hold writes the orphan row, and the janitor takes only rows that were not
// written for long. It keeps an orphan for at least 25 s: that is two looks of the longest duration, or four quick
// ones. Threads: one loop. Limits: a look takes check_limit at a partition.
#pragma once

#include <set>
#include <vector>

#include "fs/instance.hpp"
#include "fs/names/directories.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class Holds {
 public:
  Holds(Instance& instance, OpenInodes& open_inodes, const Directories& directories)
      : instance_(instance), open_inodes_(open_inodes), directories_(directories) {}

  void start();
  Task<Status> check(TimePoint deadline);  // one look

 private:
  static Task<void> run(std::shared_ptr<Holds> self);
  static Task<void> run_check(std::shared_ptr<Holds> self);
  static Task<void> check_group(std::shared_ptr<Holds> self, PartitionId partition, std::vector<InodeNumber> inodes,
                                std::shared_ptr<Status> status, TimePoint deadline);
  Task<Status> check_some(std::vector<InodeNumber> inodes, TimePoint deadline);

  Instance& instance_;
  OpenInodes& open_inodes_;
  const Directories& directories_;
  std::set<PartitionId> checking_;  // whose open inodes a look is asking for
};

}  // namespace ringfs::fs
