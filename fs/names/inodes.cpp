// Reading inodes.
#include "fs/names/inodes.hpp"

#include <map>

namespace ringfs::fs {

namespace {

constexpr std::size_t inodes_per_read = 1024;  // 104-byte rows: far below max_reply_bytes
constexpr std::size_t parallel_reads = 16;

}  // namespace

struct Inodes::Batch {
  std::vector<InodeNumber> inodes;
  std::vector<std::size_t> places;  // of theirs in the result
  std::vector<std::optional<LoadedInode>> loaded;
  std::optional<Error> error;
};

Task<Result<LoadedInode>> Inodes::read(InodeNumber inode, TimePoint deadline) {
  ReadRequest request;
  request.gets.push_back(inode_row(inode));
  hints_.read_way_on(request, inode);
  Result<ReadReply> reply = co_await instance_.store.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  Result<LoadedInode> loaded = loaded_inode(reply->gets.front());
  if (!loaded) co_return tl::unexpected(loaded.error());
  hints_.remember(inode, loaded->row);
  open_inodes_.adopt(inode, *loaded);
  co_return loaded;
}

Task<Result<InodeRow>> Inodes::directory_header(InodeNumber directory, TimePoint deadline) {
  if (std::optional<InodeRow> seen = hints_.directories.get(directory)) co_return *seen;
  Result<LoadedInode> loaded = co_await read(directory, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  if (!loaded->row.is_directory()) co_return fail(ErrorCode::not_directory);
  if (loaded->row.state != InodeState::live) co_return fail(ErrorCode::not_found, "directory was removed");
  co_return loaded->row;
}

Task<void> Inodes::read_batch(std::shared_ptr<Inodes> self, std::shared_ptr<Batch> batch, TimePoint deadline) {
  batch->loaded.resize(batch->inodes.size());
  ReadRequest request;
  for (InodeNumber inode : batch->inodes) request.gets.push_back(inode_row(inode));
  Result<ReadReply> reply = co_await self->instance_.store.read(std::move(request), deadline);
  if (!reply) {
    batch->error = reply.error();
    co_return;
  }
  for (std::size_t i = 0; i < batch->inodes.size(); ++i) {
    if (!reply->gets[i].found) continue;
    Result<LoadedInode> loaded = loaded_inode(reply->gets[i]);
    if (!loaded) {
      batch->error = loaded.error();
      co_return;
    }
    self->hints_.remember(batch->inodes[i], loaded->row);
    batch->loaded[i] = *loaded;
  }
}

Task<Result<std::vector<std::optional<LoadedInode>>>> Inodes::read_many(std::vector<InodeNumber> inodes,
                                                                        TimePoint deadline) {
  std::multimap<PartitionId, std::shared_ptr<Batch>> batches;
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    PartitionId partition = partition_of_inode(inodes[i], instance_.store.partition_bits());
    auto batch = batches.upper_bound(partition);
    bool fits = batch != batches.begin() && std::prev(batch)->first == partition &&
                std::prev(batch)->second->inodes.size() < inodes_per_read;
    batch = fits ? std::prev(batch) : batches.emplace_hint(batch, partition, std::make_shared<Batch>());
    batch->second->inodes.push_back(inodes[i]);
    batch->second->places.push_back(i);
  }
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  TaskGroup reading;
  for (const auto& [partition, batch] : batches) {
    co_await reading.wait_below(parallel_reads);
    reading.spawn(executor, read_batch(instance_.alive(this), batch, deadline));
  }
  co_await reading.join();
  std::vector<std::optional<LoadedInode>> results(inodes.size());
  for (const auto& [partition, batch] : batches) {
    if (batch->error) co_return tl::unexpected(*batch->error);
    for (std::size_t i = 0; i < batch->places.size(); ++i) results[batch->places[i]] = batch->loaded[i];
  }
  co_return results;
}

}  // namespace ringfs::fs
