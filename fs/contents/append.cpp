// O_APPEND: whole writes at the file's true end, from any mount, durable when write() returns.
//
// Inline files: one batch on condition of the size. Chunked files: an append lock (a row beside the inode with a time
// to live) serialises appenders. A holder that is too slow does no harm: it reads the versions of the chunk's rows,
// then checks that it still holds the lock, then writes on condition of those versions, and publishes on condition of
// the lock. The first write of another mount that took the lock over goes to the same place, so then both conditions
// fail.
#include <algorithm>

#include "fs/contents/file_writer.hpp"
#include "fs/inode_changes.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

constexpr Duration append_lock_life = std::chrono::seconds(10);

// Measures for how long a row has had the same version.
struct Sighting {
  std::uint64_t version = 0;
  TimePoint first{};

  Duration seen(std::uint64_t now_version, TimePoint now) {
    if (version != now_version) {
      version = now_version;
      first = now;
    }
    return now - first;
  }
};

}  // namespace

Task<Result<std::uint64_t>> FileWriter::append(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                               TimePoint deadline) {
  Lock lock = co_await open->mutex.lock(store_, deadline);
  if (!lock) co_return fail(ErrorCode::timeout, "file is busy");
  // Bytes that were written through other handles of this instance come before the append.
  Status flushed = co_await write_out_locked(open, Sending::everything, deadline);
  if (!flushed) co_return tl::unexpected(flushed.error());
  open_inodes_.kernel_cached.erase(open->inode);
  Retry retry(store_, deadline);
  for (bool look = !open->known;;) {
    if (look) {
      Status fresh = co_await open_inodes_.refresh(open, deadline);
      if (!fresh) co_return tl::unexpected(fresh.error());
    }
    const std::uint64_t end = static_cast<std::uint64_t>(open->row.size) + bytes.size();
    if (end > max_file_bytes) co_return fail(ErrorCode::file_too_large);
    Result<std::uint64_t> done = overtaken;
    if (open->row.content == 0 && end <= inline_limit) {
      done = co_await append_inline(open, bytes, clears_set_id, deadline);
    } else if (open->row.content == 0) {
      Result<bool> converted = co_await chunks_.convert(open, deadline);
      if (converted && *converted) continue;
      if (!converted) done = tl::unexpected(converted.error());
    } else if (open->row.cutting()) {
      Status finished = co_await chunks_.finish_cut(open, deadline);
      if (!finished) co_return tl::unexpected(finished.error());
      continue;
    } else {
      done = co_await append_chunks(open, bytes, clears_set_id, deadline);
    }
    if (!done) {
      open->known = false;
      co_return tl::unexpected(done.error());
    }
    if (*done != overtaken) co_return *done;
    look = true;
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "the file keeps changing");
  }
}

Task<Result<std::uint64_t>> FileWriter::append_inline(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                                      TimePoint deadline) {
  const auto offset = static_cast<std::uint32_t>(open->row.size);
  InodeRow next = open->row;
  next.size += static_cast<std::int64_t>(bytes.size());
  const std::int64_t now = instance_.now_ns();
  ChangeSet changes;
  changes.require(Check::contents, extent_is(open->inode, open->row));
  changes.change(write_bytes(inline_row(open->inode), offset, bytes));
  changes.change(write_i64(inode_row(open->inode), InodeRow::size_offset, next.size));
  if (clears_set_id) {
    clear_set_id(changes, open->inode, next);
    next.mode = without_set_id(next.mode);
  }
  add_times(changes, *open, now, now);
  Result<Outcome> outcome = co_await open_inodes_.commit_own(open, changes, deadline);
  if (!outcome) co_return tl::unexpected(outcome.error());
  if (!outcome->applied()) co_return overtaken;
  next.change += 1;
  note_times(next, *open, now, instance_.now_ns());
  // The inline bytes are read again when they are needed: another mount may have overwritten some.
  open_inodes_.adopt(*open, LoadedInode{next, outcome->version}, nullptr, OpenInodes::Origin::here);
  co_return static_cast<std::uint64_t>(next.size);
}

Task<Result<SharedBytes>> FileWriter::take_append_lock(OpenPointer open, TimePoint deadline) {
  const RowAddress address = append_lock_row(open->inode);
  Retry retry(store_, deadline);
  AppendLockRow lock{instance_.id, store_.random().next(), 0};
  std::uint64_t version = 0;  // of the expired lock that it takes over; 0: there is none
  Sighting rival;
  for (;;) {
    lock.expires = (store_.clock().stamp + append_lock_life).microseconds;
    const SharedBytes value(encode(lock));
    ChangeSet changes;
    changes.require(Check::lock, version_equals(address, version));
    changes.require(Check::contents, extent_is(open->inode, open->row));
    changes.change(put(address, value));
    Result<Outcome> outcome = co_await changes.apply(store_, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (outcome->applied()) co_return value;
    ReadRequest request;
    request.gets.push_back(address);
    request.gets.push_back(inode_row(open->inode));
    Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    Result<LoadedInode> inode = loaded_inode(reply->gets[1]);
    if (!inode) co_return tl::unexpected(inode.error());
    open_inodes_.adopt(*open, *inode, nullptr);
    // The file is no longer one that is appended to under a lock: the caller looks again.
    if (inode->row.content == 0 || inode->row.cutting()) co_return SharedBytes();
    version = 0;
    if (reply->gets[0].found) {
      Result<AppendLockRow> held = decode_append_lock(reply->gets[0].row.value.view());
      if (!held) co_return tl::unexpected(held.error());
      // It has not changed for a lock's life by our own clock. Its owner's clock may be wrong by hours.
      if (rival.seen(reply->gets[0].row.version, instance_.now()) > append_lock_life) {
        version = reply->gets[0].row.version;
        lock.token = held->token + 1;
        continue;
      }
    }
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "append lock");
  }
}

Task<Result<std::uint64_t>> FileWriter::append_chunks(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                                      TimePoint deadline) {
  Result<SharedBytes> lock = co_await take_append_lock(open, deadline);
  if (!lock) co_return tl::unexpected(lock.error());
  if (lock->empty()) co_return overtaken;
  SharedBytes held = *lock;
  Result<std::uint64_t> done = co_await append_under_lock(open, held, std::move(bytes), clears_set_id, deadline);
  if (done && *done != overtaken) co_return done;
  ChangeSet release;
  release.require(Check::lock, value_equals(append_lock_row(open->inode), held));
  release.change(erase(append_lock_row(open->inode)));
  // If this fails, too, the lock expires.
  static_cast<void>(co_await release.apply(store_, deadline));
  co_return done;
}

Task<Result<std::uint64_t>> FileWriter::append_under_lock(OpenPointer open, SharedBytes lock, SharedBytes bytes,
                                                          bool clears_set_id, TimePoint deadline) {
  const InodeRow row = open->row;
  const Condition extent = extent_is(open->inode, open->row);
  const auto offset = static_cast<std::uint64_t>(row.size);
  std::vector<std::uint64_t> chunks;
  for (std::uint64_t chunk = offset / chunk_bytes; chunk * chunk_bytes < offset + bytes.size(); ++chunk) {
    chunks.push_back(chunk);
  }
  Result<bool> accounted = co_await chunks_.account(open, std::move(chunks), deadline);
  if (!accounted) co_return tl::unexpected(accounted.error());
  if (!*accounted) co_return overtaken;
  for (std::size_t done = 0; done < bytes.size();) {
    const std::uint64_t place = offset + done;
    const std::size_t part = std::min<std::size_t>(bytes.size() - done, chunk_bytes - place % chunk_bytes);
    SharedBytes piece(bytes, done, part);
    Result<bool> written = co_await append_to_chunk(open, row.content, place, std::move(piece), lock, deadline);
    if (!written) co_return tl::unexpected(written.error());
    if (!*written) co_return overtaken;
    done += part;
  }
  for (;;) {
    InodeRow next = row;
    next.size += static_cast<std::int64_t>(bytes.size());
    next.mode = open->row.mode;
    const std::int64_t now = instance_.now_ns();
    ChangeSet changes;
    changes.require(Check::lock, value_equals(append_lock_row(open->inode), lock));
    changes.require(Check::contents, extent);
    changes.change(write_i64(inode_row(open->inode), InodeRow::size_offset, next.size));
    if (clears_set_id) {
      clear_set_id(changes, open->inode, next);
      next.mode = without_set_id(next.mode);
    }
    add_times(changes, *open, now, now);
    changes.change(erase(append_lock_row(open->inode)));
    Result<Outcome> outcome = co_await open_inodes_.commit_own(open, changes, deadline);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (outcome->applied()) {
      next.change += 1;
      note_times(next, *open, now, instance_.now_ns());
      open_inodes_.adopt(*open, LoadedInode{next, outcome->version}, nullptr, OpenInodes::Origin::here);
      co_return static_cast<std::uint64_t>(next.size);
    }
    if (outcome->failed != Check::mode) co_return overtaken;
    // A chmod. The bytes are written, and the lock is still held.
    Status fresh = co_await open_inodes_.refresh(open, deadline);
    if (!fresh) co_return tl::unexpected(fresh.error());
  }
}

// False: another mount has taken the lock over.
Task<Result<bool>> FileWriter::append_to_chunk(OpenPointer open, std::uint64_t content, std::uint64_t offset,
                                               SharedBytes bytes, SharedBytes lock, TimePoint deadline) {
  const std::string key = chunk_key(open->inode, content, offset / chunk_bytes);
  const std::uint64_t chunk_begin = offset / chunk_bytes * chunk_bytes;
  Retry retry(store_, deadline);
  for (;;) {
    ReadRequest::Scan scan = scan_of({key, {}}, {}, blocks_per_chunk);
    scan.values = false;
    Result<ReadReply::ScanResult> blocks = co_await scan_rows(store_, std::move(scan), deadline);
    if (!blocks) co_return tl::unexpected(blocks.error());
    // If the lock is still ours now, the versions are older than anything that a later holder writes.
    RowAddress lock_row = append_lock_row(open->inode);
    Result<ReadReply::Get> held = co_await read_row(store_, std::move(lock_row), deadline);
    if (!held) co_return tl::unexpected(held.error());
    if (!held->found || !(held->row.value == lock)) co_return false;
    std::map<std::string, std::uint64_t> versions;
    for (const Row& row : blocks->rows) versions[row.sort] = row.version;
    ChangeSet changes;
    for (std::size_t done = 0; done < bytes.size();) {
      const std::uint64_t place = offset + done - chunk_begin;
      const std::size_t part = std::min<std::size_t>(bytes.size() - done, block_bytes - place % block_bytes);
      const RowAddress row{key, block_sort(place / block_bytes)};
      auto version = versions.find(row.sort);
      changes.require(Check::block, version_equals(row, version == versions.end() ? 0 : version->second));
      SharedBytes piece(bytes, done, part);
      changes.change(part == block_bytes
                         ? put(row, std::move(piece))
                         : write_bytes(row, static_cast<std::uint32_t>(place % block_bytes), std::move(piece)));
      done += part;
    }
    Result<Outcome> outcome = co_await changes.apply(store_, deadline);
    open_inodes_.read_ahead.forget(*open, offset / chunk_bytes);
    if (!outcome) co_return tl::unexpected(outcome.error());
    if (outcome->applied()) co_return true;
    bool again = co_await retry.again();
    if (!again) co_return fail(ErrorCode::timeout, "append");
  }
}

}  // namespace ringfs::fs
