// What the kernel of this mount knows of a file that is open here: its size, and pages of its contents.
//
// Three things would make a reader see what no file ever held, and are prevented here:
//  - A read that is cut at the end of the file leaves zeros behind it in the kernel's page. When a larger size reaches the kernel
//    first, those zeros are inside the file. So before the kernel hears of a size that uncovers such zeros, the pages from there
//    on are dropped; a read that was under way goes on to the new end (read.cpp).
//  - While pages are dropped, while it writes and while it takes older attributes in, the kernel throws away attributes that are on
//    their way to it, and would end a read at the old size. So a larger size never travels by attributes alone: the bytes of the
//    last page are handed to it, whose end makes the new size. Not while a descriptor that writes through
//    pages is open: the bytes could land on some that a write has just put there and not sent yet. Then the kernel learns the
//    size from the answer and drops its pages itself, a moment later.
//  - Others' changes may be anywhere, also where the size is as it was: all pages go.
#include <fcntl.h>

#include <algorithm>

#include "fs/volume.hpp"

namespace ringfs {

namespace {

constexpr Duration tell_limit = std::chrono::seconds(5);  // the kernel may wait for pages that reads under way have locked
constexpr std::uint64_t page_bytes = 4096;

std::uint64_t page_of(std::uint64_t offset) { return offset / page_bytes * page_bytes; }

}  // namespace

std::uint64_t Volume::end_of_file(const OpenInode& open) {
  return std::max(static_cast<std::uint64_t>(open.row.size), open.buffer.end());
}

void Volume::pages_are_stale(OpenInode& open) {
  if (!pages_changed_ || !open.kernel.is_used()) return;
  open.kernel.stale = true;
  unsettled_.insert(open.inode);
}

void Volume::note_read(OpenInode& open, std::uint64_t end) {
  open.kernel.cut_at = std::min(open.kernel.cut_at.value_or(end), end);
}

// Of the page in which the file ends, as much as `known` (bytes that were just written there) or the ring has.
Task<std::optional<PageChange::Tail>> Volume::last_page(OpenPointer open, std::optional<PageChange::Tail> known,
                                                        TimePoint deadline) {
  const std::uint64_t end = end_of_file(*open);
  if (end == 0) co_return std::nullopt;
  const std::uint64_t page = page_of(end - 1);
  if (known && known->offset + known->bytes.size() == end) {
    const std::uint64_t from = std::max(page, known->offset);
    co_return PageChange::Tail{from, SharedBytes(known->bytes, from - known->offset, end - from)};
  }
  Status known_now = co_await know_contents(open, false, deadline);
  if (!known_now || end > end_of_file(*open)) co_return std::nullopt;  // it shrank
  Result<std::vector<SharedBytes>> pieces = co_await read_range(open, page, end, false, deadline);
  if (!pieces) co_return std::nullopt;  // whoever reads there is told
  std::string bytes;
  for (const SharedBytes& piece : *pieces) bytes += piece.view();
  co_return PageChange::Tail{page, SharedBytes(std::move(bytes))};
}

bool Volume::must_tell(const OpenInode& open) {
  const KernelView& kernel = open.kernel;
  if (!kernel.is_used()) return false;
  const std::uint64_t end = end_of_file(open);
  return kernel.telling.locked() || kernel.stale || kernel.uncovers(end) || kernel.lacks(end);
}

Task<void> Volume::tell_kernel(OpenPointer open, Telling telling, TimePoint deadline) {
  if (!pages_changed_) co_return;
  const TimePoint until = std::min(deadline, store_.clock().now + tell_limit);
  // A kernel that is late fails nobody's call: it learns the size from the answer.
  Lock lock = co_await open->kernel.telling.lock(left(until));
  if (!lock) co_return;
  KernelView& kernel = open->kernel;
  const std::uint64_t end = end_of_file(*open);
  const bool uncovers = kernel.uncovers(end);
  const bool lacks = telling.by_answer && kernel.lacks(end);
  if (!uncovers && !kernel.stale && !telling.from && !telling.raise && !lacks) co_return;
  const bool may_raise = kernel.writers == 0;
  // With the size that the answer brings, the kernel drops all its pages itself; told now, it would throw that answer away.
  if (telling.by_answer && (!may_raise || end < kernel.size)) co_return;
  PageChange change;
  change.inode = open->inode;
  change.from = telling.from;
  if (uncovers) change.from = std::min(change.from.value_or(*kernel.cut_at), *kernel.cut_at);
  if (kernel.stale && kernel.readers > 0) change.from = 0;
  if (change.from) change.from = page_of(*change.from);
  const bool raise = may_raise && (telling.raise || (end > kernel.size && !telling.size_follows));
  // What is read from here on reaches to this end.
  kernel.told = std::max(kernel.told, end);
  kernel.cut_at.reset();
  kernel.stale = false;
  if (raise) change.tail = co_await last_page(open, telling.written, until);
  if (change.tail) {
    kernel.size = change.tail->offset + change.tail->bytes.size();
    note_read(*open, kernel.size);  // the rest of its page is zeros
  }
  if (!change.from && !change.tail) co_return;
  auto told = std::make_shared<Event>();
  pages_changed_(std::move(change), [told] { told->notify(); });
  static_cast<void>(co_await told->wait(left(until)));
}

Task<Attributes> Volume::answer(InodeNumber inode, LoadedInode loaded, TimePoint deadline) {
  OpenPointer open = find_open(inode);
  if (!open || !open->kernel.is_used()) co_return overlay_attributes(inode, loaded.row);
  Telling telling;
  telling.by_answer = true;
  if (must_tell(*open)) co_await tell_kernel(open, telling, deadline);
  if (open->known && open->version >= loaded.version) loaded.row = open->row;
  const Attributes attributes = overlay_attributes(inode, loaded.row);
  KernelView& kernel = open->kernel;
  if (attributes.size < kernel.size) note_read(*open, attributes.size);  // it puts zeros behind a smaller size
  kernel.size = attributes.size;
  kernel.told = std::max(kernel.told, attributes.size);
  co_return attributes;
}

// For what nobody asks about: others' changes that a regular look found, or a read.
Task<void> Volume::settle_pages(std::shared_ptr<Volume> self, OpenPointer open) {
  Telling telling;
  co_await self->tell_kernel(open, telling, self->deadline());
}

}  // namespace ringfs
