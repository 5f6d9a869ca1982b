// Inodes: reading them, one or many, and what this instance keeps of those in use.
#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t listing_hints = 64;  // directories, of one page each
constexpr std::size_t name_hints = 16384;
constexpr std::size_t directory_hints = 4096;
constexpr std::size_t kernel_hints = 16384;
constexpr std::size_t given_hints = 65536;     // of files that were looked at within seconds
constexpr std::size_t inodes_per_read = 1024;  // 104-byte rows: far below max_reply_bytes
constexpr std::size_t parallel_reads = 16;

// Into the row of an open file: its next write decides by these whether its time counts.
void take_attributes(InodeRow& open, const InodeRow& row) {
  open.mode = row.mode;
  open.uid = row.uid;
  open.gid = row.gid;
  open.accessed = row.accessed;
  open.modified = row.modified;
  open.changed = std::max(open.changed, row.changed);
}

}  // namespace

Status check_name(const std::string& name) {
  if (name.empty()) return fail(ErrorCode::not_found, "empty name");
  if (name.size() > max_name_bytes) return fail(ErrorCode::name_too_long, "name");
  bool valid = name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (!valid) return fail(ErrorCode::invalid_argument, "name");
  return {};
}

Volume::Volume(ObjectStore& store, FileSystemOptions options)
    : store_(store),
      options_(options),
      instance_(random_uuid(store.random())),
      listed_(listing_hints),
      names_(name_hints),
      ways_(directory_hints),
      directories_seen_(directory_hints),
      kernel_cached_(kernel_hints),
      given_(given_hints) {}

bool Volume::same_partition(InodeNumber left, InodeNumber right) const {
  return partition_of_inode(left, store_.partition_bits()) == partition_of_inode(right, store_.partition_bits());
}

Volume::InodePin::InodePin(Volume& volume, InodeNumber inode) : volume_(volume), pointer_(volume.pin_inode(inode)) {}
Volume::InodePin::~InodePin() { volume_.unpin_inode(pointer_); }

Volume::OpenPointer Volume::find_open(InodeNumber inode) const {
  auto place = open_.find(inode);
  return place == open_.end() ? nullptr : place->second;
}

Volume::OpenPointer Volume::pin_inode(InodeNumber inode) {
  OpenPointer& open = open_[inode];
  if (!open) open = std::make_shared<OpenInode>(inode);
  ++open->users;
  return open;
}

void Volume::unpin_inode(const OpenPointer& open) {
  --open->users;
  if (!open->is_idle()) return;
  forget_read_ahead(*open);
  auto place = open_.find(open->inode);
  if (place != open_.end() && place->second == open) open_.erase(place);
}

void Volume::remember(InodeNumber inode, const InodeRow& row) {
  if (!row.is_directory()) return;
  // Of two reads that overtook each other the later row counts: its change time never goes back.
  if (inode == root_inode && (!root_seen_ || root_seen_->changed <= row.changed)) root_seen_ = row;
  if (row.state == InodeState::live) {
    directories_seen_.put(inode, row);
  } else {
    directories_seen_.erase(inode);
  }
}

Attributes Volume::overlay_attributes(InodeNumber inode, const InodeRow& row) const {
  Attributes attributes = to_attributes(inode, row);
  OpenPointer open = find_open(inode);
  if (!open || open->buffer.empty()) return attributes;
  attributes.size = std::max(attributes.size, open->buffer.end());
  attributes.blocks = (attributes.size + 511) / 512;
  if (open->unpublished_modified) {
    attributes.modified.nanoseconds = *open->unpublished_modified;
    attributes.changed.nanoseconds = std::max(attributes.changed.nanoseconds, *open->unpublished_modified);
  }
  return attributes;
}

void Volume::touch_directory(ChangeSet& changes, InodeNumber directory, std::int64_t now) const {
  move_time(changes, inode_row(directory), InodeRow::modified_offset, now);
  move_time(changes, inode_row(directory), InodeRow::changed_offset, now);
}

Task<Result<LoadedInode>> Volume::read_inode(InodeNumber inode, TimePoint deadline) {
  ReadRequest request;
  request.gets.push_back(inode_row(inode));
  read_way_on(request, inode);
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  const ReadReply::Get& get = reply->gets.front();
  if (!get.found) co_return fail(ErrorCode::stale_handle, "no such inode");
  Result<InodeRow> row = decode_inode(get.row.value.view());
  if (!row) co_return tl::unexpected(row.error());
  remember(inode, *row);
  LoadedInode loaded{*row, get.row.version};
  if (OpenPointer open = find_open(inode)) adopt(*open, loaded, nullptr);
  co_return loaded;
}

Task<Result<InodeRow>> Volume::directory_header(InodeNumber directory, TimePoint deadline) {
  if (std::optional<InodeRow> seen = directories_seen_.get(directory)) co_return *seen;
  Result<LoadedInode> loaded = co_await read_inode(directory, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  if (!loaded->row.is_directory()) co_return fail(ErrorCode::not_directory);
  if (loaded->row.state != InodeState::live) co_return fail(ErrorCode::not_found, "directory was removed");
  co_return loaded->row;
}

Task<void> Volume::read_inode_group(std::shared_ptr<Volume> self, std::vector<InodeNumber> inodes,
                                    std::vector<std::size_t> places,
                                    std::shared_ptr<std::vector<std::optional<LoadedInode>>> results,
                                    std::shared_ptr<std::optional<Error>> error, TimePoint deadline) {
  ReadRequest request;
  for (InodeNumber inode : inodes) request.gets.push_back(inode_row(inode));
  Result<ReadReply> reply = co_await self->store_.read(std::move(request), deadline);
  if (!reply) {
    *error = reply.error();
    co_return;
  }
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    const ReadReply::Get& get = reply->gets[i];
    if (!get.found) continue;
    Result<InodeRow> row = decode_inode(get.row.value.view());
    if (!row) {
      *error = row.error();
      co_return;
    }
    self->remember(inodes[i], *row);
    (*results)[places[i]] = LoadedInode{*row, get.row.version};
  }
}

// One read per partition, side by side. Absent inodes give no value.
Task<Result<std::vector<std::optional<LoadedInode>>>> Volume::read_inodes(std::vector<InodeNumber> inodes,
                                                                          TimePoint deadline) {
  struct Group {
    std::vector<InodeNumber> inodes;
    std::vector<std::size_t> places;
  };
  std::multimap<PartitionId, Group> groups;
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    PartitionId partition = partition_of_inode(inodes[i], store_.partition_bits());
    auto group = groups.upper_bound(partition);
    bool fits = group != groups.begin() && std::prev(group)->first == partition &&
                std::prev(group)->second.inodes.size() < inodes_per_read;
    group = fits ? std::prev(group) : groups.emplace_hint(group, partition, Group{});
    group->second.inodes.push_back(inodes[i]);
    group->second.places.push_back(i);
  }
  auto results = std::make_shared<std::vector<std::optional<LoadedInode>>>(inodes.size());
  auto error = std::make_shared<std::optional<Error>>();
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  TaskGroup group_tasks;
  for (auto& [partition, group] : groups) {
    co_await group_tasks.wait_below(parallel_reads);
    group_tasks.spawn(executor, read_inode_group(shared_from_this(), std::move(group.inodes), std::move(group.places),
                                                 results, error, deadline));
  }
  co_await group_tasks.join();
  if (*error) co_return tl::unexpected(**error);
  co_return std::move(*results);
}

Task<Result<Attributes>> Volume::get_attributes(InodeNumber inode) {
  if (inode == root_inode) {
    Result<Attributes> root = co_await root_attributes();
    co_return root;
  }
  Result<LoadedInode> loaded = co_await read_inode(inode, deadline());
  if (!loaded) co_return tl::unexpected(loaded.error());
  Result<Attributes> attributes = co_await answer(inode, *loaded, deadline());
  co_return attributes;
}

Task<Result<std::string>> Volume::read_link(InodeNumber inode) {
  ReadRequest request;
  request.gets.push_back(symlink_row(inode));
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline());
  if (!reply) co_return tl::unexpected(reply.error());
  const ReadReply::Get& get = reply->gets.front();
  if (!get.found) co_return fail(ErrorCode::invalid_argument, "not a symbolic link");
  co_return get.row.value.str();
}

Task<Result<Attributes>> Volume::set_attributes(Caller caller, InodeNumber inode, SetAttributes changes) {
  const TimePoint until = deadline();
  if (changes.size) {
    Status resized = co_await set_size(inode, *changes.size, caller.may_not_keep_set_id(), until);
    if (!resized) co_return tl::unexpected(resized.error());
  }
  const bool owner = changes.uid || changes.gid;
  const bool times = changes.accessed || changes.modified || changes.accessed_now || changes.modified_now;
  // Bytes written before this call must not bring their own time in afterwards: they go first, also those under way.
  // Nor may bytes of somebody else take set-id bits away that are set now.
  OpenPointer written = find_open(inode);
  const bool later_clears = written && changes.mode && written->clears_set_id;
  if (written && (changes.modified || changes.modified_now || later_clears)) {
    Status flushed = co_await write_out(written, Sending::everything, until);
    if (!flushed) co_return tl::unexpected(flushed.error());
  }
  Retry retry(store_, until);
  for (;;) {
    Result<LoadedInode> loaded = co_await read_inode(inode, until);
    if (!loaded) co_return tl::unexpected(loaded.error());
    InodeRow row = loaded->row;
    if (changes.mode) row.mode = (row.mode & S_IFMT) | (*changes.mode & 07777U);
    if (changes.uid) row.uid = *changes.uid;
    if (changes.gid) row.gid = *changes.gid;
    // As Linux, which asks for a chown without a new owner by no field at all: root's takes the bits of a program away,
    // too.
    const bool chown = owner || (!times && !changes.mode && !changes.size);
    if (chown && !changes.mode && !row.is_directory()) row.mode = without_set_id(row.mode);
    const bool header = inode_header_bytes(row) != inode_header_bytes(loaded->row) || changes.mode || owner;
    if (!header && !times) {
      const Attributes same = co_await answer_done(inode, *loaded, until);
      if (changes.size) note_sure(inode, same.size);  // of its own call it takes the size in any case
      co_return same;
    }
    const RowAddress address = inode_row(inode);
    const std::int64_t now = now_ns();
    ChangeSet set;
    if (header) {
      set.require(Check::inode, bytes_equal(address, 0, inode_header_bytes(loaded->row)));
      set.change(write_bytes(address, 0, SharedBytes(inode_header_bytes(row))));
    } else {
      set.require(Check::inode, present(address));
    }
    if (changes.accessed || changes.accessed_now) {
      row.accessed = changes.accessed_now ? now : std::min(changes.accessed->nanoseconds, last_settable_time);
      set.change(write_bytes(address, InodeRow::accessed_offset, SharedBytes(encode_i64(row.accessed))));
    }
    if (changes.modified || changes.modified_now) {
      row.modified = changes.modified_now ? now : std::min(changes.modified->nanoseconds, last_settable_time);
      set.change(write_bytes(address, InodeRow::modified_offset, SharedBytes(encode_i64(row.modified))));
    }
    row.changed = moved_time(row.changed, now);
    move_time(set, address, InodeRow::changed_offset, now);
    Result<Outcome> outcome = co_await set.apply(store_, until);
    if (outcome && outcome->applied()) {
      remember(inode, row);
      if (OpenPointer open = find_open(inode); open && open->known) take_attributes(open->row, row);
      const Attributes changed = co_await answer_done(inode, LoadedInode{row, outcome->version}, until);
      if (changes.size) note_sure(inode, changed.size);
      co_return changed;
    }
    if (!outcome && !Retry::worthwhile(outcome.error())) co_return tl::unexpected(outcome.error());
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "attributes keep changing");
  }
}

}  // namespace ringfs::fs
