// The sizes that the kernel was given, and which of them it certainly has.
#include "fs/contents/kernel_sizes.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

// A thread whose answer has arrived waits for nothing but a processor.
constexpr Duration answer_limit = std::chrono::seconds(5);
constexpr std::size_t given_hints = 65536;  // of files that were looked at within seconds

}  // namespace

KernelSizes::KernelSizes(const Instance& instance) : instance_(instance), given_(given_hints) {}

void KernelSizes::note_given(InodeNumber inode, std::uint64_t size) {
  const TimePoint now = instance_.now();
  std::optional<GivenSize> seen = given_.get(inode);
  GivenSize next = seen.value_or(GivenSize{});
  if (seen && seen->size != size && now - seen->at < answer_limit) next.changed = now;
  if (seen && size < seen->size) ++next.shrinks;
  next.sure = std::min(next.sure, size);
  next.size = size;
  next.at = now;
  given_.put(inode, next);
}

void KernelSizes::note_disturbed(InodeNumber inode) {
  std::optional<GivenSize> seen = given_.get(inode);
  if (!seen) return;
  seen->changed = instance_.now();
  given_.put(inode, *seen);
}

void KernelSizes::note_sure(InodeNumber inode, std::uint64_t size) {
  GivenSize next = given_.get(inode).value_or(GivenSize{});
  const TimePoint now = instance_.now();
  next.sure = std::max(next.sure, size);
  next.size = std::max(next.size, size);
  next.at = now;
  next.changed = now;
  given_.put(inode, next);
}

void KernelSizes::note_written(OpenInode& open, std::uint64_t end) {
  open.kernel.size = std::max(open.kernel.size, end);
  open.kernel.told = std::max(open.kernel.told, end);
  note_sure(open.inode, end);
}

// Together with an answer that gives it this size now.
bool KernelSizes::surely_has(InodeNumber inode, std::uint64_t size) const {
  const std::optional<GivenSize> seen = given_.get(inode);
  if (!seen || size <= seen->sure) return true;
  const TimePoint now = instance_.now();
  if (seen->size != size) return now - seen->at >= answer_limit;
  return !seen->changed || now - *seen->changed >= answer_limit;
}

bool KernelSizes::lacks(const OpenInode& open, std::uint64_t end) const {
  const KernelView& kernel = open.kernel;
  if (kernel.readers == 0 || kernel.writers > 0 || end < kernel.size) return false;
  return end > kernel.size || !surely_has(open.inode, end);
}

bool KernelSizes::may_have_dropped(const KernelView& kernel) const {
  return kernel.dropped && instance_.now() - *kernel.dropped < answer_limit;
}

}  // namespace ringfs::fs
