// What the kernel of this mount knows of a file that is open here: its size, and pages of its contents.
//
// Four things would make a reader see what no file ever held, and are prevented here:
//  - A read that is cut at the end of the file leaves zeros behind it in the kernel's page. When a larger size reaches
//  the kernel
//    first, those zeros are inside the file. So before the kernel hears of a size that uncovers such zeros, the pages
//    from there on are dropped; a read that was under way goes on to the new end (read.cpp).
//  - While pages are dropped, while it writes and while it takes older attributes in, the kernel throws away attributes
//  that are on
//    their way to it, and would end a read at the old size (kernel_sizes.cpp). So a larger size never travels by
//    attributes alone: the bytes of the last page are handed to it, whose end makes the new size; if they cannot be
//    read, whoever asks is told why. Not while a descriptor that writes through pages is open: the bytes could land on
//    some that a write has just put there and not sent yet. Then the kernel learns the size from the answer and drops
//    its pages itself, a moment later.
//  - The kernel puts what a program writes into its pages before it sends it. When such a page is dropped in between,
//  and read again
//    up to the old end, the write uncovers zeros. So while a file is open here an open drops nothing, and a write that
//    uncovers what was read shortly after a drop has that dropped once more (open.cpp).
//  - Others' changes may be anywhere, also where the size is as it was: all pages go.
#include "fs/contents/kernel_pages.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

constexpr Duration tell_limit =
    std::chrono::seconds(5);  // the kernel may wait for pages that reads under way have locked
constexpr Duration tell_write_limit =
    std::chrono::milliseconds(500);  // or for one that is locked by what waits for this
constexpr std::uint64_t page_bytes = 4096;

std::uint64_t page_of(std::uint64_t offset) { return offset / page_bytes * page_bytes; }

}  // namespace

// Of the page in which the file ends there, as much as `known` (bytes that were just written there) or the ring has.
// Nothing: it shrank, or is empty.
Task<Result<std::optional<PageChange::Tail>>> KernelPages::last_page(OpenPointer open, std::uint64_t end,
                                                                     std::optional<PageChange::Tail> known,
                                                                     TimePoint deadline) {
  if (end == 0) co_return std::nullopt;
  const std::uint64_t page = page_of(end - 1);
  if (known && known->offset + known->bytes.size() == end) {
    const std::uint64_t from = std::max(page, known->offset);
    co_return PageChange::Tail{from, SharedBytes(known->bytes, from - known->offset, end - from)};
  }
  Status known_now = co_await reader_.know_contents(open, false, deadline);
  if (!known_now) co_return tl::unexpected(known_now.error());
  if (end > open->end()) co_return std::nullopt;
  Result<std::vector<SharedBytes>> pieces = co_await reader_.read_range(open, page, end, false, deadline);
  if (!pieces) co_return tl::unexpected(pieces.error());
  std::string bytes;
  for (const SharedBytes& piece : *pieces) bytes += piece.view();
  co_return PageChange::Tail{page, SharedBytes(std::move(bytes))};
}

bool KernelPages::must_tell(const OpenInode& open) const {
  const KernelView& kernel = open.kernel;
  if (!kernel.is_used()) return false;
  const std::uint64_t end = open.end();
  return kernel.telling.locked() || kernel.stale || kernel.uncovers(end) || sizes_.lacks(open, end);
}

Task<Status> KernelPages::tell(OpenPointer open, Telling telling, TimePoint deadline) {
  if (!instance_.pages_changed) co_return Status();
  KernelView& kernel = open->kernel;
  const auto needed = [this, &open, &kernel] {
    return kernel.uncovers(open->end()) || sizes_.lacks(*open, open->end());
  };
  // A read that asked for the size must not end before it. Else a kernel that is late holds up nobody for long.
  const TimePoint soon = std::min(deadline, instance_.now() + (telling.until ? tell_write_limit : tell_limit));
  const TimePoint until = telling.by_answer && needed() ? deadline : soon;
  Lock lock = co_await kernel.telling.lock(instance_.left(until));
  if (!lock) co_return fail(ErrorCode::timeout, "the kernel's pages are busy");
  const std::uint64_t end = open->end();
  const bool lacking = telling.by_answer && sizes_.lacks(*open, end);
  if (!kernel.uncovers(end) && !kernel.stale && !telling.from && !telling.raise && !lacking) co_return Status();
  const bool may_raise = kernel.writers == 0;
  // With the size that the answer brings, the kernel drops all its pages itself, a moment later; told now, it would
  // throw that answer away. Of an append that nobody was told of yet it may: its own answer brings the size, and no
  // page may show zeros in that moment.
  const bool may_be_late = kernel.appending > 0 && kernel.uncovers(end);
  if (telling.by_answer && ((!may_raise && !may_be_late) || end < kernel.size)) co_return Status();
  PageChange change;
  change.inode = open->inode;
  // What is read from here on reaches to this end.
  kernel.told = std::max(kernel.told, end);
  if (may_raise && (telling.raise || (!telling.size_follows && (end > kernel.size || sizes_.lacks(*open, end))))) {
    Result<std::optional<PageChange::Tail>> tail = co_await last_page(open, end, telling.written, until);
    if (!tail) co_return tl::unexpected(tail.error());
    change.tail = std::move(*tail);
  }
  change.from = telling.from;
  if (kernel.uncovers(end)) change.from = std::min(change.from.value_or(*kernel.cut_at), *kernel.cut_at);
  if (change.from) change.from = page_of(*change.from);
  kernel.cut_at.reset();
  if (telling.until) {
    change.until = std::max(page_of(*telling.until - 1), *change.from + page_bytes);
  } else {
    if (kernel.stale && kernel.readers > 0) change.from = 0;
    kernel.stale = false;
  }
  if (!change.from && !change.tail) co_return Status();
  Status told = co_await tell_change(open, std::move(change), until);
  co_return told;
}

Task<Status> KernelPages::tell_change(OpenPointer open, PageChange change, TimePoint deadline) {
  KernelView& kernel = open->kernel;
  std::optional<std::uint64_t> stored;
  if (change.tail) stored = change.tail->offset + change.tail->bytes.size();
  if (stored) open->kernel.note_read(*stored);  // the rest of its page is zeros
  if (stored) ++kernel.storing;
  // What is dropped before a write is answered is gone when the next one begins.
  const bool drops_beside_writes = change.from && !change.until;
  if (drops_beside_writes) kernel.dropped = instance_.now();
  if (change.from) sizes_.note_disturbed(open->inode);
  const std::uint64_t shrinks = sizes_.given(open->inode).value_or(GivenSize{}).shrinks;
  auto told = std::make_shared<Event>();
  const auto done = [this, weak = instance_.weak_from_this(), open, stored, shrinks, told, drops_beside_writes] {
    if (stored) --open->kernel.storing;
    if (const std::shared_ptr<Instance> alive = weak.lock()) {
      if (drops_beside_writes) open->kernel.dropped = instance_.now();
      const bool shrank = sizes_.given(open->inode).value_or(GivenSize{}).shrinks != shrinks;
      if (stored && !shrank) sizes_.note_sure(open->inode, *stored);
    }
    told->notify();
  };
  instance_.pages_changed(std::move(change), done);
  const bool in_time = co_await told->wait(instance_.left(deadline));
  if (!in_time) kernel.dropped = instance_.now();
  if (!in_time) open_inodes_.pages_are_stale(*open);
  if (!in_time) co_return fail(ErrorCode::timeout, "the kernel's pages are busy");
  if (stored) kernel.size = *stored;
  co_return Status();
}

Task<Result<Attributes>> KernelPages::answer(InodeNumber inode, LoadedInode loaded, TimePoint deadline) {
  OpenPointer open = open_inodes_.find(inode);
  if (open && must_tell(*open)) {
    Telling telling;
    telling.by_answer = true;
    Status told = co_await tell(open, telling, deadline);
    const std::uint64_t end = open->end();
    if (!told && (sizes_.lacks(*open, end) || open->kernel.uncovers(end))) co_return tl::unexpected(told.error());
  }
  co_return give(inode, loaded);
}

Task<Attributes> KernelPages::answer_done(InodeNumber inode, LoadedInode loaded, TimePoint deadline) {
  deadline = std::min(deadline, instance_.now() + tell_limit);
  Result<Attributes> attributes = co_await answer(inode, loaded, deadline);
  co_return attributes ? *attributes : give(inode, loaded);
}

Attributes KernelPages::give(InodeNumber inode, LoadedInode loaded) {
  OpenPointer open = open_inodes_.find(inode);
  const bool used = open && open->kernel.is_used();
  if (used && open->known && open->version >= loaded.version) loaded.row = open->row;
  const Attributes attributes = open_inodes_.overlay_attributes(inode, loaded.row);
  if (!loaded.row.is_regular()) return attributes;
  sizes_.note_given(inode, attributes.size);
  if (!used) return attributes;
  KernelView& kernel = open->kernel;
  if (attributes.size < kernel.size) open->kernel.note_read(attributes.size);  // it puts zeros behind a smaller size
  if (attributes.size != kernel.size) kernel.dropped = instance_.now();
  kernel.size = attributes.size;
  kernel.told = std::max(kernel.told, attributes.size);
  return attributes;
}

// For what nobody asks about: others' changes that a regular look found, or a read.
void KernelPages::start_telling(const OpenPointer& open) { instance_.spawn(run_telling(instance_.alive(this), open)); }

Task<void> KernelPages::run_telling(std::shared_ptr<KernelPages> self, OpenPointer open) {
  Telling telling;
  // What was not told in time is told again: it is stale then.
  static_cast<void>(co_await self->tell(open, telling, self->instance_.deadline()));
}

}  // namespace ringfs::fs
