// The janitor: removes what nothing refers to any more, one partition at a time, a bounded amount a pass.
//
// Orphans: inodes without a name, after orphan_age and when nobody holds them; half-made directories once the batch that could
// have named them has expired. Garbage: contents of collected or truncated files, chunk by chunk through the segment rows.
// Every removal is conditional on the row that allowed it, so a hold, a confirmation or a rival janitor wins safely.
// Abandoned transactions are not its business: whoever meets an intent resolves it (ObjectStore). Source: design 6.
#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "fs/async.hpp"
#include "fs/attributes.hpp"
#include "fs/change_set.hpp"
#include "fs/keys.hpp"

namespace ringfs {

namespace {

constexpr Duration orphan_age = std::chrono::seconds(35);  // three chances for every mount to hold it (holds.cpp)
// mkdir takes at most max_batch_life until it submits the entry, and that batch lives as long again; and as much to spare.
constexpr Duration half_made_age = 3 * max_batch_life;
// Writers learn of a truncation within 20 s, conversions end within 2 * max_batch_life.
constexpr Duration garbage_age = 3 * max_batch_life;
// Of an orphan that nobody held nobody writes the contents any more: they can go at once, whichever node's janitor looks.
constexpr Duration garbage_margin = std::chrono::seconds(10);
constexpr std::uint32_t rows_per_pass = 256;
constexpr std::size_t segments_per_pass = 8;
constexpr std::size_t parallel_chunks = 8;
constexpr Duration row_limit = std::chrono::seconds(5);

class Pass {
 public:
  Pass(ObjectStore& store, PartitionId partition, TimePoint deadline)
      : store_(store), partition_(partition), deadline_(deadline), now_(store.clock().stamp.microseconds) {}

  // A row that cannot be dealt with (damaged, or its chunks lie where nobody answers) does not keep the others; the first
  // error is what the pass ends with.
  Task<Result<JanitorReport>> run() {
    Result<std::vector<Row>> orphans = co_await list("O/");
    if (!orphans) co_return tl::unexpected(orphans.error());
    for (const Row& stored : *orphans) {
      begin_row();
      Status status = co_await orphan(stored);
      note(status);
    }
    Result<std::vector<Row>> garbage = co_await list("G/");
    if (!garbage) co_return tl::unexpected(garbage.error());
    // From another one each time, so that those that fail do not use up every pass.
    if (!garbage->empty()) {
      std::rotate(garbage->begin(), garbage->begin() + static_cast<std::ptrdiff_t>(store_.random().below(garbage->size())),
                  garbage->end());
    }
    for (const Row& stored : *garbage) {
      begin_row();
      Status status = co_await collect(stored);
      note(status);
      if (segments_ >= segments_per_pass) break;
    }
    if (!first_error_) co_return tl::unexpected(first_error_.error());
    co_return report_;
  }

 private:
  void note(const Status& status) {
    if (!status && first_error_) first_error_ = status;
  }

  // Each row gets a part of the pass's time: one whose chunks lie where nobody answers must leave some for the rest.
  void begin_row() { row_deadline_ = std::min(deadline_, store_.clock().now + row_limit); }

  // Rows of the anchor object, from where nothing was found to do to its end: young rows must not hide old ones.
  Task<Result<std::vector<Row>>> list(std::string prefix) {
    std::vector<Row> due;
    std::string after;
    for (;;) {
      ReadRequest request;
      ReadRequest::Scan scan;
      scan.key = anchor_key(partition_, store_.partition_bits());
      scan.prefix = prefix;
      scan.after = after;
      request.scans.push_back(std::move(scan));
      Result<ReadReply> reply = co_await store_.read(std::move(request), deadline_);
      if (!reply) co_return tl::unexpected(reply.error());
      ReadReply::ScanResult& page = reply->scans.front();
      report_.rows += page.rows.size();
      for (Row& row : page.rows) {
        after = row.sort;
        Result<bool> ripe = is_due(prefix, row);
        if (!ripe) note(tl::unexpected(ripe.error()));
        if (!ripe || !*ripe) continue;
        if (due.size() == rows_per_pass) {
          report_.more = true;
          co_return due;
        }
        due.push_back(std::move(row));
      }
      if (!page.more) co_return due;
    }
  }

  Result<bool> is_due(const std::string& prefix, const Row& stored) const {
    if (prefix == "G/") {
      Result<GarbageRow> row = decode_garbage(stored.value.view());
      if (!row) return tl::unexpected(row.error());
      return now_ - row->since > garbage_age.count();
    }
    Result<OrphanRow> row = decode_orphan(stored.value.view());
    if (!row) return tl::unexpected(row.error());
    const Duration age = row->kind == OrphanRow::Kind::half_made ? half_made_age : orphan_age;
    return now_ - row->since > age.count() && row->hold_until < now_;
  }

  Task<Status> orphan(Row stored) {
    const InodeNumber inode = inode_of(stored.sort);
    const RowAddress address{anchor_key(partition_, store_.partition_bits()), stored.sort};
    Result<OrphanRow> row = decode_orphan(stored.value.view());
    if (!row) co_return tl::unexpected(row.error());
    ChangeSet changes;
    changes.require(Check::other, version_equals(address, stored.version));
    changes.change(erase(address));
    bool remove = true;
    if (row->kind == OrphanRow::Kind::half_made) {
      Result<bool> named = co_await leads_here(*row, inode);
      if (!named) co_return tl::unexpected(named.error());
      remove = !*named;
      if (remove) changes.require(Check::empty, empty_prefix(entry_prefix(inode)));
    }
    if (remove) {
      ReadRequest request;
      request.gets.push_back(inode_row(inode));
      Result<ReadReply> reply = co_await store_.read(std::move(request), row_deadline_);
      if (!reply) co_return tl::unexpected(reply.error());
      const ReadReply::Get& get = reply->gets.front();
      if (get.found) {
        Result<InodeRow> contents = decode_inode(get.row.value.view());
        if (!contents) co_return tl::unexpected(contents.error());
        const bool unlinked = contents->state == InodeState::unlinked;
        // An orphan row of an inode that lives: never made by this code; keep the inode, report it.
        if (!unlinked && row->kind == OrphanRow::Kind::unlinked) co_return fail(ErrorCode::corrupt, "orphan row of a live inode");
        changes.require(Check::contents,
                        bytes_equal(inode_row(inode), InodeRow::content_offset, inode_contents_bytes(*contents)));
        changes.require(Check::inode, bytes_equal(inode_row(inode), InodeRow::type_offset, inode_type_bytes(contents->mode, contents->state)));
        changes.change(erase(inode_row(inode)));
        changes.change(erase(inline_row(inode)));
        changes.change(erase(symlink_row(inode)));
        changes.change(erase(append_lock_row(inode)));
        if (contents->content != 0) {
          changes.change(put(garbage_row(inode, contents->content, store_.partition_bits()),
                             SharedBytes(encode(GarbageRow{now_ - (garbage_age + garbage_margin).count()}))));
        }
      }
    }
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    // Not applied: held, confirmed or collected meanwhile; the next pass sees.
    if (outcome->applied() && remove) ++report_.orphans;
    co_return Status();
  }

  Task<Result<bool>> leads_here(OrphanRow row, InodeNumber inode) {
    ReadRequest request;
    request.gets = {entry_row(row.parent, row.name), old_entry_row(row.parent, row.name)};
    Result<ReadReply> reply = co_await store_.read(std::move(request), row_deadline_);
    if (!reply) co_return tl::unexpected(reply.error());
    for (const ReadReply::Get& get : reply->gets) {
      if (!get.found) continue;
      Result<EntryRow> entry = decode_entry(get.row.value.view());
      if (!entry) co_return tl::unexpected(entry.error());
      if (entry->inode == inode) co_return true;
    }
    co_return false;
  }

  Task<Status> collect(Row stored) {
    const InodeNumber inode = inode_of(stored.sort);
    const std::uint64_t content = stored.sort.size() == 18 ? Reader(std::string_view(stored.sort).substr(10)).u64() : 0;
    if (content == 0) co_return fail(ErrorCode::corrupt, "garbage row");
    const RowAddress prefix = segment_prefix(inode, content);
    ReadRequest request;
    ReadRequest::Scan scan;
    scan.key = prefix.key;
    scan.prefix = prefix.sort;
    scan.max_rows = segments_per_pass;
    request.scans.push_back(std::move(scan));
    Result<ReadReply> reply = co_await store_.read(std::move(request), row_deadline_);
    if (!reply) co_return tl::unexpected(reply.error());
    for (const Row& segment : reply->scans.front().rows) {
      if (segments_ >= segments_per_pass) {
        report_.more = true;
        co_return Status();
      }
      // Counts when it fails, too: a pass that meets many of those must end.
      ++segments_;
      Status status = co_await collect_segment(inode, content, segment);
      if (!status) co_return status;
    }
    if (reply->scans.front().more) {
      report_.more = true;
      co_return Status();
    }
    ChangeSet changes;
    const RowAddress address{anchor_key(partition_, store_.partition_bits()), stored.sort};
    changes.require(Check::other, version_equals(address, stored.version));
    changes.require(Check::empty, empty_prefix(prefix));
    changes.change(erase(address));
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    co_return Status();
  }

  Task<Status> collect_segment(InodeNumber inode, std::uint64_t content, Row stored) {
    const std::uint64_t segment = segment_of(stored.sort);
    const std::vector<std::uint64_t> chunks = marked_chunks(segment, stored.value.view());
    boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
    auto status = std::make_shared<Status>();
    TaskGroup group;
    for (std::uint64_t chunk : chunks) {
      co_await group.wait_below(parallel_chunks);
      group.spawn(executor, erase_chunk(&store_, chunk_key(inode, content, chunk), status, row_deadline_));
    }
    co_await group.join();
    if (!*status) co_return *status;
    report_.chunks += chunks.size();
    ChangeSet changes;
    changes.change(erase(segment_row(inode, content, segment)));
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    co_return Status();
  }

  static Task<void> erase_chunk(ObjectStore* store, std::string key, std::shared_ptr<Status> status, TimePoint deadline) {
    CommitRequest request;
    request.mutations.push_back(erase_prefix({std::move(key), {}}));
    Result<CommitReply> reply = co_await store->commit(std::move(request), deadline);
    if (!reply) *status = tl::unexpected(reply.error());
  }

  ObjectStore& store_;
  const PartitionId partition_;
  const TimePoint deadline_;
  TimePoint row_deadline_{};
  const std::int64_t now_;
  std::size_t segments_ = 0;
  Status first_error_;
  JanitorReport report_;
};

}  // namespace

Task<Result<JanitorReport>> janitor_pass(ObjectStore& store, PartitionId partition, TimePoint deadline) {
  Pass pass(store, partition, deadline);
  Result<JanitorReport> report = co_await pass.run();
  co_return report;
}

}  // namespace ringfs
