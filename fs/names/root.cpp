// The root's attributes when the ring is silent: whoever walks into `.ring` asks for them first, and `.ring` is what
// says why the ring is silent.
//
// While the ring answers, each question goes to it, so that a chmod of the root counts at once and everywhere. When it
// has said nothing for root_timeout, which is longer than a node that dies or freezes holds anything up, the
// attributes last seen are the answer. From then on a question waits short_timeout only, until a look in the
// background hears the ring again. Only the root's own attributes are answered in this way: its names and its listing
// are not.
#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

constexpr Duration root_timeout = std::chrono::seconds(3);
constexpr Duration short_timeout = std::chrono::milliseconds(200);

bool is_silence(const Error& error) {
  return error.code == ErrorCode::timeout || error.code == ErrorCode::unavailable || not_reached(error.code);
}

}  // namespace

Task<Result<Attributes>> Volume::root_attributes() {
  const TimePoint until = std::min(deadline(), store_.clock().now + (root_is_silent_ ? short_timeout : root_timeout));
  Result<LoadedInode> loaded = co_await read_inode(root_inode, until);
  if (loaded) {
    root_is_silent_ = false;
    co_return overlay_attributes(root_inode, loaded->row);
  }
  if (!is_silence(loaded.error()) || !root_seen_) co_return tl::unexpected(loaded.error());
  if (!root_is_silent_ && !stopping_) {
    root_is_silent_ = true;
    tasks_.spawn(executor_, listen_for_root(shared_from_this()));
  }
  co_return overlay_attributes(root_inode, *root_seen_);
}

Task<void> Volume::listen_for_root(std::shared_ptr<Volume> self) {
  while (self->root_is_silent_ && !self->stopping_) {
    Result<LoadedInode> loaded = co_await self->read_inode(root_inode, self->store_.clock().now + root_timeout);
    if (loaded) break;
    co_await self->stopped_.wait(short_timeout);
  }
  self->root_is_silent_ = false;
}

}  // namespace ringfs::fs
