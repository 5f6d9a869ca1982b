// Conversion to chunks, accounting for them, and cutting them.
#include "fs/contents/chunks.hpp"

#include "fs/inode_changes.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t parallel_cuts = 8;
constexpr std::size_t segments_per_batch = 1000;
constexpr std::size_t max_accounted = 65536;
constexpr std::uint64_t single_chunks = 4;
constexpr std::uint32_t segments_per_page = 16;

// The chunks [first, first + count) of one segment may exist from now on. Two mounts may mark chunks of one row at the
// same time: each writes its own bytes.
Mutation mark_chunks(InodeNumber inode, std::uint64_t content, std::uint64_t first, std::uint64_t count) {
  const auto offset = static_cast<std::uint32_t>(first % segment_chunks);
  return write_bytes(segment_row(inode, content, first / segment_chunks), offset,
                     SharedBytes(std::string(count, '\1')));
}

}  // namespace

Task<Result<bool>> Chunks::convert(OpenPointer open, TimePoint deadline) {
  // The janitor waits for longer than this, so it takes no garbage row of a conversion that is still under way.
  deadline = std::min(deadline, instance_.now() + max_batch_life);
  const InodeNumber inode = open->inode;
  Result<LoadedContents> loaded = co_await open_inodes_.load(open, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  const InodeRow row = loaded->inode.row;
  if (row.content != 0) co_return true;

  const ReadReply::Get stored = loaded->inline_row;
  const std::uint64_t content = store_.random().next() | 1;
  const RowAddress garbage = garbage_row(inode, content, store_.partition_bits());
  const bool copy = stored.found && !stored.row.value.empty();
  std::uint64_t garbage_version = 0;
  if (copy) {
    ChangeSet first;
    first.require(Check::contents, contents_are(inode, row));
    first.change(put(garbage, SharedBytes(encode(GarbageRow{store_.clock().stamp.microseconds}))));
    first.change(mark_chunks(inode, content, 0, 1));
    Result<Outcome> announced = co_await first.apply(store_, deadline);
    if (!announced) co_return tl::unexpected(announced.error());
    if (!announced->applied()) co_return false;
    garbage_version = announced->version;
    ChangeSet chunk;
    chunk.change(put({chunk_key(inode, content, 0), block_sort(0)}, stored.row.value));
    Result<Outcome> written = co_await chunk.apply(store_, deadline);
    if (!written) co_return tl::unexpected(written.error());
  }
  ChangeSet flip;
  flip.require(Check::contents, contents_are(inode, row));
  flip.require(Check::inline_data, version_equals(inline_row(inode), stored.found ? stored.row.version : 0));
  if (copy) {
    // The row is as it was announced: a janitor writes it anew before it touches the chunk.
    flip.require(Check::other, version_equals(garbage, garbage_version));
    flip.change(erase(garbage));
  }
  flip.change(write_u64(inode_row(inode), InodeRow::content_offset, content));
  flip.change(erase(inline_row(inode)));
  Result<Outcome> flipped = co_await flip.apply(store_, deadline);
  if (!flipped) co_return tl::unexpected(flipped.error());
  if (!flipped->applied()) co_return false;
  InodeRow now_chunked = row;
  now_chunked.content = content;
  open_inodes_.adopt(*open, LoadedInode{now_chunked, flipped->version}, nullptr, OpenInodes::Origin::here);
  co_return true;
}

Task<Result<bool>> Chunks::account(OpenPointer open, std::vector<std::uint64_t> chunks, TimePoint deadline) {
  const InodeRow row = open->row;
  std::string contents = inode_contents_bytes(row);
  if (open->accounted_of != contents || open->accounted.size() > max_accounted) {
    open->accounted.clear();
    open->accounted_of = contents;
  }
  // The first chunks are accounted for one by one, so that removing a small file looks for no chunks that never were.
  // Behind them whole segments are, so that a long write commits this rarely. Both are remembered by their first chunk
  // and length.
  std::set<std::pair<std::uint64_t, std::uint64_t>> missing;
  for (std::uint64_t chunk : chunks) {
    const std::uint64_t begin = chunk < single_chunks ? chunk : chunk / segment_chunks * segment_chunks;
    const std::pair<std::uint64_t, std::uint64_t> range{begin, chunk < single_chunks ? 1 : segment_chunks};
    if (!open->accounted.contains(range)) missing.insert(range);
  }
  while (!missing.empty()) {
    ChangeSet changes;
    changes.require(Check::contents, contents_are(open->inode, row));
    std::vector<std::pair<std::uint64_t, std::uint64_t>> batch;
    for (auto range = missing.begin(); range != missing.end() && batch.size() < segments_per_batch;) {
      batch.push_back(*range);
      changes.change(mark_chunks(open->inode, row.content, range->first, range->second));
      range = missing.erase(range);
    }
    Result<Outcome> outcome = co_await changes.apply(store_, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (!outcome->applied()) co_return false;
    if (open->accounted_of == contents) open->accounted.insert(batch.begin(), batch.end());
  }
  co_return true;
}

// Finds what one chunk holds beyond its first `keep` bytes, and prepares the removal on condition of the versions seen.
Task<void> Chunks::plan_cut(std::shared_ptr<Chunks> self, std::string key, std::uint64_t keep,
                            std::shared_ptr<ChangeSet> plan, std::shared_ptr<CutResult> result, TimePoint deadline) {
  const std::uint64_t block = keep / block_bytes;
  const std::size_t rest = keep % block_bytes;
  ReadRequest request;
  request.gets.push_back({key, block_sort(block)});
  ReadRequest::Scan scan;
  scan.key = key;
  scan.max_rows = blocks_per_chunk;
  scan.values = false;
  request.scans.push_back(std::move(scan));
  Result<ReadReply> reply = co_await self->store_.read(std::move(request), deadline);
  if (!reply) {
    result->status = tl::unexpected(reply.error());
    co_return;
  }
  const std::string last = block_sort(block);
  for (const Row& stored : reply->scans.front().rows) {
    const RowAddress row{key, stored.sort};
    if (stored.sort < last) continue;
    if (stored.sort == last && rest != 0) {
      if (reply->gets.front().row.value.size() <= rest) continue;
      plan->change(truncate_row(row, rest));
    } else {
      plan->change(erase(row));
    }
    plan->require(Check::block, version_equals(row, stored.version));
  }
}

Task<void> Chunks::carry_out_cut(std::shared_ptr<Chunks> self, std::shared_ptr<ChangeSet> plan,
                                 std::shared_ptr<CutResult> result, TimePoint deadline) {
  Result<Outcome> outcome = co_await plan->apply(self->store_, deadline);
  if (!outcome) result->status = tl::unexpected(outcome.error());
  if (outcome && !outcome->applied()) result->overtaken = true;
}

// Cuts these chunks to the size in `row`. False: another mount finished this cut, or changed a block; look again.
//
// Another mount may finish the same cut first, and then write new bytes behind the end. So this reads the chunks, then
// checks that the cut is still unfinished (so what it read is older than any new bytes), then removes exactly that.
Task<Result<bool>> Chunks::cut_chunks(OpenPointer open, InodeRow row, std::vector<std::uint64_t> chunks,
                                      TimePoint deadline) {
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  const auto size = static_cast<std::uint64_t>(row.size);
  auto result = std::make_shared<CutResult>();
  std::vector<std::shared_ptr<ChangeSet>> plans;
  TaskGroup looking;
  for (std::uint64_t chunk : chunks) {
    plans.push_back(std::make_shared<ChangeSet>());
    const std::uint64_t keep = size > chunk * chunk_bytes ? size - chunk * chunk_bytes : 0;
    co_await looking.wait_below(parallel_cuts);
    looking.spawn(executor, plan_cut(instance_.alive(this), chunk_key(open->inode, row.content, chunk), keep,
                                     plans.back(), result, deadline));
  }
  co_await looking.join();
  if (!result->status) co_return tl::unexpected(result->status.error());
  Result<LoadedInode> now = co_await inodes_.read(open->inode, deadline);
  if (!now) co_return tl::unexpected(now.error());
  if (inode_extent_bytes(now->row) != inode_extent_bytes(row)) co_return false;
  TaskGroup cutting;
  for (const std::shared_ptr<ChangeSet>& plan : plans) {
    if (plan->empty()) continue;
    co_await cutting.wait_below(parallel_cuts);
    cutting.spawn(executor, carry_out_cut(instance_.alive(this), plan, result, deadline));
  }
  co_await cutting.join();
  if (!result->status) co_return tl::unexpected(result->status.error());
  co_return !result->overtaken;
}

// open->mutex is held. Ends with an even cut or an error.
Task<Status> Chunks::finish_cut(OpenPointer open, TimePoint deadline) {
  Retry retry(store_, deadline);
  for (;;) {
    Status fresh = co_await open_inodes_.refresh(open, deadline);
    if (!fresh) co_return fresh;
    const InodeRow row = open->row;
    if (!row.cutting()) co_return Status();
    Result<bool> done = co_await cut_segments(open, row, deadline);
    if (!done) co_return tl::unexpected(done.error());
    open_inodes_.read_ahead.forget(*open);
    if (*done) {
      ChangeSet finish;
      finish.require(Check::contents, contents_are(open->inode, row));
      finish.change(write_u64(inode_row(open->inode), InodeRow::cut_offset, row.cut + 1));
      Result<Outcome> outcome = co_await finish.apply(store_, deadline);
      if (!outcome) co_return tl::unexpected(outcome.error());
      if (outcome->applied()) {
        InodeRow whole = row;
        whole.cut += 1;
        open_inodes_.adopt(*open, LoadedInode{whole, outcome->version}, nullptr, OpenInodes::Origin::here);
        co_return Status();
      }
    }
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "truncate keeps being overtaken");
  }
}

// Cuts all segments at and behind the end. Their rows are removed page by page, so that the next cut goes on where this
// one was interrupted.
Task<Result<bool>> Chunks::cut_segments(OpenPointer open, InodeRow row, TimePoint deadline) {
  const auto size = static_cast<std::uint64_t>(row.size);
  const std::uint64_t first = size / segment_bytes;
  const RowAddress prefix = segment_prefix(open->inode, row.content);
  std::string after = first == 0 ? std::string() : segment_row(open->inode, row.content, first - 1).sort;
  for (bool more = true; more;) {
    ReadRequest::Scan scan = scan_of(prefix, after, segments_per_page);
    Result<ReadReply::ScanResult> page = co_await scan_rows(store_, std::move(scan), deadline);
    if (!page) co_return tl::unexpected(page.error());
    more = page->more;
    std::vector<std::uint64_t> chunks;
    ChangeSet gone;
    for (const Row& stored : page->rows) {
      const std::uint64_t segment = segment_of(stored.sort);
      after = stored.sort;
      for (std::uint64_t chunk : marked_chunks(segment, stored.value.view())) {
        if (chunk >= size / chunk_bytes) chunks.push_back(chunk);
      }
      if (segment * segment_bytes >= size) gone.change(erase(segment_row(open->inode, row.content, segment)));
    }
    Result<bool> cut = co_await cut_chunks(open, row, std::move(chunks), deadline);
    if (!cut || !*cut) co_return cut;
    if (gone.empty()) continue;
    gone.require(Check::contents, contents_are(open->inode, row));
    Result<Outcome> outcome = co_await gone.apply(store_, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (!outcome->applied()) co_return false;
  }
  co_return true;
}

}  // namespace ringfs::fs
