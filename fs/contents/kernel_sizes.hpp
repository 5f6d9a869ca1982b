// Which size of a file the kernel of this mount surely has, so that a larger one is handed to it otherwise than by an
// answer.
//
// An answer with attributes counts in the kernel (Linux fs/fuse/inode.c, fuse_change_attributes) only if nothing has
// changed the inode's attributes there since its request began: no other answer, no write, no notification. So of two
// answers that are on their way at once the first that the kernel comes to counts, and that may be the older one with
// the smaller size. Each is taken in by the thread that asked, when it runs: nobody hears of it. A read that asked for
// the size would end at the smaller one. What is sure is the end of bytes that the kernel was given by a notification
// or wrote itself, or a size that has been the only one for long. Threads: one loop.
#pragma once

#include <optional>

#include "fs/hint_cache.hpp"
#include "fs/instance.hpp"
#include "fs/open_inode.hpp"

namespace ringfs::fs {

// The sizes of a regular file that answers gave this mount's kernel, also while nobody had it open. Of two answers that
// are on their way at once it takes the one that it comes to first and throws the other one away.
struct GivenSize {
  std::uint64_t size = 0;            // the last one
  TimePoint at;                      // when it was last given
  std::optional<TimePoint> changed;  // when something came on its way that may cost it this size
  std::uint64_t sure = 0;            // at least that it has, whatever is on its way
  std::uint64_t shrinks = 0;         // how often a smaller one was given
};

class KernelSizes {
 public:
  explicit KernelSizes(const Instance& instance);

  std::optional<GivenSize> given(InodeNumber inode) const { return given_.get(inode); }
  void note_given(InodeNumber inode, std::uint64_t size);
  void note_disturbed(InodeNumber inode);  // answers on their way may be thrown away
  void note_sure(InodeNumber inode, std::uint64_t size);
  // A write up to there is about to be answered. The kernel makes the file as large as this when it is answered, if it
  // knows no larger one. Until then nobody was told that it is.
  void note_written(OpenInode& open, std::uint64_t end);

  // It reads through its pages, and the end of the file is behind what it surely has.
  bool lacks(const OpenInode& open, std::uint64_t end) const;
  // It drops pages by itself some time after an answer that makes it do so, and while it is told to.
  bool may_have_dropped(const KernelView& kernel) const;

 private:
  bool surely_has(InodeNumber inode, std::uint64_t size) const;

  const Instance& instance_;
  HintCache<InodeNumber, GivenSize> given_;
};

}  // namespace ringfs::fs
