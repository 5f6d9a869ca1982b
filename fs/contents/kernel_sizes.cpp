// Which size of a file the kernel of this mount surely has, so that a larger one is handed to it otherwise than by an
// answer.
//
// An answer with attributes counts in the kernel (Linux fs/fuse/inode.c, fuse_change_attributes) only if nothing has
// changed the inode's attributes there since its request began: no other answer, no write, no notification. So of two
// answers that are on their way at once the first that the kernel comes to counts, and that may be the older one with
// the smaller size. Each is taken in by the thread that asked, when it runs: nobody hears of it. A read that asked for
// the size would end at the smaller one. What is sure is the end of bytes that the kernel was given by a notification
// or wrote itself, or a size that has been the only one for long.
#include <algorithm>

#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

// A thread whose answer has come waits for a processor, nothing else.
constexpr Duration answer_limit = std::chrono::seconds(5);

}  // namespace

void Volume::note_given(InodeNumber inode, std::uint64_t size) {
  const TimePoint now = store_.clock().now;
  std::optional<GivenSize> seen = given_.get(inode);
  GivenSize next = seen.value_or(GivenSize{});
  if (seen && seen->size != size && now - seen->at < answer_limit) next.changed = now;
  if (seen && size < seen->size) ++next.shrinks;
  next.sure = std::min(next.sure, size);
  next.size = size;
  next.at = now;
  given_.put(inode, next);
}

void Volume::note_disturbed(InodeNumber inode) {
  std::optional<GivenSize> seen = given_.get(inode);
  if (!seen) return;
  seen->changed = store_.clock().now;
  given_.put(inode, *seen);
}

void Volume::note_sure(InodeNumber inode, std::uint64_t size) {
  GivenSize next = given_.get(inode).value_or(GivenSize{});
  const TimePoint now = store_.clock().now;
  next.sure = std::max(next.sure, size);
  next.size = std::max(next.size, size);
  next.at = now;
  next.changed = now;
  given_.put(inode, next);
}

// The kernel makes the file as large as this when it is answered, if it knows no larger one. Until then nobody was told
// that it is.
void Volume::note_written(OpenInode& open, std::uint64_t end) {
  open.kernel.size = std::max(open.kernel.size, end);
  open.kernel.told = std::max(open.kernel.told, end);
  note_sure(open.inode, end);
}

// With an answer that gives it this size now.
bool Volume::surely_has(InodeNumber inode, std::uint64_t size) const {
  const std::optional<GivenSize> seen = given_.get(inode);
  if (!seen || size <= seen->sure) return true;
  const TimePoint now = store_.clock().now;
  if (seen->size != size) return now - seen->at >= answer_limit;
  return !seen->changed || now - *seen->changed >= answer_limit;
}

bool Volume::lacks(const OpenInode& open, std::uint64_t end) const {
  const KernelView& kernel = open.kernel;
  if (kernel.readers == 0 || kernel.writers > 0 || end < kernel.size) return false;
  return end > kernel.size || !surely_has(open.inode, end);
}

// It drops pages by itself some time after an answer that makes it do so, and while it is told to.
bool Volume::may_have_dropped(const KernelView& kernel) const {
  return kernel.dropped && store_.clock().now - *kernel.dropped < answer_limit;
}

}  // namespace ringfs::fs
