// Inodes in use: pinning them, and taking in what the ring says of them.
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t kernel_hints = 16384;

}  // namespace

OpenInodes::OpenInodes(Instance& instance) : kernel_cached(kernel_hints), instance_(instance) {}

OpenPointer OpenInodes::find(InodeNumber inode) const {
  auto place = all_.find(inode);
  return place == all_.end() ? nullptr : place->second;
}

OpenPointer OpenInodes::pin(InodeNumber inode) {
  OpenPointer& open = all_[inode];
  if (!open) open = std::make_shared<OpenInode>(inode);
  ++open->users;
  return open;
}

void OpenInodes::unpin(const OpenPointer& open) {
  --open->users;
  if (!open->is_idle()) return;
  read_ahead.forget(*open);
  auto place = all_.find(open->inode);
  if (place != all_.end() && place->second == open) all_.erase(place);
}

void OpenInodes::adopt(OpenInode& open, const LoadedInode& loaded, const ReadReply::Get* inline_row, Origin origin) {
  if (open.known && loaded.version < open.version) return;
  // The size does not matter: the kernel may know the new one already, or never ask again.
  const bool by_others = origin == Origin::elsewhere && open.version != 0 && open.row.change != loaded.row.change;
  const bool changed = !open.known || open.row.change != loaded.row.change || open.row.content != loaded.row.content ||
                       open.row.cut != loaded.row.cut;
  if (changed) {
    open.inline_known = false;
    read_ahead.forget(open);
  }
  open.known = true;
  open.row = loaded.row;
  open.version = loaded.version;
  if (inline_row != nullptr && loaded.row.content == 0) {
    open.inline_known = true;
    open.inline_bytes = inline_row->found ? inline_row->row.value : SharedBytes();
  }
  if (by_others && open.own_change == loaded.row.change) {
    open.own_change_seen = true;
  } else if (by_others) {
    pages_are_stale(open);
  }
}

void OpenInodes::adopt(InodeNumber inode, const LoadedInode& loaded) {
  if (OpenPointer open = find(inode)) adopt(*open, loaded, nullptr);
}

Task<Status> OpenInodes::refresh(OpenPointer open, TimePoint deadline) {
  // Of contents in chunks the inode's row says all. It may be in memory, and a row that is not there never is for long.
  ReadRequest alone;
  alone.gets.push_back(inode_row(open->inode));
  if (instance_.store.at_hand(alone) == std::optional(true)) {
    Result<ReadReply> reply = co_await instance_.store.read(std::move(alone), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    Result<LoadedInode> loaded = loaded_inode(reply->gets[0]);
    if (!loaded) co_return tl::unexpected(loaded.error());
    if (loaded->row.content != 0) {
      adopt(*open, *loaded, nullptr);
      co_return Status();
    }
  }
  Result<LoadedContents> loaded = co_await load(open, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  co_return Status();
}

Task<Result<LoadedContents>> OpenInodes::load(OpenPointer open, TimePoint deadline) {
  ReadRequest request;
  request.gets.push_back(inode_row(open->inode));
  request.gets.push_back(inline_row(open->inode));
  Result<ReadReply> reply = co_await instance_.store.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  Result<LoadedInode> loaded = loaded_inode(reply->gets[0]);
  if (!loaded) co_return tl::unexpected(loaded.error());
  adopt(*open, *loaded, &reply->gets[1]);
  co_return LoadedContents{*loaded, std::move(reply->gets[1])};
}

Task<Result<Outcome>> OpenInodes::commit_own(OpenPointer open, ChangeSet& changes, TimePoint deadline) {
  open->own_change = open->row.change + 1;
  open->own_change_seen = false;
  Result<Outcome> outcome = co_await changes.apply(instance_.store, deadline);
  // A row had our number before the answer came. It shows our change if the commit succeeded, else another mount's.
  const bool applied = outcome && outcome->applied();
  if (open->own_change_seen && !applied) pages_are_stale(*open);
  open->own_change.reset();
  open->own_change_seen = false;
  co_return outcome;
}

Attributes OpenInodes::overlay_attributes(InodeNumber inode, const LoadedInode& loaded) const {
  Attributes attributes = to_attributes(inode, loaded.row);
  attributes.version = loaded.version;
  OpenPointer open = find(inode);
  if (!open || open->buffer.empty()) return attributes;
  attributes.version = 0;
  attributes.size = std::max(attributes.size, open->buffer.end());
  attributes.blocks = (attributes.size + 511) / 512;
  if (open->unpublished_modified) {
    attributes.modified.nanoseconds = *open->unpublished_modified;
    attributes.changed.nanoseconds = std::max(attributes.changed.nanoseconds, *open->unpublished_modified);
  }
  return attributes;
}

void OpenInodes::pages_are_stale(OpenInode& open) {
  if (!instance_.pages_changed || !open.kernel.is_used()) return;
  open.kernel.stale = true;
  unsettled_.insert(open.inode);
}

}  // namespace ringfs::fs
