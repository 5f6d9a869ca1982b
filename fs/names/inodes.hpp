// Reading inodes: one, or many in few requests. What is read becomes known to the hints and to the inodes in use.
//
// Threads: one loop. Errors: those of ObjectStore; stale_handle: there is no such inode.
#pragma once

#include <optional>
#include <vector>

#include "fs/instance.hpp"
#include "fs/names/hints.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class Inodes {
 public:
  Inodes(Instance& instance, NameHints& hints, OpenInodes& open_inodes)
      : instance_(instance), hints_(hints), open_inodes_(open_inodes) {}

  Task<Result<LoadedInode>> read(InodeNumber inode, TimePoint deadline);
  // One read per partition, side by side. Absent inodes give no value.
  Task<Result<std::vector<std::optional<LoadedInode>>>> read_many(std::vector<InodeNumber> inodes, TimePoint deadline);
  // The row of a live directory as it was seen last. An operation that makes an entry in it commits on condition of
  // this row. Errors: not_directory, not_found.
  Task<Result<InodeRow>> directory_header(InodeNumber directory, TimePoint deadline);

 private:
  struct Batch;  // a part of read_many, of one partition
  static Task<void> read_batch(std::shared_ptr<Inodes> self, std::shared_ptr<Batch> batch, TimePoint deadline);

  Instance& instance_;
  NameHints& hints_;
  OpenInodes& open_inodes_;
};

}  // namespace ringfs::fs
