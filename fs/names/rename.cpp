// Rename: one batch inside a partition, otherwise one transaction. It is atomic with replacement, RENAME_NOREPLACE and
// RENAME_EXCHANGE.
//
// A directory that moves to another directory must not end up below itself. Two such moves may each be harmless and
// make a cycle together. So one ring-wide row serialises them: the transaction locks it before it walks the ancestors.
#include <linux/fs.h>

#include "fs/inode_changes.hpp"
#include "fs/names/names.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

constexpr unsigned max_depth = 65536;  // a deeper tree, or a cycle, which must not exist

}  // namespace

Task<Status> Names::rename(InodeNumber parent, std::string name, InodeNumber new_parent, std::string new_name,
                           unsigned flags) {
  const TimePoint until = instance_.deadline();
  Status valid = check_name(name);
  if (!valid) co_return valid;
  valid = check_name(new_name);
  if (!valid) co_return valid;
  if (is_dot(name) || is_dot(new_name)) co_return fail(ErrorCode::invalid_argument, "rename of . or ..");
  RenameRequest request{parent,
                        std::move(name),
                        new_parent,
                        std::move(new_name),
                        (flags & RENAME_NOREPLACE) != 0,
                        (flags & RENAME_EXCHANGE) != 0};
  bool known = (flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) == 0;
  if (!known || (request.no_replace && request.exchange)) co_return fail(ErrorCode::invalid_argument, "rename flags");
  Retry retry(store_, until);
  for (;;) {
    RenameRequest attempt = request;
    Result<bool> done = co_await rename_once(std::move(attempt), until);
    if (!done && !Retry::worthwhile(done.error())) co_return tl::unexpected(done.error());
    if (done && *done) co_return Status();
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "rename");
  }
}

Task<Result<std::pair<FoundEntry, FoundEntry>>> Names::find_both(RenameRequest request, TimePoint deadline) {
  std::vector<NameHints::Name> names{{request.parent, request.name}};
  NameHints::Name second{request.new_parent, request.new_name};
  const bool together = instance_.same_partition(request.parent, request.new_parent);
  if (together) names.push_back(second);
  Result<std::vector<FoundEntry>> found = co_await find_entries(std::move(names), deadline);
  if (!found) co_return tl::unexpected(found.error());
  std::pair<FoundEntry, FoundEntry> both;
  both.first = std::move(found->front());
  if (together) {
    both.second = std::move(found->back());
    co_return both;
  }
  Result<FoundEntry> target = co_await find_entry(second.first, second.second, deadline);
  if (!target) co_return tl::unexpected(target.error());
  both.second = std::move(*target);
  co_return both;
}

// False: there is nothing to do.
Result<bool> Names::check_rename(const RenameRequest& request, const FoundEntry& from, const FoundEntry& to) {
  if (!from.found) return fail(ErrorCode::not_found);
  if (request.no_replace && to.found) return fail(ErrorCode::exists);
  if (request.exchange && !to.found) return fail(ErrorCode::not_found);
  const bool moves_directory = from.entry.type == S_IFDIR;
  if (moves_directory && from.entry.inode == request.new_parent)
    return fail(ErrorCode::invalid_argument, "into itself");
  if (!to.found) return true;
  if (from.entry.inode == to.entry.inode) return false;  // POSIX: two names of one file, or one name
  const bool onto_directory = to.entry.type == S_IFDIR;
  if (request.exchange) {
    if (onto_directory && to.entry.inode == request.parent) return fail(ErrorCode::invalid_argument, "into itself");
    return true;
  }
  if (onto_directory && to.entry.inode == request.parent) return fail(ErrorCode::not_empty);
  if (moves_directory && !onto_directory) return fail(ErrorCode::not_directory);
  if (!moves_directory && onto_directory) return fail(ErrorCode::is_directory);
  return true;
}

// A directory's orphan row (half_made) must go before its name changes: see create.cpp. False: it changed, look again.
Task<Result<bool>> Names::confirm_before_rename(InodeNumber directory, TimePoint deadline) {
  const RowAddress orphan = orphan_row(directory, store_.partition_bits());
  RowAddress row = orphan;
  Result<ReadReply::Get> half_made = co_await read_row(store_, std::move(row), deadline);
  if (!half_made) co_return tl::unexpected(half_made.error());
  if (!half_made->found) co_return true;
  ChangeSet changes;
  changes.require(Check::inode, is_live_directory(directory));
  changes.change(erase(orphan));
  Result<Outcome> outcome = co_await changes.apply(store_, deadline);
  if (!outcome) co_return tl::unexpected(outcome.error());
  co_return outcome->applied();
}

Task<Status> Names::check_not_inside(InodeNumber moved, InodeNumber destination, TimePoint deadline) {
  InodeNumber place = destination;
  for (unsigned depth = 0; depth < max_depth; ++depth) {
    if (place == moved) co_return fail(ErrorCode::invalid_argument, "into its own subtree");
    if (place == root_inode) co_return Status();
    Result<LoadedInode> loaded = co_await inodes_.read(place, deadline);
    if (!loaded && loaded.error().code == ErrorCode::stale_handle) co_return fail(ErrorCode::not_found, "removed");
    if (!loaded) co_return tl::unexpected(loaded.error());
    if (loaded->row.state != InodeState::live) co_return fail(ErrorCode::not_found, "removed");
    place = loaded->row.parent;
  }
  co_return fail(ErrorCode::corrupt, "directories too deep");
}

void Names::move_entries(ChangeSet& changes, const RenameRequest& request, const FoundEntry& from, const FoundEntry& to,
                         std::int64_t now) const {
  const RowAddress target = entry_row(request.new_parent, request.new_name);
  const bool across = request.parent != request.new_parent;
  changes.require(Check::entry, value_equals(from.row, from.value));
  if (to.found) {
    changes.require(Check::target, value_equals(to.row, to.value));
    if (to.row != target) changes.change(erase(to.row));
  } else {
    hints_.require_no_entry(changes, Check::target, {request.new_parent, request.new_name});
  }
  changes.require(Check::directory, is_live_directory(request.new_parent));
  const RowAddress source = entry_row(request.parent, request.name);
  if (!request.exchange || from.row != source) changes.change(erase(from.row));
  if (request.exchange) changes.change(put(source, to.value));
  changes.change(put(target, from.value));
  touch_directory(changes, request.parent, now);
  if (across) touch_directory(changes, request.new_parent, now);

  std::int64_t links = 0, new_links = 0;  // what the link counts of the two directories change by
  auto moved = [&](const FoundEntry& entry, InodeNumber to_directory) {
    if (instance_.same_partition(entry.entry.inode, request.parent)) {
      move_time(changes, inode_row(entry.entry.inode), InodeRow::changed_offset, now);
    }
    if (entry.entry.type != S_IFDIR || !across) return;
    (to_directory == request.parent ? links : new_links) += 1;
    (to_directory == request.parent ? new_links : links) -= 1;
    changes.require(Check::inode, is_live_directory(entry.entry.inode));
    changes.change(write_u64(inode_row(entry.entry.inode), InodeRow::parent_offset, to_directory));
    changes.change(erase(orphan_row(entry.entry.inode, store_.partition_bits())));
  };
  moved(from, request.new_parent);
  if (request.exchange) {
    moved(to, request.parent);
  } else if (to.found && to.entry.type == S_IFDIR) {
    drop_directory(changes, to.entry.inode, now);
    new_links -= 1;
  }
  if (!across) {
    links += new_links;
    new_links = 0;
  }
  if (links != 0) changes.change(add_i64(inode_row(request.parent), InodeRow::links_offset, links));
  if (new_links != 0) changes.change(add_i64(inode_row(request.new_parent), InodeRow::links_offset, new_links));
}

Task<Result<bool>> Names::rename_once(RenameRequest request, TimePoint deadline) {
  RenameRequest names = request;
  Result<std::pair<FoundEntry, FoundEntry>> both = co_await find_both(std::move(names), deadline);
  if (!both) co_return tl::unexpected(both.error());
  const FoundEntry from = both->first;
  const FoundEntry to = both->second;
  Result<bool> allowed = check_rename(request, from, to);
  if (!allowed) co_return tl::unexpected(allowed.error());
  if (!*allowed) co_return true;

  const bool moves = from.entry.type == S_IFDIR;
  const bool moves_back = request.exchange && to.entry.type == S_IFDIR;
  const bool across = request.parent != request.new_parent;
  const std::int64_t now = instance_.now_ns();
  ChangeSet changes;
  move_entries(changes, request, from, to, now);
  if (to.found && !request.exchange && to.entry.type != S_IFDIR) {
    Result<LoadedInode> replaced = co_await entry_inode(to, deadline);
    if (!replaced && replaced.error().code == ErrorCode::stale_handle) co_return false;
    if (!replaced) co_return tl::unexpected(replaced.error());
    drop_link(changes, to.entry.inode, replaced->row, now);
  }

  std::unique_ptr<Transaction> transaction;
  if (across && (moves || moves_back)) {
    transaction = store_.begin(deadline);
    TransactionPart part;
    part.locks.push_back(directory_move_row());
    Result<CommitReply> locked = co_await transaction->prepare(std::move(part));
    if (!locked) {
      co_await transaction->abort();
      co_return tl::unexpected(locked.error());
    }
    Status outside;
    if (moves) outside = co_await check_not_inside(from.entry.inode, request.new_parent, deadline);
    if (outside && moves_back) outside = co_await check_not_inside(to.entry.inode, request.parent, deadline);
    if (!outside) {
      co_await transaction->abort();
      co_return tl::unexpected(outside.error());
    }
  } else {
    if (moves) {
      Result<bool> confirmed = co_await confirm_before_rename(from.entry.inode, deadline);
      if (!confirmed || !*confirmed) co_return confirmed;
    }
    if (moves_back) {
      Result<bool> confirmed = co_await confirm_before_rename(to.entry.inode, deadline);
      if (!confirmed || !*confirmed) co_return confirmed;
    }
  }

  Result<Outcome> outcome = co_await changes.apply(store_, deadline, transaction.get());
  if (!outcome) co_return tl::unexpected(outcome.error());
  if (outcome->applied()) {
    hints_.names.erase({request.parent, request.name});
    hints_.names.put({request.new_parent, request.new_name}, from.entry.inode);
    if (moves) hints_.directories.erase(from.entry.inode);
    if (to.found) hints_.directories.erase(to.entry.inode);
    co_return true;
  }
  if (outcome->failed == Check::empty) co_return fail(ErrorCode::not_empty);
  if (outcome->failed == Check::directory) {
    Error error = co_await directory_error(request.new_parent, deadline);
    co_return tl::unexpected(error);
  }
  co_return false;
}

}  // namespace ringfs::fs
