// Reading stored bytes, reading ahead, and laying over them what waits to be written.
#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "fs/contents/file_reader.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

constexpr std::uint64_t read_ahead_chunks = 4;
constexpr std::size_t large_read = std::size_t{128} * 1024;  // a reader of such pieces is taken as sequential at once
constexpr std::size_t max_read_bytes = 16 << 20;

SharedBytes zeros(std::size_t size) {
  static const SharedBytes block(std::string(block_bytes, '\0'));
  return SharedBytes(block, 0, size);
}

// Puts extents together into pieces without gaps. Where they overlap, later ones count.
std::vector<SharedBytes> assemble(std::uint64_t offset, std::uint64_t end, const std::vector<Extent>& extents) {
  ExtentMap map;
  for (const Extent& extent : extents) map.insert(extent.offset, extent.bytes);
  std::vector<SharedBytes> pieces;
  std::uint64_t place = offset;
  auto fill = [&](std::uint64_t until) {
    while (place < until) {
      std::size_t part = std::min<std::uint64_t>(until - place, block_bytes);
      pieces.push_back(zeros(part));
      place += part;
    }
  };
  for (Extent& extent : map.slice(offset, end)) {
    fill(extent.offset);
    place += extent.bytes.size();
    pieces.push_back(std::move(extent.bytes));
  }
  fill(end);
  return pieces;
}

}  // namespace

Task<Result<std::shared_ptr<const StoredChunk>>> FileReader::load_blocks(OpenPointer open, std::uint64_t chunk,
                                                                         std::uint64_t first, std::uint64_t last,
                                                                         TimePoint deadline) {
  const std::string key = chunk_key(open->inode, open->row.content, chunk);
  ReadRequest request;
  for (std::uint64_t block = first; block <= last; ++block) request.gets.push_back({key, block_sort(block)});
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  auto stored = std::make_shared<StoredChunk>();
  for (std::uint64_t block = first; block <= last; ++block) {
    const ReadReply::Get& get = reply->gets[block - first];
    if (!get.found) continue;
    if (get.row.value.size() > block_bytes) co_return fail(ErrorCode::corrupt, "block");
    stored->blocks[block] = get.row.value;
  }
  co_return std::shared_ptr<const StoredChunk>(stored);
}

void FileReader::start_read_ahead(const OpenPointer& open, std::uint64_t chunk) {
  if (instance_.stopping()) return;
  if (std::shared_ptr<Event> arrived = open_inodes_.read_ahead.begin(*open, chunk)) {
    instance_.spawn(run_read_ahead(instance_.alive(this), open, chunk, arrived));
  }
}

Task<void> FileReader::run_read_ahead(std::shared_ptr<FileReader> self, OpenPointer open, std::uint64_t chunk,
                                      std::shared_ptr<Event> arrived) {
  const std::uint64_t epoch = open->read_epoch;
  Result<std::shared_ptr<const StoredChunk>> stored =
      co_await self->load_blocks(open, chunk, 0, blocks_per_chunk - 1, self->instance_.deadline());
  // An error is dropped: the reader that comes here asks again, and gets its own.
  const bool good = stored && open->read_epoch == epoch;
  self->open_inodes_.read_ahead.end(*open, chunk, arrived, good ? *stored : nullptr);
}

// Within one chunk.
Task<Result<std::vector<Extent>>> FileReader::read_from_chunk(OpenPointer open, std::uint64_t offset, std::size_t size,
                                                              bool sequential, TimePoint deadline) {
  const std::uint64_t chunk = offset / chunk_bytes;
  const std::uint64_t begin = chunk * chunk_bytes;
  const std::uint64_t first = (offset - begin) / block_bytes;
  const std::uint64_t last = (offset + size - 1 - begin) / block_bytes;
  std::shared_ptr<const StoredChunk> stored;
  if (sequential) start_read_ahead(open, chunk);
  if (auto cached = open->read_ahead.find(chunk); cached != open->read_ahead.end()) {
    if (!cached->second.chunk) {
      std::shared_ptr<Event> arrived = cached->second.arrived;
      bool notified = co_await arrived->wait(instance_.store, deadline);
      if (!notified) co_return fail(ErrorCode::timeout, "read");
      cached = open->read_ahead.find(chunk);
    }
    if (cached != open->read_ahead.end()) stored = cached->second.chunk;
  }
  if (!stored) {
    Result<std::shared_ptr<const StoredChunk>> loaded = co_await load_blocks(open, chunk, first, last, deadline);
    if (!loaded) co_return tl::unexpected(loaded.error());
    stored = *loaded;
  }
  std::vector<Extent> extents;
  for (std::uint64_t block = first; block <= last; ++block) {
    const std::uint64_t block_begin = begin + block * block_bytes;
    const SharedBytes& bytes = stored->blocks[block];
    const std::uint64_t from = std::max(offset, block_begin);
    const std::uint64_t to = std::min(offset + size, block_begin + bytes.size());
    if (from < to) extents.push_back({from, SharedBytes(bytes, from - block_begin, to - from)});
  }
  co_return extents;
}

Task<void> FileReader::run_read_part(std::shared_ptr<FileReader> self, OpenPointer open, std::uint64_t offset,
                                     std::size_t size, bool sequential,
                                     std::shared_ptr<Result<std::vector<Extent>>> result, TimePoint deadline) {
  *result = co_await self->read_from_chunk(open, offset, size, sequential, deadline);
}

// What the ring has of [offset, offset + size), up to the size in the known row.
Task<Result<std::vector<Extent>>> FileReader::read_stored(OpenPointer open, std::uint64_t offset, std::size_t size,
                                                          bool sequential, TimePoint deadline) {
  std::vector<Extent> extents;
  const std::uint64_t end = std::min<std::uint64_t>(offset + size, static_cast<std::uint64_t>(open->row.size));
  if (offset >= end) co_return extents;
  if (open->row.content == 0) {
    const std::uint64_t last = std::min<std::uint64_t>(end, open->inline_bytes.size());
    if (offset < last) extents.push_back({offset, SharedBytes(open->inline_bytes, offset, last - offset)});
    co_return extents;
  }
  const std::uint64_t last_chunk = (end - 1) / chunk_bytes;
  if (offset / chunk_bytes == last_chunk) {
    Result<std::vector<Extent>> only = co_await read_from_chunk(open, offset, end - offset, sequential, deadline);
    co_return only;
  }
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  TaskGroup group;
  std::vector<std::shared_ptr<Result<std::vector<Extent>>>> results;
  for (std::uint64_t place = offset; place < end;) {
    const std::uint64_t until = std::min(end, (place / chunk_bytes + 1) * chunk_bytes);
    results.push_back(std::make_shared<Result<std::vector<Extent>>>());
    group.spawn(executor,
                run_read_part(instance_.alive(this), open, place, until - place, sequential, results.back(), deadline));
    place = until;
  }
  co_await group.join();
  for (const auto& result : results) {
    if (!*result) co_return tl::unexpected(result->error());
    std::move((*result)->begin(), (*result)->end(), std::back_inserter(extents));
  }
  co_return extents;
}

// A commit of ours may overtake the answer to a read: then the row stays the newer one, and its inline bytes are still
// unknown.
Task<Status> FileReader::know_contents(OpenPointer open, bool look, TimePoint deadline) {
  auto unknown = [&open] { return !open->known || (open->row.content == 0 && !open->inline_known); };
  for (look = look || unknown(); look; look = unknown()) {
    if (instance_.now() >= deadline) co_return fail(ErrorCode::timeout, "the file keeps changing");
    Status fresh = co_await open_inodes_.refresh(open, deadline);
    if (!fresh) co_return fresh;
  }
  co_return Status();
}

// Bytes that are published meanwhile leave the buffer, perhaps before this reads the ring. So it looks at the buffer
// before and after.
Task<Result<std::vector<SharedBytes>>> FileReader::read_range(OpenPointer open, std::uint64_t offset, std::uint64_t end,
                                                              bool sequential, TimePoint deadline) {
  std::vector<Extent> over = open->buffer.overlay(offset, end);
  Result<std::vector<Extent>> stored = co_await read_stored(open, offset, end - offset, sequential, deadline);
  if (!stored) co_return tl::unexpected(stored.error());
  std::vector<Extent> extents = std::move(*stored);
  std::move(over.begin(), over.end(), std::back_inserter(extents));
  std::vector<Extent> newer = open->buffer.overlay(offset, end);
  std::move(newer.begin(), newer.end(), std::back_inserter(extents));
  co_return assemble(offset, end, extents);
}

Task<Result<ReadResult>> FileReader::read(OpenPointer open, ReadPosition& position, bool cached, std::uint64_t offset,
                                          std::size_t size, TimePoint deadline) {
  size = std::min(size, max_read_bytes);
  ReadResult result;
  if (size == 0) co_return result;
  if (offset > max_file_bytes) co_return result;
  // Another mount may have appended: the row is read again before an end of file is reported.
  Status fresh = co_await know_contents(open, offset >= open->end(), deadline);
  if (!fresh) co_return tl::unexpected(fresh.error());
  const bool near = offset + chunk_bytes >= position.next_offset && offset <= position.next_offset + chunk_bytes;
  position.sequential_reads = near ? position.sequential_reads + 1 : 0;
  position.next_offset = offset + size;
  const bool sequential = near && (position.sequential_reads > 1 || size >= large_read);
  std::uint64_t end = 0;
  do {
    fresh = co_await know_contents(open, false, deadline);
    if (!fresh) co_return tl::unexpected(fresh.error());
    end = std::min(open->end(), offset + size);
    if (offset >= end) break;
    Result<std::vector<SharedBytes>> pieces = co_await read_range(open, offset, end, sequential, deadline);
    if (!pieces) co_return tl::unexpected(pieces.error());
    result.pieces = std::move(*pieces);
    // The kernel heard of a larger size meanwhile, and would take the rest of its page for zeros.
  } while (cached && end < std::min({offset + size, open->kernel.told, open->end()}));
  if (cached && end < offset + size) open->kernel.note_read(end);
  if (offset >= end) co_return result;

  if (sequential && open->row.content != 0) {
    const std::uint64_t next = end / chunk_bytes;  // the chunk that the next read begins in
    open_inodes_.read_ahead.forget_before(*open, next);
    const auto stored_end = static_cast<std::uint64_t>(open->row.size);
    for (std::uint64_t chunk = next; chunk < next + read_ahead_chunks && chunk * chunk_bytes < stored_end; ++chunk) {
      start_read_ahead(open, chunk);
    }
  }
  co_return result;
}

}  // namespace ringfs::fs
