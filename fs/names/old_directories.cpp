// Directories of formats before, whose entries lie in the order of their names (docs/file-system-format.md).
//
// Whoever opens one for listing brings its entries to their new places, some at a time and beside its work; when none
// is left in an old place, the directory's inode says so, and nobody looks there again. Until then every operation
// looks in both places, new entries are only made in the new ones, and an entry is in one place at any time. Whatever
// ends a conversion early, the next listing goes on with it.
#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

constexpr std::uint32_t entries_per_batch =
    512;  // three rows of a batch each, 300 bytes at most: half of what a batch may hold
constexpr std::size_t max_conversions = 4;  // side by side; of further directories the next listing takes care

}  // namespace

void Volume::start_conversion(InodeNumber directory) {
  if (stopping_ || converting_.size() >= max_conversions || !converting_.insert(directory).second) return;
  tasks_.spawn(executor_, run_conversion(shared_from_this(), directory));
}

Task<void> Volume::run_conversion(std::shared_ptr<Volume> self, InodeNumber directory) {
  // Each turn has a deadline of its own. A failure is not lost: the directory stays as it is, and readable.
  for (bool more = true; more && !self->stopping_;) {
    Result<bool> some = co_await self->convert_some(directory, self->deadline());
    more = some && *some;
  }
  self->converting_.erase(directory);
}

Task<Status> Volume::convert_entries(InodeNumber directory, TimePoint deadline) {
  for (;;) {
    Result<bool> some = co_await convert_some(directory, deadline);
    if (!some) co_return tl::unexpected(some.error());
    if (!*some) co_return Status();
    if (store_.clock().now >= deadline)
      co_return fail(ErrorCode::timeout, "the directory is being brought into its new order");
  }
}

Task<Result<bool>> Volume::convert_some(InodeNumber directory, TimePoint deadline) {
  const RowAddress old_places = old_entry_prefix(directory);
  Retry retry(store_, deadline);
  for (;;) {
    ReadRequest request;
    ReadRequest::Scan scan;
    scan.key = old_places.key;
    scan.prefix = old_places.sort;
    scan.max_rows = entries_per_batch;
    request.scans.push_back(std::move(scan));
    Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    const std::vector<Row>& rows = reply->scans.front().rows;
    ChangeSet changes;
    changes.require(Check::directory, bytes_equal(inode_row(directory), InodeRow::type_offset,
                                                  inode_type_bytes(S_IFDIR, InodeState::live)));
    for (const Row& row : rows) {
      const RowAddress from{old_places.key, row.sort};
      RowAddress to = entry_row(directory, entry_name(row.sort));
      changes.require(Check::entry, value_equals(from, row.value));
      changes.change(erase(from));
      changes.change(put(std::move(to), row.value));
    }
    if (rows.empty()) {
      changes.require(Check::empty, empty_prefix(old_places));
      changes.change(write_bytes(inode_row(directory), InodeRow::format_offset, SharedBytes(inode_by_hash_bytes())));
    }
    Result<Outcome> outcome = co_await changes.apply(store_, deadline);
    if (!outcome && !Retry::worthwhile(outcome.error())) co_return tl::unexpected(outcome.error());
    if (outcome && outcome->applied()) {
      if (rows.empty()) directories_seen_.erase(directory);
      co_return !rows.empty();
    }
    if (outcome && outcome->failed == Check::directory) co_return false;  // it was removed
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "the directory's entries keep changing");
  }
}

}  // namespace ringfs::fs
