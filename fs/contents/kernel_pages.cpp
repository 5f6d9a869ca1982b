// What the kernel of this mount knows of a file that is open here: its size, and pages of its contents.
//
// In four cases a reader would see bytes that the file never had. They are prevented here:
//
// 1. A read that ends at the end of file leaves zeros behind it in the kernel's page. If a larger size reaches the
//    kernel first, those zeros are inside the file. So before the kernel hears of a size that uncovers such zeros, the
//    pages from there on are dropped. A read that was under way goes on to the new end (read.cpp).
// 2. While the kernel drops pages, writes, or takes in older attributes, it ignores attributes that are on their way,
//    and would end a read at the old size (kernel_sizes.hpp). So a larger size never travels by attributes alone: the
//    kernel is given the bytes of the last page, and their end becomes its size. If they cannot be read, the request
//    fails with that error. This is not done while a descriptor that writes through pages is open: the bytes could
//    overwrite bytes that a write has just put there and not sent yet. Then the kernel learns the size from the answer,
//    and drops its pages itself a moment later.
// 3. The kernel puts written bytes into its pages before it sends them. If such a page is dropped in between, and read
//    again up to the old end, the write uncovers zeros. So while a file is open here, an open drops nothing. And a
//    write that uncovers what was read shortly after a drop drops that once more (write.cpp).
// 4. Changes by other mounts may be anywhere, also where the size stays the same: all pages go.
#include "fs/contents/kernel_pages.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

// The kernel may wait for pages that reads under way have locked.
constexpr Duration tell_limit = std::chrono::seconds(5);
// It may wait for a page that the request itself has locked, which waits for this.
constexpr Duration tell_write_limit = std::chrono::milliseconds(500);
constexpr std::uint64_t page_bytes = 4096;

std::uint64_t page_of(std::uint64_t offset) { return offset / page_bytes * page_bytes; }

}  // namespace

// The bytes of the page in which the file ends at `end`: from `known` (bytes that were just written there), else from
// the ring. None: the file shrank, or is empty.
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
  // If the answer would end a read too early, this waits until the deadline. Otherwise a slow kernel delays an
  // operation only for a limited time.
  const TimePoint soon = std::min(deadline, instance_.now() + (telling.until ? tell_write_limit : tell_limit));
  const TimePoint until = telling.by_answer && needed() ? deadline : soon;
  Lock lock = co_await kernel.telling.lock(instance_.store, until);
  if (!lock) co_return fail(ErrorCode::timeout, "the kernel's pages are busy");
  const std::uint64_t end = open->end();
  const bool lacking = telling.by_answer && sizes_.lacks(*open, end);
  if (!kernel.uncovers(end) && !kernel.stale && !telling.from && !telling.raise && !lacking) co_return Status();
  const bool may_raise = kernel.writers == 0;
  // With the size in the answer the kernel drops all its pages itself, a moment later. If it were told now, it would
  // ignore that answer. While an append is unanswered it may ignore it: the append's own answer brings the size, and no
  // page may show zeros before.
  const bool may_be_late = kernel.appending > 0 && kernel.uncovers(end);
  if (telling.by_answer && ((!may_raise && !may_be_late) || end < kernel.size)) co_return Status();
  PageChange change;
  change.inode = open->inode;
  // Reads from now on reach to this end.
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
  // Pages that are dropped before a write is answered are gone when the next write begins.
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
  const bool in_time = co_await told->wait(instance_.store, deadline);
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
  if (used && open->known && open->version >= loaded.version) loaded = {open->row, open->version};
  const Attributes attributes = open_inodes_.overlay_attributes(inode, loaded);
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

// For changes by other mounts that no answer shows: a regular look or a read found them.
void KernelPages::start_telling(const OpenPointer& open) { instance_.spawn(run_telling(instance_.alive(this), open)); }

Task<void> KernelPages::run_telling(std::shared_ptr<KernelPages> self, OpenPointer open) {
  Telling telling;
  // If it could not be told in time, the pages are stale, and the next look tells it again.
  static_cast<void>(co_await self->tell(open, telling, self->instance_.deadline()));
}

}  // namespace ringfs::fs
