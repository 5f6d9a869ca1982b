// Which attributes the kernel of this mount may keep, and taking them back.
//
// The kernel keeps attributes for a time that comes with them. That time ends before this mount's lease on the inode's
// row does, so nobody changes the row meanwhile without a recall (docs/design.md#row-leases). On a recall the kernel is
// told to ask again before the lease is released; before a batch of this mount is sent, likewise. So a program that
// stats a file never sees a row that is older than one that any program has seen before (docs/posix.md).
//
// Between the answer and the moment when the kernel's thread handles it lies a delay, and the kernel's clock counts
// from that moment: `lateness` covers it, and grows with the delays of the mount's own loop. A recall that overtakes an
// answer is safe: the kernel ignores an answer to GETATTR, LOOKUP or READDIRPLUS if attributes of that inode were
// invalidated since the request began (Linux fs/fuse/inode.c, attr_version). That holds for inodes that it knows
// already, and not for answers to other requests: whoever answers sees to that (mount/fuse/known_inodes.hpp,
// mount/fuse/reply.cpp).
//
// What this mount changes all the time (a directory in which it makes files) is not kept: each change would tell the
// kernel first. Threads: one loop. Limits: most_kept inodes; beyond them nothing is kept. Errors: none.
#pragma once

#include <unordered_map>

#include "fs/contents/kernel_sizes.hpp"
#include "fs/instance.hpp"

namespace ringfs::fs {

class KernelAttributes {
 public:
  static constexpr std::size_t most_kept = std::size_t{1} << 20;
  static constexpr Duration lateness = std::chrono::milliseconds(50);
  static constexpr Duration longest_lateness = std::chrono::seconds(1);
  static constexpr Duration own_change_pause = std::chrono::milliseconds(100);

  KernelAttributes(Instance& instance, KernelSizes& sizes) : instance_(instance), sizes_(sizes) {}

  // From here on attributes may be kept.
  void start(AttributesListener listener);
  bool started() const { return listener_ != nullptr; }
  Duration keep(const Attributes& attributes);
  void leases_are_void();
  void loop_was_late(Duration late);
  const KernelAttributesCounters& counters() const { return counters_; }

 private:
  struct Kept {
    InodeNumber inode = 0;
    TimePoint until = TimePoint::min();        // the kernel may keep them
    TimePoint quiet_until = TimePoint::min();  // after an own change
    bool ended(TimePoint now) const { return until <= now && quiet_until <= now; }
  };

  bool recall(const RowsRecall& rows, std::function<void()> done);
  bool tell(std::vector<std::uint64_t> hashes, std::function<void()> done);
  void make_room(TimePoint now);

  Instance& instance_;
  KernelSizes& sizes_;  // the kernel ignores answers under way after a recall, with their sizes
  AttributesListener listener_;
  std::unordered_map<std::uint64_t, Kept> kept_;  // by the hash of the inode's row
  std::size_t sweep_at_ = 1024;
  TimePoint next_sweep_{};
  Duration late_{};  // decays
  TimePoint late_at_{};
  KernelAttributesCounters counters_;
};

}  // namespace ringfs::fs
