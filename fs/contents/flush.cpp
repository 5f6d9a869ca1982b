// Write-behind and flush: from the write buffer to the ring.
//
// The order: segments are accounted for, chunks are written in parallel, then one commit publishes size, time and
// change counter. Full chunks, and the dirty bytes before them, are sent in the background. At most
// publish_window_chunks are sent before they are published, so that other mounts see a long write grow and memory is
// released. The bytes that are published are always the first of the dirty ones, so no size is visible before the bytes
// under it. If the writer is overtaken (Check::contents fails), all that was sent becomes dirty again, and it looks
// anew.
#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "fs/contents/file_writer.hpp"
#include "fs/inode_changes.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t parallel_chunks = 16;
constexpr std::size_t publish_window_chunks = 16;
constexpr std::size_t items_per_batch = 1000;  // keys and overheads stay within max_batch_bytes beside 1 MiB of data

// One batch's worth of a chunk's dirty bytes.
class ChunkBatches {
 public:
  explicit ChunkBatches(std::string key) : key_(std::move(key)) {}

  void add(const std::vector<Extent>& extents) {
    for (std::size_t i = 0; i < extents.size();) {
      const std::uint64_t block = extents[i].offset / block_bytes;
      std::size_t end = i, bytes = 0;
      while (end < extents.size() && extents[end].offset / block_bytes == block) bytes += extents[end++].bytes.size();
      const RowAddress row{key_, block_sort(block % blocks_per_chunk)};
      if (bytes == block_bytes) {
        next().push_back(put(row, end == i + 1 ? extents[i].bytes : joined(extents, i, end)));
      } else {
        for (std::size_t j = i; j < end; ++j) {
          auto offset = static_cast<std::uint32_t>(extents[j].offset % block_bytes);
          next().push_back(write_bytes(row, offset, extents[j].bytes));
        }
      }
      i = end;
    }
  }

  std::vector<std::vector<Mutation>>& batches() { return batches_; }

 private:
  std::vector<Mutation>& next() {
    if (batches_.empty() || batches_.back().size() >= items_per_batch) batches_.emplace_back();
    return batches_.back();
  }
  static SharedBytes joined(const std::vector<Extent>& extents, std::size_t begin, std::size_t end) {
    std::string whole;
    whole.reserve(block_bytes);
    for (std::size_t i = begin; i < end; ++i) whole.append(extents[i].bytes.view());
    return SharedBytes(std::move(whole));
  }

  std::string key_;
  std::vector<std::vector<Mutation>> batches_;
};

}  // namespace

class FileWriter::Counted {
 public:
  Counted(FileWriter& writer, const OpenInode& open) : writer_(writer), open_(open), before_(open.buffer.cost()) {}
  ~Counted() {
    const std::size_t after = open_.buffer.cost();
    writer_.dirty_bytes_ = writer_.dirty_bytes_ + after - before_;
    if (after < before_) writer_.room_.notify();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  FileWriter& writer_;
  const OpenInode& open_;
  const std::size_t before_;
};

void FileWriter::publish(ChangeSet& changes, const OpenInode& open, std::optional<std::int64_t> modified,
                         bool clears_set_id) const {
  const RowAddress row = inode_row(open.inode);
  changes.require(Check::change, bytes_equal(row, InodeRow::change_offset, encode_i64(open.row.change)));
  changes.change(max_i64(row, InodeRow::size_offset, static_cast<std::int64_t>(open.buffer.sent_end())));
  if (clears_set_id) clear_set_id(changes, open.inode, open.row);
  add_times(changes, open, modified, instance_.now_ns());
}

void FileWriter::note_published(OpenInode& open, std::optional<std::int64_t> modified, bool cleared_set_id,
                                std::uint64_t version) {
  if (open.version < version) {  // else the row was read since, with this commit in it
    open.row.size = std::max(open.row.size, static_cast<std::int64_t>(open.buffer.sent_end()));
    open.row.change += 1;
    note_times(open.row, open, modified, instance_.now_ns());
    if (cleared_set_id) open.row.mode = without_set_id(open.row.mode);
    open.version = version;
  }
  if (open.unpublished_modified == modified) open.unpublished_modified.reset();
  {
    const Counted counted(*this, open);
    open.buffer.published();
  }
  if (!open.buffer.has_dirty()) open.clears_set_id = false;
}

void FileWriter::drop_buffer(OpenInode& open) {
  const Counted counted(*this, open);
  open.buffer.clear();
  open.unpublished_modified.reset();
  open.dirty_since.reset();
  open.clears_set_id = false;
}

void FileWriter::buffer(OpenInode& open, std::uint64_t offset, const SharedBytes& bytes, bool clears_set_id) {
  const Counted counted(*this, open);
  open.buffer.write(offset, bytes);
  open.unpublished_modified = write_time(open, instance_.now_ns());
  if (clears_set_id) open.clears_set_id = true;
  if (!open.dirty_since) open.dirty_since = instance_.now();
  open_inodes_.note_unsettled(open.inode);
}

std::vector<Extent> FileWriter::take(OpenInode& open, std::uint64_t chunk) {
  const Counted counted(*this, open);
  return open.buffer.take(chunk);
}

void FileWriter::unsend(OpenInode& open) {
  const Counted counted(*this, open);
  open.buffer.unsend();
}

Task<Result<bool>> FileWriter::publish_inline(OpenPointer open, TimePoint deadline) {
  std::vector<Extent> extents = take(*open, 0);
  const std::optional<std::int64_t> modified = open->unpublished_modified;
  const RowAddress data = inline_row(open->inode);
  const std::uint64_t epoch_version = open->version;
  const bool clears = open->clears_set_id;
  std::uint64_t version = 0;
  for (std::size_t i = 0; i < extents.size();) {
    ChangeSet changes;
    changes.require(Check::contents, contents_are(open->inode, open->row));
    for (std::size_t count = 0; i < extents.size() && count < items_per_batch; ++i, ++count) {
      changes.change(write_bytes(data, static_cast<std::uint32_t>(extents[i].offset), extents[i].bytes));
    }
    if (i == extents.size()) publish(changes, *open, modified, clears);
    Result<Outcome> outcome = co_await open_inodes_.commit_own(open, changes, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (!outcome->applied()) co_return false;
    version = outcome->version;
  }
  // The row was read meanwhile, before or after this commit. So the next reader reads the inline bytes again.
  if (open->version != epoch_version) open->inline_known = false;
  if (open->inline_known) {
    std::string bytes = open->inline_bytes.str();
    for (const Extent& extent : extents) {
      if (bytes.size() < extent.offset + extent.bytes.size()) bytes.resize(extent.offset + extent.bytes.size(), '\0');
      bytes.replace(extent.offset, extent.bytes.size(), extent.bytes.view());
    }
    open->inline_bytes = SharedBytes(std::move(bytes));
  }
  note_published(*open, modified, clears, version);
  co_return true;
}

Task<void> FileWriter::send_chunk(std::shared_ptr<FileWriter> self, OpenPointer open, std::uint64_t content,
                                  std::uint64_t chunk, std::shared_ptr<Status> status, TimePoint deadline) {
  ChunkBatches batches(chunk_key(open->inode, content, chunk));
  batches.add(self->take(*open, chunk));
  for (std::vector<Mutation>& mutations : batches.batches()) {
    CommitRequest request;
    request.mutations = std::move(mutations);
    Result<CommitReply> reply = co_await self->store_.commit(std::move(request), deadline);
    if (!reply) {
      *status = tl::unexpected(reply.error());
      break;
    }
  }
  self->open_inodes_.read_ahead.forget(*open, chunk);
}

Task<Result<bool>> FileWriter::send_and_publish(OpenPointer open, std::vector<std::uint64_t> chunks,
                                                TimePoint deadline) {
  // The contents that the chunks are sent for. adopt() may learn of others meanwhile; then the commit below must fail.
  const Condition unchanged = contents_are(open->inode, open->row);
  const std::uint64_t content = open->row.content;
  Result<bool> accounted = co_await chunks_.account(open, chunks, deadline);
  if (!accounted || !*accounted) co_return accounted;
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  const std::optional<std::int64_t> modified = open->unpublished_modified;
  auto status = std::make_shared<Status>();
  TaskGroup sending;
  for (std::uint64_t chunk : chunks) {
    co_await sending.wait_below(parallel_chunks);
    if (!*status) break;
    sending.spawn(executor, send_chunk(instance_.alive(this), open, content, chunk, status, deadline));
  }
  co_await sending.join();
  if (!*status) co_return tl::unexpected(status->error());
  Retry retry(store_, deadline);
  for (;;) {
    const bool clears = open->clears_set_id;
    ChangeSet changes;
    changes.require(Check::contents, unchanged);
    publish(changes, *open, modified, clears);
    Result<Outcome> outcome = co_await open_inodes_.commit_own(open, changes, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (outcome->applied()) {
      note_published(*open, modified, clears, outcome->version);
      co_return true;
    }
    if (outcome->failed == Check::contents) co_return false;
    // Another mount changed bytes, the size or the mode: what was sent still counts, and the row is read again.
    Status fresh = co_await open_inodes_.refresh(open, deadline);
    if (!fresh) co_return tl::unexpected(fresh.error());
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "the file keeps changing");
  }
}

Task<Status> FileWriter::write_out(OpenPointer open, Sending what, TimePoint deadline) {
  if (open->buffer.empty() && !open->mutex.locked()) co_return Status();
  Lock lock = co_await open->mutex.lock(store_, deadline);
  if (!lock) co_return fail(ErrorCode::timeout, "file is busy");
  Status status = co_await write_out_locked(open, what, deadline);
  co_return status;
}

Task<Status> FileWriter::write_out_locked(OpenPointer open, Sending what, TimePoint deadline) {
  // Only a coroutine that was cancelled halfway leaves sent bytes behind.
  unsend(*open);
  const TimePoint began = instance_.now();
  Retry retry(store_, deadline);
  for (bool look = !open->known;;) {
    if (look) {
      Status fresh = co_await open_inodes_.refresh(open, deadline);
      if (!fresh) co_return fresh;
      look = false;
    }
    if (!open->buffer.has_dirty()) {
      open->dirty_since.reset();
      co_return Status();
    }
    if (what == Sending::full_chunks && !open->buffer.has_full_chunk()) co_return Status();
    Result<bool> done = false;
    if (open->row.content == 0 && open->buffer.end() <= inline_limit) {
      done = co_await publish_inline(open, deadline);
    } else if (open->row.content == 0) {
      done = co_await chunks_.convert(open, deadline);
      if (done && *done) continue;
    } else if (open->row.cutting()) {
      Status finished = co_await chunks_.finish_cut(open, deadline);
      if (!finished) co_return finished;
      continue;
    } else {
      std::vector<std::uint64_t> chunks =
          what == Sending::everything ? open->buffer.dirty_chunks() : open->buffer.finished_chunks();
      if (what == Sending::full_chunks && chunks.size() > publish_window_chunks) chunks.resize(publish_window_chunks);
      done = co_await send_and_publish(open, std::move(chunks), deadline);
    }
    // One window a call, so that a long write is many calls with a deadline each. background() starts the next call.
    if (done && *done) {
      if (!open->buffer.has_dirty()) {
        open->dirty_since.reset();
      } else if (what == Sending::everything) {
        open->dirty_since = began;  // what is dirty now was written since
      }
      co_return Status();
    }
    unsend(*open);
    if (!done) {
      // Whether the commit happened is unknown; the next try starts from what the ring says.
      open->known = false;
      co_return tl::unexpected(done.error());
    }
    look = true;
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "the file keeps changing");
  }
}

void FileWriter::start_background(const OpenPointer& open, Sending what) {
  if (open->background_running || instance_.stopping()) return;
  open->background_running = true;
  instance_.spawn(background(instance_.alive(this), open, what));
}

Task<void> FileWriter::background(std::shared_ptr<FileWriter> self, OpenPointer open, Sending what) {
  ++open->users;
  ++self->background_writes_;
  Status status = co_await self->write_out(open, what, self->instance_.deadline());
  --self->background_writes_;
  open->background_running = false;
  if (!status) {
    open->error = status.error();
    ++open->error_number;
    if (open->dirty_since) open->dirty_since = self->instance_.now();  // the next try comes as late as the first one
  }
  self->room_.notify();
  if (status && open->buffer.has_full_chunk()) self->start_background(open, Sending::full_chunks);
  self->open_inodes_.unpin(open);
}

OpenPointer FileWriter::heaviest() const {
  OpenPointer result;
  for (const auto& [inode, open] : open_inodes_.all()) {
    if (open->background_running || open->buffer.empty()) continue;
    // Files that failed before come last.
    bool better = !result || (result->error && !open->error) ||
                  (result->error.has_value() == open->error.has_value() && open->buffer.cost() > result->buffer.cost());
    if (better) result = open;
  }
  return result;
}

Task<Status> FileWriter::wait_for_room(OpenPointer open, std::size_t bytes, TimePoint deadline) {
  const std::uint64_t errors = open->error_number;
  Retry retry(store_, deadline);
  // A single write that is larger than the limit gets through alone.
  while (dirty_bytes_ > 0 && dirty_bytes_ + bytes > instance_.options.max_dirty_bytes) {
    OpenPointer victim = heaviest();
    if (victim && victim->error) {
      bool again = co_await retry.again();
      if (!again) co_return fail(ErrorCode::timeout, "no room for written data");
    }
    if (victim) start_background(victim, Sending::everything);
    bool notified = co_await room_.wait(store_, deadline);
    if (open->error_number != errors && open->error) co_return tl::unexpected(*open->error);
    if (!notified) co_return fail(ErrorCode::timeout, "no room for written data");
  }
  co_return Status();
}

Task<Status> FileWriter::flush(OpenPointer open, TimePoint deadline) {
  Status status = co_await write_out(open, Sending::everything, deadline);
  // Everything that an earlier failure left behind is durable now.
  if (status) open->error.reset();
  co_return status;
}

}  // namespace ringfs::fs
