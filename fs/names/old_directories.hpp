// Directories of former formats, whose entries lie in the order of their names (docs/file-system-format.md).
//
// A mount that opens such a directory for listing moves its entries to their new places, some at a time, in the
// background. When no entry is left in an old place, the directory's inode says so, and no mount looks there again.
// Until then every operation looks in both places, and new entries are only made in the new ones. An entry is in one
// place at any time. If a conversion ends early, the next listing goes on with it. Threads: one loop. Limits:
// max_conversions side by side; entries_per_batch in one batch.
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
