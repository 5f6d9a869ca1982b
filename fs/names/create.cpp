// Making files, special files, symbolic links and directories.
//
// Everything but a directory is one batch in the parent's partition. A directory has a placement of its own. First its
// inode is made together with an orphan row (nothing reaches it yet), then the entry in the parent, then the orphan row
// goes. The janitor collects directories that stay half made. A rename of a directory removes the orphan row first
// (rename.cpp). So if an old orphan row is still there, and its name does not lead to the directory, no entry ever did.
// Before the janitor removes the directory it writes a given_up_row in the parent's partition, and the entry is made on
// condition that there is none: so no entry ever will.
#include <fcntl.h>

#include <algorithm>

#include "fs/inode_changes.hpp"
#include "fs/names/names.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t max_symlink_bytes = 4095;  // PATH_MAX without its NUL

InodeRow new_inode(const Caller& caller, const InodeRow& parent, std::uint32_t mode, std::int64_t now) {
  InodeRow row;
  row.mode = mode;
  row.uid = caller.uid;
  row.gid = caller.gid;
  if ((parent.mode & S_ISGID) != 0) {
    row.gid = parent.gid;
    if (S_ISDIR(mode)) row.mode |= S_ISGID;
  }
  row.modified = row.changed = row.accessed = now;
  return row;
}

Status check_new_name(const std::string& name) {
  if (Status status = check_name(name); !status) return status;
  if (is_dot(name)) return fail(ErrorCode::exists);
  return {};
}

}  // namespace

Task<Result<NewNode>> Names::create_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                         std::uint64_t device, std::string target, TimePoint deadline) {
  Status valid = check_new_name(name);
  if (!valid) co_return tl::unexpected(valid.error());
  Retry retry(store_, deadline);
  for (;;) {
    Result<InodeRow> header = co_await inodes_.directory_header(parent, deadline);
    if (!header) co_return tl::unexpected(header.error());
    const std::int64_t now = instance_.now_ns();
    NewNode node;
    node.inode = fresh_inode(placement_of(parent), store_.random());
    node.loaded.row = new_inode(caller, *header, mode, now);
    node.loaded.row.device = device;
    node.loaded.row.generation = store_.random().next() & 0xffffffffU;
    node.loaded.row.size = static_cast<std::int64_t>(target.size());
    const EntryRow entry{node.inode, mode & S_IFMT};
    ChangeSet changes;
    hints_.require_no_entry(changes, Check::entry, {parent, name});
    changes.require(Check::directory, header_is(parent, *header));  // the mode and group that were used
    changes.require(Check::fresh_inode, absent(inode_row(node.inode)));
    changes.require(Check::fresh_inode, empty_prefix(garbage_prefix(node.inode, store_.partition_bits())));
    changes.change(put(entry_row(parent, name), SharedBytes(encode(entry))));
    changes.change(put(inode_row(node.inode), SharedBytes(encode(node.loaded.row))));
    if (S_ISLNK(mode)) changes.change(put(symlink_row(node.inode), SharedBytes(target)));
    touch_directory(changes, parent, now);
    Result<Outcome> outcome = co_await changes.apply(store_, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (outcome->applied()) {
      hints_.names.put({parent, name}, node.inode);
      node.loaded.version = outcome->version;
      co_return node;
    }
    if (outcome->failed == Check::entry) co_return fail(ErrorCode::exists);
    if (outcome->failed == Check::directory) hints_.directories.erase(parent);
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "create");
  }
}

Task<Result<Attributes>> Names::make_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                          std::uint64_t device) {
  std::uint32_t type = mode & S_IFMT;
  if (type == 0) type = S_IFREG;
  if (type == S_IFDIR || type == S_IFLNK) co_return fail(ErrorCode::invalid_argument, "mknod of this type");
  const std::uint32_t full_mode = type | caller.permissions(mode);
  Result<NewNode> node =
      co_await create_node(caller, parent, std::move(name), full_mode, device, std::string(), instance_.deadline());
  if (!node) co_return tl::unexpected(node.error());
  co_return contents_.kernel_pages.give(node->inode, node->loaded);
}

Task<Result<Attributes>> Names::make_symlink(Caller caller, InodeNumber parent, std::string name, std::string target) {
  if (target.empty()) co_return fail(ErrorCode::not_found, "empty target");
  if (target.size() > max_symlink_bytes) co_return fail(ErrorCode::name_too_long, "target");
  Result<NewNode> node = co_await create_node(caller, parent, std::move(name), S_IFLNK | 0777U, 0, std::move(target),
                                              instance_.deadline());
  if (!node) co_return tl::unexpected(node.error());
  co_return to_attributes(node->inode, node->loaded.row);
}

Task<void> Names::confirm_directory(std::shared_ptr<Names> self, InodeNumber directory, TimePoint deadline) {
  ChangeSet changes;
  const RowAddress orphan = orphan_row(directory, self->store_.partition_bits());
  // If it was removed again meanwhile, the orphan row is another one, and needed.
  changes.require(Check::inode, is_live_directory(directory));
  changes.change(erase(orphan));
  // If it fails, the janitor does the same when the row is old.
  static_cast<void>(co_await changes.apply(self->store_, deadline));
}

Task<Result<Attributes>> Names::make_directory(Caller caller, InodeNumber parent, std::string name,
                                               std::uint32_t mode) {
  // The janitor waits for longer than this, so it gives up no mkdir that is still under way.
  const TimePoint until = std::min(instance_.deadline(), instance_.now() + max_batch_life);
  Status valid = check_new_name(name);
  if (!valid) co_return tl::unexpected(valid.error());
  const std::uint32_t permissions = caller.permissions(mode);
  Retry retry(store_, until);
  std::optional<InodeNumber> made;  // by an earlier turn, whose entry failed because the parent had changed
  InodeRow row;
  for (;;) {
    Result<InodeRow> header = co_await inodes_.directory_header(parent, until);
    if (!header) co_return tl::unexpected(header.error());
    const std::int64_t now = instance_.now_ns();
    InodeRow wanted = new_inode(caller, *header, S_IFDIR | permissions, now);
    wanted.links = 2;
    wanted.entries_by_hash = true;
    wanted.parent = parent;
    wanted.generation = store_.random().next() & 0xffffffffU;
    const InodeNumber inode = made ? *made : fresh_inode(fresh_placement(store_.random()), store_.random());
    const bool together = instance_.same_partition(parent, inode);
    ChangeSet child, entry;
    ChangeSet& first = together ? entry : child;
    if (!made) {
      row = wanted;
      first.require(Check::fresh_inode, absent(inode_row(inode)));
      first.require(Check::fresh_inode, empty_prefix(garbage_prefix(inode, store_.partition_bits())));
      first.change(put(inode_row(inode), SharedBytes(encode(row))));
    }
    if (!together && !made) {
      // A cheap look before anything is made: mkdir -p often asks for a name that exists.
      Result<FoundEntry> existing = co_await find_entry(parent, name, until);
      if (!existing) co_return tl::unexpected(existing.error());
      if (existing->found) co_return fail(ErrorCode::exists);
      OrphanRow orphan{OrphanRow::Kind::half_made, store_.clock().stamp.microseconds, 0, parent, name};
      child.change(put(orphan_row(inode, store_.partition_bits()), SharedBytes(encode(orphan))));
      Result<Outcome> outcome = co_await child.apply(store_, until);
      if (!outcome) co_return tl::unexpected(outcome.error());
      if (!outcome->applied()) continue;  // the random number is in use
      made = inode;
    } else if (!together && (row.mode != wanted.mode || row.gid != wanted.gid)) {
      made.reset();  // the parent's set-group-id bit changed: the janitor removes the first one
      continue;
    }
    hints_.require_no_entry(entry, Check::entry, {parent, name});
    entry.require(Check::directory, header_is(parent, *header));
    if (!together) entry.require(Check::fresh_inode, absent(given_up_row(parent, inode, store_.partition_bits())));
    entry.change(put(entry_row(parent, name), SharedBytes(encode(EntryRow{inode, S_IFDIR}))));
    entry.change(add_i64(inode_row(parent), InodeRow::links_offset, 1));
    touch_directory(entry, parent, now);
    Result<Outcome> outcome = co_await entry.apply(store_, until);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (outcome->applied()) {
      hints_.names.put({parent, name}, inode);
      hints_.directories.put(inode, row);
      if (!together && !instance_.stopping())
        instance_.spawn(confirm_directory(instance_.alive(this), inode, instance_.deadline()));
      co_return to_attributes(inode, row);
    }
    if (outcome->failed == Check::entry) co_return fail(ErrorCode::exists);
    if (outcome->failed == Check::directory) hints_.directories.erase(parent);
    if (outcome->failed == Check::fresh_inode) made.reset();  // in use, or given up by the janitor: makes another one
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "mkdir");
  }
}

}  // namespace ringfs::fs
