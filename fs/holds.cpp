// Life of a mount: making the root, the regular look at what is open, and the end.
//
// Every hold_interval an instance asks for the inodes that it has open: it learns of changes by other mounts and puts a
// hold on those that were unlinked. A hold writes the orphan row, and the janitor takes only rows that nobody has
// written for long (an orphan is kept for 25 s in any case: two looks that take as long as they may, or four). Bytes
// that wait in write buffers go to the ring after a few seconds: nobody can ask for it (sync(2) sends nothing to a FUSE
// file system), and a mount's process that dies takes them with it.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <set>

#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

constexpr Duration hold_interval = std::chrono::seconds(6);
// Together below the 5 s of docs/posix.md after which written bytes are on their way.
constexpr Duration settle_interval = std::chrono::seconds(1);
constexpr Duration write_back_age = std::chrono::seconds(3);
constexpr std::size_t parallel_write_backs = 64;  // the rest waits for the next look
constexpr std::size_t tellings_a_look = 256;      // each ends by itself within seconds
constexpr std::size_t inodes_per_check = 500;
constexpr Duration check_limit =
    std::chrono::seconds(6);  // a partition without a majority costs its own round, no other
constexpr std::size_t parallel_checks = 256;
constexpr std::size_t parallel_flushes = 16;

}  // namespace

Task<Status> Volume::start() {
  executor_ = co_await boost::asio::this_coro::executor;
  const std::int64_t now = now_ns();
  InodeRow row;
  row.mode = S_IFDIR | 0755U;
  row.uid = options_.owner;
  row.gid = options_.owner == 0 ? 0 : ::getgid();
  row.links = 2;
  row.parent = root_inode;
  row.entries_by_hash = true;
  row.modified = row.changed = row.accessed = now;
  Result<LoadedInode> root = co_await read_inode(root_inode, deadline());
  if (!root && root.error().code != ErrorCode::stale_handle) co_return tl::unexpected(root.error());
  if (!root) {
    ChangeSet changes;
    changes.require(Check::inode, absent(inode_row(root_inode)));
    changes.change(put(inode_row(root_inode), SharedBytes(encode(row))));
    Result<Outcome> outcome = co_await changes.apply(store_, deadline());
    // A failed condition is fine: another mount made it.
    if (!outcome) co_return tl::unexpected(outcome.error());
  }
  tasks_.spawn(executor_, hold_loop(shared_from_this()));
  tasks_.spawn(executor_, settle_loop(shared_from_this()));
  co_return Status();
}

void Volume::abandon() {
  stopping_ = true;
  stopped_.notify();
}

Task<Status> Volume::stop(TimePoint deadline) {
  abandon();
  Status result;
  std::vector<OpenPointer> dirty;
  for (const auto& [inode, open] : open_) {
    if (!open->buffer.empty() || open->mutex.locked()) dirty.push_back(open);
  }
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  TaskGroup flushes;
  auto first_error = std::make_shared<Status>();
  for (const OpenPointer& open : dirty) {
    co_await flushes.wait_below(parallel_flushes);
    flushes.spawn(executor, flush_at_end(shared_from_this(), open, first_error, deadline));
  }
  co_await flushes.join();
  result = *first_error;
  co_await store_.finish_transactions(deadline);
  bool ended = co_await tasks_.join_within(left(deadline));
  if (!ended && result) result = fail(ErrorCode::timeout, "background work goes on");
  co_return result;
}

Task<void> Volume::flush_at_end(std::shared_ptr<Volume> self, OpenPointer open, std::shared_ptr<Status> status,
                                TimePoint deadline) {
  Status flushed = co_await self->flush_inode(open, deadline);
  if (!flushed && *status) *status = flushed;
}

Task<void> Volume::run_check(std::shared_ptr<Volume> self) {
  // A failed round is made up for by the next: holds outlive three of them.
  static_cast<void>(co_await self->check_open_inodes(self->deadline()));
}

Task<void> Volume::hold_loop(std::shared_ptr<Volume> self) {
  while (!self->stopping_) {
    co_await self->stopped_.wait(hold_interval);
    if (self->stopping_) co_return;
    // Beside this loop: partitions that do not answer must not put off the next round for the others.
    self->tasks_.spawn(self->executor_, run_check(self));
  }
}

Task<void> Volume::settle_loop(std::shared_ptr<Volume> self) {
  while (!self->stopping_) {
    co_await self->stopped_.wait(settle_interval);
    if (self->stopping_) co_return;
    self->settle_some();
  }
}

void Volume::settle_some() {
  const TimePoint now = store_.clock().now;
  std::size_t tellings = 0;
  for (auto place = unsettled_.begin(); place != unsettled_.end();) {
    OpenPointer open = find_open(*place);
    if (!open || (!open->dirty_since && !open->kernel.stale)) {
      place = unsettled_.erase(place);
      continue;
    }
    ++place;
    if (open->kernel.stale && !open->kernel.telling.locked() && tellings < tellings_a_look) {
      ++tellings;
      tasks_.spawn(executor_, settle_pages(shared_from_this(), open));
    }
    const bool old = open->dirty_since && now - *open->dirty_since >= write_back_age;
    if (old && background_writes_ < parallel_write_backs) start_background(open, Sending::everything);
  }
}

Task<void> Volume::check_group(std::shared_ptr<Volume> self, PartitionId partition, std::vector<InodeNumber> inodes,
                               std::shared_ptr<Status> status, TimePoint deadline) {
  // One round at a time asks a partition.
  if (!self->checking_.insert(partition).second) co_return;
  for (std::size_t i = 0; i < inodes.size() && !self->stopping_; i += inodes_per_check) {
    auto begin = inodes.begin() + static_cast<std::ptrdiff_t>(i);
    auto end = inodes.begin() + static_cast<std::ptrdiff_t>(std::min(inodes.size(), i + inodes_per_check));
    std::vector<InodeNumber> some(begin, end);
    Status checked =
        co_await self->check_some(std::move(some), std::min(deadline, self->store_.clock().now + check_limit));
    if (checked) continue;
    *status = checked;
    break;
  }
  self->checking_.erase(partition);
}

// Of one partition.
Task<Status> Volume::check_some(std::vector<InodeNumber> inodes, TimePoint deadline) {
  const unsigned bits = store_.partition_bits();
  ReadRequest request;
  for (InodeNumber inode : inodes) {
    request.gets.push_back(inode_row(inode));
    request.gets.push_back(orphan_row(inode, bits));
  }
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  Status result;
  ChangeSet hold;
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    const ReadReply::Get& inode = reply->gets[2 * i];
    const ReadReply::Get& orphan = reply->gets[2 * i + 1];
    if (inode.found) {
      Result<InodeRow> row = decode_inode(inode.row.value.view());
      OpenPointer open = find_open(inodes[i]);
      if (row && open) adopt(*open, LoadedInode{*row, inode.row.version}, nullptr);
      if (!row) result = tl::unexpected(row.error());
    }
    // All in one batch: this does nothing to a row that the janitor has removed since. A row that is written is young
    // again.
    if (orphan.found) hold.change(add_i64(orphan_row(inodes[i], bits), OrphanRow::hold_offset, 1));
  }
  if (!hold.empty()) {
    Result<Outcome> outcome = co_await hold.apply(store_, deadline);
    if (!outcome) result = tl::unexpected(outcome.error());
  }
  co_return result;
}

Task<Status> Volume::check_open_inodes(TimePoint deadline) {
  std::set<InodeNumber> inodes;
  for (const auto& [inode, open] : open_) inodes.insert(inode);
  for (const auto& [handle, directory] : directories_) inodes.insert(directory->inode);
  std::map<PartitionId, std::vector<InodeNumber>> groups;
  for (InodeNumber inode : inodes) groups[partition_of_inode(inode, store_.partition_bits())].push_back(inode);
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  auto status = std::make_shared<Status>();
  TaskGroup checks;
  for (auto& [partition, group] : groups) {
    co_await checks.wait_below(parallel_checks);
    checks.spawn(executor, check_group(shared_from_this(), partition, std::move(group), status, deadline));
  }
  co_await checks.join();
  co_return *status;
}

}  // namespace ringfs::fs
