// Directories of formats before, whose entries lie in the order of their names (docs/file-system-format.md).
//
// Whoever opens one for listing brings its entries to their new places, some at a time and beside its work; when none
// is left in an old place, the directory's inode says so, and nobody looks there again. Until then every operation
// looks in both places, new entries are only made in the new ones, and an entry is in one place at any time. Whatever
// ends a conversion early, the next listing goes on with it.
// Threads: one loop. Limits: max_conversions side by side; entries_per_batch in one batch.
#pragma once

#include <set>

#include "fs/instance.hpp"
#include "fs/names/hints.hpp"

namespace ringfs::fs {

class OldDirectories {
 public:
  OldDirectories(Instance& instance, NameHints& hints) : instance_(instance), store_(instance.store), hints_(hints) {}

  void start_conversion(InodeNumber directory);
  Task<Status> convert(InodeNumber directory, TimePoint deadline);  // all of it

 private:
  static Task<void> run_conversion(std::shared_ptr<OldDirectories> self, InodeNumber directory);
  Task<Result<bool>> convert_some(InodeNumber directory, TimePoint deadline);  // false: nothing is left to do

  Instance& instance_;
  ObjectStore& store_;
  NameHints& hints_;
  std::set<InodeNumber> converting_;
};

}  // namespace ringfs::fs
