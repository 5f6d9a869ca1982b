// Where a file's contents lie: inline beside the inode up to 16 KiB, then in chunks spread over the ring.
//
// Chunks belong to a content id. The inode has {content id, cut}, and every change of contents is committed on
// condition of both: so a writer that was overtaken by a conversion or a truncation notices it, and sends again.
// Segment rows say which chunks may exist. They are committed before the chunks are written, so every chunk can be
// found and removed. Threads: one loop; the inode's mutex is held. Errors: those of ObjectStore. Source:
// docs/design.md#contents.
#pragma once

#include <string>
#include <vector>

#include "fs/instance.hpp"
#include "fs/names/inodes.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class Chunks {
 public:
  Chunks(Instance& instance, Inodes& inodes, OpenInodes& open_inodes)
      : instance_(instance), store_(instance.store), inodes_(inodes), open_inodes_(open_inodes) {}

  // Converts an inline file to chunks. False: overtaken; refresh and look again.
  Task<Result<bool>> convert(OpenPointer open, TimePoint deadline);
  // Commits that these chunks may exist; comes before they are written. False: overtaken.
  Task<Result<bool>> account(OpenPointer open, std::vector<std::uint64_t> chunks, TimePoint deadline);
  // Removes what lies beyond the size. Ends with an even cut or an error.
  Task<Status> finish_cut(OpenPointer open, TimePoint deadline);

 private:
  struct CutResult {
    Status status;
    bool overtaken = false;
  };
  Task<Result<bool>> cut_segments(OpenPointer open, InodeRow row, TimePoint deadline);
  Task<Result<bool>> cut_chunks(OpenPointer open, InodeRow row, std::vector<std::uint64_t> chunks, TimePoint deadline);
  static Task<void> plan_cut(std::shared_ptr<Chunks> self, std::string key, std::uint64_t keep,
                             std::shared_ptr<ChangeSet> plan, std::shared_ptr<CutResult> result, TimePoint deadline);
  static Task<void> carry_out_cut(std::shared_ptr<Chunks> self, std::shared_ptr<ChangeSet> plan,
                                  std::shared_ptr<CutResult> result, TimePoint deadline);

  Instance& instance_;
  ObjectStore& store_;
  Inodes& inodes_;
  OpenInodes& open_inodes_;
};

}  // namespace ringfs::fs
