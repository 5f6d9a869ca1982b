// Moving the entries of a directory of a former format to their new places.
#include "fs/names/old_directories.hpp"

#include "fs/inode_changes.hpp"
#include "fs/names/entry_order.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

constexpr std::uint32_t entries_per_batch =
    512;  // three rows of a batch each, 300 bytes at most: half of what a batch may hold
constexpr std::size_t max_conversions = 4;  // side by side; others wait for their next listing

}  // namespace

void OldDirectories::start_conversion(InodeNumber directory) {
  if (instance_.stopping() || converting_.size() >= max_conversions || !converting_.insert(directory).second) return;
  instance_.spawn(run_conversion(instance_.alive(this), directory));
}

Task<void> OldDirectories::run_conversion(std::shared_ptr<OldDirectories> self, InodeNumber directory) {
  // Each turn has a deadline of its own. After a failure the directory is as readable as before.
  for (bool more = true; more && !self->instance_.stopping();) {
    Result<bool> some = co_await self->convert_some(directory, self->instance_.deadline());
    more = some && *some;
  }
  self->converting_.erase(directory);
}

Task<Status> OldDirectories::convert(InodeNumber directory, TimePoint deadline) {
  for (;;) {
    Result<bool> some = co_await convert_some(directory, deadline);
    if (!some) co_return tl::unexpected(some.error());
    if (!*some) co_return Status();
    if (instance_.now() >= deadline)
      co_return fail(ErrorCode::timeout, "the directory is being brought into its new order");
  }
}

Task<Result<bool>> OldDirectories::convert_some(InodeNumber directory, TimePoint deadline) {
  const RowAddress old_places = old_entry_prefix(directory);
  Retry retry(store_, deadline);
  for (;;) {
    ReadRequest::Scan scan = scan_of(old_places, {}, entries_per_batch);
    Result<ReadReply::ScanResult> page = co_await scan_rows(store_, std::move(scan), deadline);
    if (!page) co_return tl::unexpected(page.error());
    const std::vector<Row>& rows = page->rows;
    ChangeSet changes;
    changes.require(Check::directory, is_live_directory(directory));
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
      if (rows.empty()) hints_.directories.erase(directory);
      co_return !rows.empty();
    }
    if (outcome && outcome->failed == Check::directory) co_return false;  // it was removed
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "the directory's entries keep changing");
  }
}

}  // namespace ringfs::fs
