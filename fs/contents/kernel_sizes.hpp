// Which size of a file the kernel of this mount certainly has. A larger one is not handed to it by an answer alone.
//
// The kernel takes an answer with attributes (Linux fs/fuse/inode.c, fuse_change_attributes) only if nothing has
// changed the inode's attributes since the request began: no other answer, no write, no notification. So of two answers
// on their way at once the first that the kernel handles counts, and that may be the older one with the smaller size.
// The thread that asked handles its answer when it runs, and does not report it. A read that asked for the size would
// then end at the smaller one. Certain is the end of bytes that the kernel was given by a notification or that it wrote
// itself, or a size that has been the only one for long. Threads: one loop.
#pragma once

#include <optional>

#include "fs/hint_cache.hpp"
#include "fs/instance.hpp"
#include "fs/open_inode.hpp"

namespace ringfs::fs {

// The sizes of a regular file that answers gave this mount's kernel, also while no handle was open.
struct GivenSize {
  std::uint64_t size = 0;            // the last one
  TimePoint at;                      // when it was given
  std::optional<TimePoint> changed;  // when something was sent that may make it ignore this size
  std::uint64_t sure = 0;            // it has at least this size, whatever is on its way
  std::uint64_t shrinks = 0;         // how often a smaller one was given
};

class KernelSizes {
 public:
  explicit KernelSizes(const Instance& instance);

  std::optional<GivenSize> given(InodeNumber inode) const { return given_.get(inode); }
  void note_given(InodeNumber inode, std::uint64_t size);
  void note_disturbed(InodeNumber inode);  // it may ignore answers that are on their way
  void note_sure(InodeNumber inode, std::uint64_t size);
  // A write up to there is about to be answered. With the answer the kernel raises its size to this; until then no
  // program was told of the larger size.
  void note_written(OpenInode& open, std::uint64_t end);

  // It reads through its pages, and the file ends behind the size that it certainly has.
  bool lacks(const OpenInode& open, std::uint64_t end) const;
  // It may have dropped pages a moment ago: it does so some time after an answer with another size, and when told to.
  bool may_have_dropped(const KernelView& kernel) const;

 private:
  bool surely_has(InodeNumber inode, std::uint64_t size) const;

  const Instance& instance_;
  HintCache<InodeNumber, GivenSize> given_;
};

}  // namespace ringfs::fs
