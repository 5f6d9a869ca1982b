// The root's attributes, also while the ring is silent.
#include "fs/names/root.hpp"

namespace ringfs::fs {

namespace {

constexpr Duration root_timeout = std::chrono::seconds(3);
constexpr Duration short_timeout = std::chrono::milliseconds(200);

bool is_silence(const Error& error) {
  return error.code == ErrorCode::timeout || error.code == ErrorCode::unavailable || not_reached(error.code);
}

}  // namespace

Task<Result<Attributes>> Root::attributes() {
  const TimePoint until = std::min(instance_.deadline(), instance_.now() + (is_silent_ ? short_timeout : root_timeout));
  Result<LoadedInode> loaded = co_await inodes_.read(root_inode, until);
  if (loaded) {
    is_silent_ = false;
    co_return open_inodes_.overlay_attributes(root_inode, *loaded);
  }
  if (!is_silence(loaded.error()) || !hints_.root) co_return tl::unexpected(loaded.error());
  if (!is_silent_ && !instance_.stopping()) {
    is_silent_ = true;
    instance_.spawn(listen(instance_.alive(this)));
  }
  co_return open_inodes_.overlay_attributes(root_inode, LoadedInode{*hints_.root});
}

Task<void> Root::listen(std::shared_ptr<Root> self) {
  while (self->is_silent_ && !self->instance_.stopping()) {
    Result<LoadedInode> loaded = co_await self->inodes_.read(root_inode, self->instance_.now() + root_timeout);
    if (loaded) break;
    co_await self->instance_.wait_for_stop(short_timeout);
  }
  self->is_silent_ = false;
}

}  // namespace ringfs::fs
