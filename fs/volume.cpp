// The beginning and the end of a mount, and the regular look at what waits to be written or told.
//
// Bytes in write buffers are sent to the ring after a few seconds: programs cannot ask for it (sync(2) sends nothing to
// a FUSE file system), and a mount's process that dies loses them.
#include "fs/volume.hpp"

#include <unistd.h>

#include <vector>

namespace ringfs::fs {

namespace {

// Together below the 5 s of docs/posix.md after which written bytes are on their way.
constexpr Duration settle_interval = std::chrono::seconds(1);
constexpr Duration write_back_age = std::chrono::seconds(3);
constexpr std::size_t parallel_write_backs = 64;  // the rest waits for the next look
constexpr std::size_t tellings_a_look = 256;      // each ends by itself within seconds
constexpr std::size_t parallel_flushes = 16;

}  // namespace

Volume::Volume(ObjectStore& object_store, FileSystemOptions file_system_options)
    : Instance(object_store, file_system_options),
      hints(*this),
      open_inodes(*this),
      inodes(*this, hints, open_inodes),
      contents(*this, inodes, open_inodes),
      kernel_leases(*this, contents.kernel_sizes),
      names(*this, hints, inodes, open_inodes, contents),
      directories(*this, hints, inodes, open_inodes, contents.kernel_sizes),
      files(*this, inodes, open_inodes, contents, names),
      holds(*this, open_inodes, directories) {}

Task<Status> Volume::start() {
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  run_tasks_on(executor);
  Status made = co_await make_root();
  if (!made) co_return made;
  holds.start();
  spawn(settle_loop(alive(this)));
  co_return Status();
}

Task<Status> Volume::make_root() {
  const std::int64_t began = now_ns();
  Result<LoadedInode> root = co_await inodes.read(root_inode, deadline());
  if (root) co_return Status();
  if (root.error().code != ErrorCode::stale_handle) co_return tl::unexpected(root.error());
  InodeRow row;
  row.mode = S_IFDIR | 0755U;
  row.uid = options.owner;
  row.gid = options.owner == 0 ? 0 : ::getgid();
  row.links = 2;
  row.parent = root_inode;
  row.entries_by_hash = true;
  row.modified = row.changed = row.accessed = began;
  ChangeSet changes;
  changes.require(Check::inode, absent(inode_row(root_inode)));
  changes.change(put(inode_row(root_inode), SharedBytes(encode(row))));
  Result<Outcome> outcome = co_await changes.apply(store, deadline());
  // A failed condition is fine: another mount made it.
  if (!outcome) co_return tl::unexpected(outcome.error());
  co_return Status();
}

Task<Status> Volume::stop(TimePoint deadline) {
  abandon();
  Status result;
  std::vector<OpenPointer> dirty;
  for (const auto& [inode, open] : open_inodes.all()) {
    if (!open->buffer.empty() || open->mutex.locked()) dirty.push_back(open);
  }
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  TaskGroup flushes;
  auto first_error = std::make_shared<Status>();
  for (const OpenPointer& open : dirty) {
    co_await flushes.wait_below(parallel_flushes);
    flushes.spawn(executor, flush_at_end(alive(this), open, first_error, deadline));
  }
  co_await flushes.join();
  result = *first_error;
  co_await store.finish_transactions(deadline);
  bool ended = co_await join_tasks(deadline);
  if (!ended && result) result = fail(ErrorCode::timeout, "background work goes on");
  co_return result;
}

Task<void> Volume::flush_at_end(std::shared_ptr<Volume> self, OpenPointer open, std::shared_ptr<Status> status,
                                TimePoint deadline) {
  Status flushed = co_await self->contents.writer.flush(open, deadline);
  if (!flushed && *status) *status = flushed;
}

Task<void> Volume::settle_loop(std::shared_ptr<Volume> self) {
  while (!self->stopping()) {
    co_await self->wait_for_stop(settle_interval);
    if (self->stopping()) co_return;
    self->settle_some();
  }
}

void Volume::settle_some() {
  const TimePoint look = now();
  std::set<InodeNumber>& unsettled = open_inodes.unsettled();
  std::size_t tellings = 0;
  for (auto place = unsettled.begin(); place != unsettled.end();) {
    OpenPointer open = open_inodes.find(*place);
    if (!open || (!open->dirty_since && !open->kernel.stale)) {
      place = unsettled.erase(place);
      continue;
    }
    ++place;
    if (open->kernel.stale && !open->kernel.telling.locked() && tellings < tellings_a_look) {
      ++tellings;
      contents.kernel_pages.start_telling(open);
    }
    const bool old = open->dirty_since && look - *open->dirty_since >= write_back_age;
    if (old && contents.writer.background_writes() < parallel_write_backs)
      contents.writer.start_background(open, FileWriter::Sending::everything);
  }
}

}  // namespace ringfs::fs
