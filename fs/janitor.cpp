// The janitor: removes what nothing refers to any more, one partition at a time, a bounded amount a pass.
//
// Orphans: inodes without a name, after orphan_age and if no mount holds them; half-made directories that were never
// finished. Garbage: contents of collected or truncated files, chunk by chunk through the segment rows.
//
// No clock of any node or mount decides. A row's age is counted in the time of the partition's own log, since a claim
// that covers it (claims.hpp). The janitor destroys only on condition that the row is the one that was claimed: a hold,
// a confirmation, the end of a conversion or another janitor wins safely. Where the data lies in other partitions than
// the operation that could still bring it to life, the claim is a row that this operation meets: garbage is written
// anew before its chunks go, and a directory's making is given up in the parent's partition (given_up_row) before its
// inode goes. Abandoned transactions are resolved by the clients that meet them (ObjectStore). Source:
// docs/design.md#the-janitor.
#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "fs/async.hpp"
#include "fs/change_set.hpp"
#include "fs/inode_changes.hpp"
#include "fs/janitor_faults.hpp"
#include "fs/names/attributes.hpp"
#include "fs/names/keys.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

// A log's time may run a tenth fast.
constexpr Duration by_the_log(Duration age) { return age * 11 / 10; }
// Mounts look at what they have open 6 s after their last look has ended, and a look takes 6 s at most (holds.cpp). So
// each has at least two chances to hold an orphan, and four if the ring answers at once. An orphan that was held before
// gets more.
constexpr Duration orphan_age = by_the_log(std::chrono::seconds(25));
constexpr Duration held_age = by_the_log(std::chrono::seconds(90));
// mkdir takes at most max_batch_life until it submits the entry, and that batch lives as long again. As much is spare.
constexpr Duration half_made_age = by_the_log(3 * max_batch_life);
// Writers learn of a truncation at their next look (holds.cpp: every 6 s), conversions end within 2 * max_batch_life.
constexpr Duration garbage_age = by_the_log(3 * max_batch_life);
// A batch of mkdir expires by the time of the partition in which this was written.
constexpr Duration given_up_age = by_the_log(3 * max_batch_life);
static_assert(half_made_age <= longest_age && garbage_age <= longest_age && given_up_age <= longest_age);
constexpr std::uint32_t rows_per_pass = 256;
constexpr std::uint32_t rows_per_page = 1000;  // read at once
constexpr std::size_t segments_per_pass = 8;
constexpr std::size_t parallel_erasures = 8;
constexpr Duration row_limit = std::chrono::seconds(5);

class Pass {
 public:
  Pass(ObjectStore& store, PartitionId partition, RowAges ages, TimePoint deadline, JanitorFaults faults)
      : store_(store), partition_(partition), deadline_(deadline), ages_(std::move(ages)), faults_(faults) {}

  // A row that fails (it is damaged, or its chunks lie where no node answers) does not stop the pass. The pass returns
  // the first error.
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
    // Begins with another one each time, so that rows that fail do not use up every pass.
    if (!garbage->empty()) {
      std::rotate(garbage->begin(),
                  garbage->begin() + static_cast<std::ptrdiff_t>(store_.random().below(garbage->size())),
                  garbage->end());
    }
    for (const Row& stored : *garbage) {
      begin_row();
      Status status = co_await collect(stored);
      note(status);
      if (segments_ >= segments_per_pass) break;
    }
    Result<std::vector<Row>> given_up = co_await list("H/");
    if (!given_up) co_return tl::unexpected(given_up.error());
    for (const Row& stored : *given_up) {
      begin_row();
      Status status = co_await forget_given_up(stored);
      note(status);
    }
    if (!first_error_) co_return tl::unexpected(first_error_.error());
    co_return report_;
  }

 private:
  void note(const Status& status) {
    if (!status && first_error_) first_error_ = status;
  }

  // In the object of the partition's anchor.
  RowAddress anchored(std::string sort) const {
    return {anchor_key(partition_, store_.partition_bits()), std::move(sort)};
  }

  // Each row gets a part of the pass's time, so that a row whose chunks lie where no node answers leaves some.
  void begin_row() { row_deadline_ = std::min(deadline_, store_.clock().now + row_limit); }

  // The due rows of the anchor object. It reads past young ones to the end: they must not hide old ones.
  Task<Result<std::vector<Row>>> list(std::string prefix) {
    std::vector<Row> due;
    std::string after;
    for (;;) {
      ReadRequest::Scan scan = scan_of(anchored(prefix), after, rows_per_page);
      Result<ReadReply::ScanResult> page = co_await scan_rows(store_, std::move(scan), deadline_);
      if (!page) co_return tl::unexpected(page.error());
      report_.rows += page->rows.size();
      for (Row& row : page->rows) {
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
      if (!page->more) co_return due;
    }
  }

  Result<bool> is_due(const std::string& prefix, const Row& stored) const {
    const Duration age = ages_.at_least(stored.version);
    if (prefix == "H/") return age > given_up_age;
    if (prefix == "G/") {
      Result<GarbageRow> row = decode_garbage(stored.value.view());
      if (!row) return tl::unexpected(row.error());
      return row->claimed() || age > garbage_age || faults_.hasty;
    }
    Result<OrphanRow> row = decode_orphan(stored.value.view());
    if (!row) return tl::unexpected(row.error());
    if (row->kind == OrphanRow::Kind::half_made) return age > half_made_age || faults_.hasty;
    return age > (row->holds == 0 ? orphan_age : held_age);
  }

  Task<Status> orphan(Row stored) {
    const InodeNumber inode = inode_of(stored.sort);
    const RowAddress address = anchored(stored.sort);
    Result<OrphanRow> row = decode_orphan(stored.value.view());
    if (!row) co_return tl::unexpected(row.error());
    ChangeSet changes;
    changes.require(Check::other, version_equals(address, stored.version));
    changes.change(erase(address));
    bool remove = true;
    if (row->kind == OrphanRow::Kind::half_made) {
      Result<Making> making = co_await give_up(*row, inode);
      if (!making) co_return tl::unexpected(making.error());
      if (*making == Making::changing) co_return Status();
      remove = *making == Making::given_up;
      if (remove) changes.require(Check::empty, empty_prefix(entry_prefix(inode)));
    }
    if (remove) {
      RowAddress wanted = inode_row(inode);
      Result<ReadReply::Get> get = co_await read_row(store_, std::move(wanted), row_deadline_);
      if (!get) co_return tl::unexpected(get.error());
      if (get->found) {
        Result<InodeRow> contents = decode_inode(get->row.value.view());
        if (!contents) co_return tl::unexpected(contents.error());
        const bool unlinked = contents->state == InodeState::unlinked;
        // An orphan row of a live inode is never made by this code: keep the inode, and report it.
        if (!unlinked && row->kind == OrphanRow::Kind::unlinked)
          co_return fail(ErrorCode::corrupt, "orphan row of a live inode");
        changes.require(Check::contents, contents_are(inode, *contents));
        changes.require(Check::inode, bytes_equal(inode_row(inode), InodeRow::type_offset,
                                                  inode_type_bytes(contents->mode, contents->state)));
        changes.change(erase(inode_row(inode)));
        changes.change(erase(inline_row(inode)));
        changes.change(erase(symlink_row(inode)));
        changes.change(erase(append_lock_row(inode)));
        if (contents->content != 0) {
          // Claimed from the beginning: a mount that could write to it would have held it, and the inode goes in this
          // very batch.
          changes.change(put(garbage_row(inode, contents->content, store_.partition_bits()),
                             SharedBytes(encode(GarbageRow{GarbageRow::claimed_since}))));
        }
      }
    }
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    // Not applied: it was held, confirmed or collected meanwhile. The next pass looks again.
    if (outcome->applied() && remove) ++report_.orphans;
    co_return Status();
  }

  enum class Making { named, given_up, changing };

  // named: the entry leads to the directory. given_up: from now on no entry ever will. changing: the entry changed
  // meanwhile.
  Task<Result<Making>> give_up(OrphanRow row, InodeNumber inode) {
    ReadRequest request;
    request.gets = {entry_row(row.parent, row.name), old_entry_row(row.parent, row.name)};
    const std::vector<RowAddress> names = request.gets;
    Result<ReadReply> reply = co_await store_.read(std::move(request), row_deadline_);
    if (!reply) co_return tl::unexpected(reply.error());
    ChangeSet changes;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const ReadReply::Get& get = reply->gets.at(i);
      changes.require(Check::entry, get.found ? value_equals(names[i], get.row.value) : absent(names[i]));
      if (!get.found) continue;
      Result<EntryRow> entry = decode_entry(get.row.value.view());
      if (!entry) co_return tl::unexpected(entry.error());
      if (entry->inode == inode) co_return Making::named;
    }
    if (faults_.unclaimed) co_return Making::given_up;
    // write_bytes, not put, as for the claim of garbage: full disks accept such a batch, too
    // (dht/core/rows/room_need.hpp).
    changes.change(
        write_bytes(given_up_row(row.parent, inode, store_.partition_bits()), 0, SharedBytes(std::string(1, '\1'))));
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    co_return outcome->applied() ? Making::given_up : Making::changing;
  }

  Task<Status> forget_given_up(Row stored) {
    const RowAddress address = anchored(stored.sort);
    ChangeSet changes;
    changes.require(Check::other, version_equals(address, stored.version));
    changes.change(erase(address));
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    co_return Status();
  }

  // The row's version once it is claimed; 0: it has changed.
  Task<Result<std::uint64_t>> claim_garbage(Row stored) {
    Result<GarbageRow> row = decode_garbage(stored.value.view());
    if (!row) co_return tl::unexpected(row.error());
    if (row->claimed() || faults_.unclaimed) co_return stored.version;
    const RowAddress address = anchored(stored.sort);
    ChangeSet changes;
    changes.require(Check::other, version_equals(address, stored.version));
    changes.change(write_bytes(address, 0, SharedBytes(encode(GarbageRow{GarbageRow::claimed_since}))));
    Result<Outcome> outcome = co_await changes.apply(store_, row_deadline_);
    if (!outcome) co_return tl::unexpected(outcome.error());
    co_return outcome->applied() ? outcome->version : 0;
  }

  Task<Status> collect(Row stored) {
    const InodeNumber inode = inode_of(stored.sort);
    const std::uint64_t content = stored.sort.size() == 18 ? Reader(std::string_view(stored.sort).substr(10)).u64() : 0;
    if (content == 0) co_return fail(ErrorCode::corrupt, "garbage row");
    Result<std::uint64_t> claimed = co_await claim_garbage(stored);
    if (!claimed) co_return tl::unexpected(claimed.error());
    if (*claimed == 0) co_return Status();
    const RowAddress prefix = segment_prefix(inode, content);
    ReadRequest::Scan scan = scan_of(prefix, {}, segments_per_pass);
    Result<ReadReply::ScanResult> segments = co_await scan_rows(store_, std::move(scan), row_deadline_);
    if (!segments) co_return tl::unexpected(segments.error());
    for (const Row& segment : segments->rows) {
      if (segments_ >= segments_per_pass) {
        report_.more = true;
        co_return Status();
      }
      // A failure counts, too: a pass with many failures must end.
      ++segments_;
      Status status = co_await collect_segment(inode, content, segment);
      if (!status) co_return status;
    }
    if (segments->more) {
      report_.more = true;
      co_return Status();
    }
    ChangeSet changes;
    const RowAddress address = anchored(stored.sort);
    changes.require(Check::other, version_equals(address, *claimed));
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
      co_await group.wait_below(parallel_erasures);
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

  static Task<void> erase_chunk(ObjectStore* store, std::string key, std::shared_ptr<Status> status,
                                TimePoint deadline) {
    CommitRequest request;
    request.mutations.push_back(erase_prefix({std::move(key), {}}));
    Result<CommitReply> reply = co_await store->commit(std::move(request), deadline);
    if (!reply) *status = tl::unexpected(reply.error());
  }

  ObjectStore& store_;
  const PartitionId partition_;
  const TimePoint deadline_;
  TimePoint row_deadline_{};
  const RowAges ages_;
  const JanitorFaults faults_;
  std::size_t segments_ = 0;
  Status first_error_;
  JanitorReport report_;
};

}  // namespace

Task<Result<JanitorReport>> janitor_pass(ObjectStore& store, PartitionId partition, RowAges ages, TimePoint deadline) {
  co_return co_await janitor_pass(store, partition, std::move(ages), deadline, JanitorFaults{});
}

Task<Result<JanitorReport>> janitor_pass(ObjectStore& store, PartitionId partition, RowAges ages, TimePoint deadline,
                                         JanitorFaults faults) {
  Pass pass(store, partition, std::move(ages), deadline, faults);
  Result<JanitorReport> report = co_await pass.run();
  co_return report;
}

}  // namespace ringfs::fs
