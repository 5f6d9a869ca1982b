// statfs and the description of one inode.
#include "fs/control/status.hpp"

#include "fs/names/keys.hpp"

namespace ringfs::fs {

namespace {

constexpr Duration status_life = std::chrono::seconds(1);
// Inodes are made as needed. This number looks full to no tool, and overflows in none.
constexpr std::uint64_t inode_budget = std::uint64_t{1} << 36;

}  // namespace

Task<Result<FileSystemStatus>> SpaceStatus::get(TimePoint now, TimePoint deadline) {
  if (cached_ && now - taken_ < status_life) co_return *cached_;
  Result<SpaceView> space = co_await ring_.space(deadline);
  if (!space) co_return tl::unexpected(space.error());
  FileSystemStatus status;
  status.blocks = space->total_bytes / status.block_size;
  status.free_blocks = space->free_bytes / status.block_size;
  status.files = inode_budget;
  status.free_files = inode_budget;
  cached_ = status;
  taken_ = now;
  co_return status;
}

Task<Result<std::string>> describe_inode(RingView& ring, unsigned partition_bits, InodeNumber inode, LoadedInode loaded,
                                         TimePoint deadline) {
  Result<RouteView> route = co_await ring.lookup(inode_row(inode).key, deadline);
  if (!route) co_return tl::unexpected(route.error());
  const std::uint64_t size = static_cast<std::uint64_t>(loaded.row.size);
  const std::uint64_t chunks = loaded.row.content == 0 ? 0 : (size + chunk_bytes - 1) / chunk_bytes;
  std::string text = "inode=" + std::to_string(inode) + "\n";
  text += "partition=" + std::to_string(index_of(partition_of_inode(inode, partition_bits))) + "\n";
  text += "primary=" + route->primary.text() + "\n";
  text += "leader=" + (route->leader ? route->leader->text() : std::string("-")) + "\n";
  text += "replicas=";
  for (std::size_t i = 0; i < route->replicas.size(); ++i) text += (i == 0 ? "" : " ") + route->replicas[i].text();
  text += "\nchunks=" + std::to_string(chunks) + "\n";
  text += "version=" + std::to_string(loaded.version) + "\n";
  co_return text;
}

}  // namespace ringfs::fs
