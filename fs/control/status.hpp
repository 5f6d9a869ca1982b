// statfs and the description of one inode (`ringfs info PATH`, virtual xattrs).
//
// statfs is called often (df, file managers, every open of some editors), so answers are kept for a second.
// Threads: one loop. Errors: those of RingView.
#pragma once

#include <optional>
#include <string>

#include "dht/base/ring/ring_view.hpp"
#include "fs/names/attributes.hpp"

namespace ringfs::fs {

class SpaceStatus {
 public:
  explicit SpaceStatus(RingView& ring) : ring_(ring) {}
  Task<Result<FileSystemStatus>> get(TimePoint now, TimePoint deadline);

 private:
  RingView& ring_;
  std::optional<FileSystemStatus> cached_;
  TimePoint taken_{};
};

// name=value lines: inode, partition, primary, leader, replicas, chunks (0: inline), version.
Task<Result<std::string>> describe_inode(RingView& ring, unsigned partition_bits, InodeNumber inode, LoadedInode loaded,
                                         TimePoint deadline);

}  // namespace ringfs::fs
