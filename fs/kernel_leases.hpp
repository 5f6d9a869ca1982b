// What the kernel of this mount may keep: attributes and names; and taking them back.
//
// The kernel keeps attributes, or a name, for a time that comes with them. That time ends before this mount's lease on
// the inode's row, or the entry's, does, so nobody changes the row meanwhile without a recall
// (docs/design.md#row-leases). On a recall the kernel is told before the lease is released; before a batch of this
// mount is sent, likewise. So a program never sees a row that is older than one that any program has seen before
// (docs/posix.md).
//
// Between the answer and the moment when the kernel's thread handles it lies a delay, and the kernel's clock counts
// from that moment: `lateness` covers it, and grows with the delays of the mount's own loop. What overtakes what in the
// kernel, and what is done about it: docs/design.md#kernel-caches.
//
// A name is kept only of an inode with one name, and only one. If the inode's row is recalled, so is its name: the
// kernel checks some permissions by what it remembers of an inode to which a kept name leads, without asking. What this
// mount changes all the time (a directory in which it makes files) is not kept: each change would tell the kernel
// first. Threads: one loop. Limits: most_kept of each; beyond them nothing is kept. Errors: none.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "fs/contents/kernel_sizes.hpp"
#include "fs/instance.hpp"

namespace ringfs::fs {

class KernelLeases {
 public:
  static constexpr std::size_t most_kept = std::size_t{1} << 20;
  static constexpr Duration lateness = std::chrono::milliseconds(50);
  static constexpr Duration longest_lateness = std::chrono::seconds(1);
  static constexpr Duration own_change_pause = std::chrono::milliseconds(100);

  KernelLeases(Instance& instance, KernelSizes& sizes) : instance_(instance), sizes_(sizes) {}

  // From here on something may be kept; with null it ends.
  void start(KernelListener listener);
  // For an answer that is written before the loop's next turn. Zero: not at all.
  Duration keep_attributes(const Attributes& attributes);
  Duration keep_name(InodeNumber directory, const std::string& name, const Attributes& child);
  void leases_are_void();
  void loop_was_late(Duration late);
  const KernelLeaseCounters& counters() const { return counters_; }

 private:
  struct Kept {
    TimePoint until = TimePoint::min();        // the kernel may keep it
    TimePoint quiet_until = TimePoint::min();  // after an own change
    bool ended(TimePoint now) const { return until <= now && quiet_until <= now; }
  };
  struct KeptAttributes : Kept {
    InodeNumber inode = 0;
  };
  struct KeptName : Kept {
    InodeNumber directory = 0;
    std::string name;
    InodeNumber child = 0;
  };
  // What one recall takes back.
  struct Collected {
    KernelRecall recall;
    std::vector<std::pair<std::uint64_t, TimePoint>> attributes, names;  // hashes, until when they were kept
    std::unordered_set<std::uint64_t> seen;                              // of the names
  };

  Duration rest_of(const RowAddress& row, std::uint64_t version, TimePoint now, TimePoint& until) const;
  bool recall(const RowsRecall& rows, std::function<void()> done);
  void collect(std::uint64_t hash, bool own_change, Collected& collected);
  void collect_name(std::uint64_t hash, Collected& collected);
  void collect_attributes(std::uint64_t hash, Collected& collected);
  bool tell(Collected collected, std::function<void()> done);
  void forget(const Collected& collected);
  void forget_child(const KeptName& kept, std::uint64_t hash);
  void make_room(TimePoint now);

  Instance& instance_;
  KernelSizes& sizes_;  // the kernel ignores answers under way after a recall, with their sizes
  KernelListener listener_;
  std::unordered_map<std::uint64_t, KeptAttributes> attributes_;  // by the hash of the inode's row
  std::unordered_map<std::uint64_t, KeptName> names_;             // by the hash of the entry's row
  std::unordered_map<std::uint64_t, std::uint64_t> name_of_;      // by the hash of the child's row: that of its name
  std::size_t sweep_at_ = 1024;
  TimePoint next_sweep_{};
  Duration late_{};
  TimePoint late_at_{};
  KernelLeaseCounters counters_;
};

}  // namespace ringfs::fs
