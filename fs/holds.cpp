// Looking at open inodes, all partitions side by side.
#include "fs/holds.hpp"

#include <algorithm>
#include <map>

namespace ringfs::fs {

namespace {

constexpr Duration hold_interval = std::chrono::seconds(6);
constexpr std::size_t inodes_per_check = 500;
// A partition without a majority fails its own look and no other.
constexpr Duration check_limit = std::chrono::seconds(6);
constexpr std::size_t parallel_checks = 256;

}  // namespace

void Holds::start() { instance_.spawn(run(instance_.alive(this))); }

Task<void> Holds::run(std::shared_ptr<Holds> self) {
  while (!self->instance_.stopping()) {
    co_await self->instance_.wait_for_stop(hold_interval);
    if (self->instance_.stopping()) co_return;
    // Beside this loop: partitions that do not answer must not delay the next look at the others.
    self->instance_.spawn(run_check(self));
  }
}

Task<void> Holds::run_check(std::shared_ptr<Holds> self) {
  // The next look makes up for a failed one: a hold outlives three of them.
  static_cast<void>(co_await self->check(self->instance_.deadline()));
}

Task<void> Holds::check_group(std::shared_ptr<Holds> self, PartitionId partition, std::vector<InodeNumber> inodes,
                              std::shared_ptr<Status> status, TimePoint deadline) {
  // At most one look at a time asks a partition.
  if (!self->checking_.insert(partition).second) co_return;
  for (std::size_t i = 0; i < inodes.size() && !self->instance_.stopping(); i += inodes_per_check) {
    auto begin = inodes.begin() + static_cast<std::ptrdiff_t>(i);
    auto end = inodes.begin() + static_cast<std::ptrdiff_t>(std::min(inodes.size(), i + inodes_per_check));
    std::vector<InodeNumber> some(begin, end);
    Status checked =
        co_await self->check_some(std::move(some), std::min(deadline, self->instance_.now() + check_limit));
    if (checked) continue;
    *status = checked;
    break;
  }
  self->checking_.erase(partition);
}

// Looks at inodes of one partition.
Task<Status> Holds::check_some(std::vector<InodeNumber> inodes, TimePoint deadline) {
  const unsigned bits = instance_.store.partition_bits();
  ReadRequest request;
  for (InodeNumber inode : inodes) {
    request.gets.push_back(inode_row(inode));
    request.gets.push_back(orphan_row(inode, bits));
  }
  Result<ReadReply> reply = co_await instance_.store.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  Status result;
  ChangeSet hold;
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    const ReadReply::Get& inode = reply->gets[2 * i];
    const ReadReply::Get& orphan = reply->gets[2 * i + 1];
    if (inode.found) {
      Result<LoadedInode> loaded = loaded_inode(inode);
      if (loaded) open_inodes_.adopt(inodes[i], *loaded);
      if (!loaded) result = tl::unexpected(loaded.error());
    }
    // The batch does nothing to a row that the janitor has removed since. A row that is written is young again.
    if (orphan.found) hold.change(add_i64(orphan_row(inodes[i], bits), OrphanRow::hold_offset, 1));
  }
  if (!hold.empty()) {
    Result<Outcome> outcome = co_await hold.apply(instance_.store, deadline);
    if (!outcome) result = tl::unexpected(outcome.error());
  }
  co_return result;
}

Task<Status> Holds::check(TimePoint deadline) {
  std::set<InodeNumber> inodes;
  for (const auto& [inode, open] : open_inodes_.all()) inodes.insert(inode);
  for (const auto& [handle, directory] : directories_.all()) inodes.insert(directory->inode);
  std::map<PartitionId, std::vector<InodeNumber>> groups;
  for (InodeNumber inode : inodes) groups[partition_of_inode(inode, instance_.store.partition_bits())].push_back(inode);
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  auto status = std::make_shared<Status>();
  TaskGroup checks;
  for (auto& [partition, group] : groups) {
    co_await checks.wait_below(parallel_checks);
    checks.spawn(executor, check_group(instance_.alive(this), partition, std::move(group), status, deadline));
  }
  co_await checks.join();
  co_return *status;
}

}  // namespace ringfs::fs
