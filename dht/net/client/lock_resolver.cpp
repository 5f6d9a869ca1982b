// Resolving locks, and the janitor's pass over records and parts.
#include "dht/net/client/lock_resolver.hpp"

#include <algorithm>

#include "dht/base/row_changes.hpp"
#include "dht/core/rows/evaluate.hpp"
#include "dht/core/rows/locks.hpp"

namespace ringfs::dht {

namespace {

// Each round either ends or lost a race against a flip of the same record, of which there are two at most.
constexpr int max_rounds = 4;
constexpr Duration one_record_timeout = std::chrono::seconds(3);

Task<Result<LockFate>> resolve_here(PartitionedStore& store, PartitionId where, RecordRef lock, bool commit,
                                    TimePoint deadline) {
  std::vector<Mutation> mutations{resolve(lock, commit)};
  Result<BatchResult> result = co_await store.commit_raw(where, {}, std::move(mutations), deadline);
  if (!result) co_return tl::unexpected(result.error());
  if (result->outcome != BatchResult::Outcome::applied) co_return fail(ErrorCode::internal, "resolve was refused");
  co_return LockFate::gone;
}

// True: the record is aborted now; false: another client was faster.
Task<Result<bool>> abort_record(PartitionedStore& store, RecordRef record, Condition condition, TimePoint deadline) {
  std::vector<Condition> conditions{std::move(condition)};
  TransactionRecord aborted{RecordState::aborted, store.ring_time(), {}};
  std::vector<Mutation> mutations{put_record(record, aborted)};
  Result<BatchResult> result =
      co_await store.commit_raw(record.partition, std::move(conditions), std::move(mutations), deadline);
  if (!result) co_return tl::unexpected(result.error());
  co_return result->outcome == BatchResult::Outcome::applied;
}

RowAddress record_row(const RecordRef& record) { return {record_key, record_sort(record.id)}; }

// By this process's own clock: those of coordinators may be hours apart.
bool is_too_old(PartitionedStore& store, PartitionId partition, const RowAddress& row, std::uint64_t version) {
  return store.sightings().seen(partition, row, version, store.clock().now) > max_transaction_age;
}

Result<TransactionId> parse_record_sort(std::string_view sort) {
  Reader reader(sort);
  TransactionId id;
  id.started = reader.u64();
  id.random = read_uuid(reader);
  if (!reader.done()) return fail(ErrorCode::corrupt, "transaction id");
  return id;
}

}  // namespace

std::string encode(const TransactionRecord& record) {
  Writer writer;
  writer.u8(static_cast<std::uint8_t>(record.state));
  writer.i64(record.since.microseconds);
  writer.u32(static_cast<std::uint32_t>(record.participants.size()));
  for (PartitionId partition : record.participants) writer.u32(index_of(partition));
  return writer.take();
}

Result<TransactionRecord> decode_transaction_record(std::string_view bytes) {
  Reader reader(bytes);
  TransactionRecord record;
  record.state = static_cast<RecordState>(reader.u8());
  record.since.microseconds = reader.i64();
  std::size_t count = reader.count(4);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    record.participants.push_back(static_cast<PartitionId>(reader.u32()));
  }
  if (!reader.done() || record.state < RecordState::pending || record.state > RecordState::aborted) {
    return fail(ErrorCode::corrupt, "transaction record");
  }
  return record;
}

SharedBytes pending_record(const TransactionId& id) {
  TransactionRecord record{RecordState::pending, Stamp{static_cast<std::int64_t>(id.started)}, {}};
  return SharedBytes(encode(record));
}

Condition record_is(const RecordRef& record, SharedBytes value) {
  return value_equals(record_row(record), std::move(value));
}
Condition record_is_absent(const RecordRef& record) { return absent(record_row(record)); }
Mutation put_record(const RecordRef& record, const TransactionRecord& value) {
  return put(record_row(record), SharedBytes(encode(value)));
}
Mutation erase_record(const RecordRef& record) { return erase(record_row(record)); }

Result<CommitReply> to_commit_reply(const BatchResult& result) {
  CommitReply reply;
  reply.stamp = result.stamp;
  switch (result.outcome) {
    case BatchResult::Outcome::applied:
      reply.applied = true;
      reply.version = result.version;
      return reply;
    case BatchResult::Outcome::condition_failed: reply.failed_condition = result.failed_condition; return reply;
    case BatchResult::Outcome::locked: return fail(ErrorCode::locked);
    case BatchResult::Outcome::expired:
    case BatchResult::Outcome::superseded: return fail(ErrorCode::timeout, "the batch expired");
    case BatchResult::Outcome::invalid: return fail(ErrorCode::invalid_argument, "batch refused");
  }
  return fail(ErrorCode::internal, "batch outcome");
}

Task<Result<bool>> is_aborted(PartitionedStore& store, RecordRef lock, TimePoint deadline) {
  ReadRequest request;
  request.gets.push_back(record_row(lock));
  Result<ReadReply> reply = co_await store.read_raw(lock.partition, std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  if (reply->gets.size() != 1) co_return fail(ErrorCode::corrupt, "reply without the record");
  if (!reply->gets[0].found) co_return false;
  Result<TransactionRecord> record = decode_transaction_record(reply->gets[0].row.value.view());
  if (!record) co_return tl::unexpected(record.error());
  co_return record->state == RecordState::aborted;
}

Task<Result<LockFate>> settle_lock(PartitionedStore& store, PartitionId where, RecordRef lock, TimePoint deadline) {
  if (!store.may_settle()) co_return co_await store.settle_elsewhere(where, lock, deadline);
  for (int round = 0; round < max_rounds; ++round) {
    ReadRequest request;
    request.gets.push_back(record_row(lock));
    Result<ReadReply> reply = co_await store.read_raw(lock.partition, std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    if (reply->gets.size() != 1) co_return fail(ErrorCode::corrupt, "reply without the record");
    Condition as_seen;
    if (!reply->gets[0].found) {
      as_seen = record_is_absent(lock);
    } else {
      Result<TransactionRecord> record = decode_transaction_record(reply->gets[0].row.value.view());
      if (!record) co_return tl::unexpected(record.error());
      if (record->state != RecordState::pending) {
        store.sightings().forget(lock.partition, record_row(lock));
        co_return co_await resolve_here(store, where, lock, record->state == RecordState::committed, deadline);
      }
      if (!is_too_old(store, lock.partition, record_row(lock), reply->gets[0].row.version)) co_return LockFate::pending;
      as_seen = record_is(lock, pending_record(lock.id));
    }
    if (store.faults().drop_without_tombstone) co_return co_await resolve_here(store, where, lock, false, deadline);
    Result<bool> aborted = co_await abort_record(store, lock, std::move(as_seen), deadline);
    if (!aborted) co_return tl::unexpected(aborted.error());
    if (*aborted) co_return co_await resolve_here(store, where, lock, false, deadline);
  }
  co_return fail(ErrorCode::internal, "the transaction's record kept changing");
}

Task<Result<LockFate>> settle_for_reader(PartitionedStore& store, SettleOperation asked, TimePoint deadline) {
  const std::size_t partitions = std::size_t{1} << store.partition_bits();
  if (index_of(asked.partition) >= partitions || index_of(asked.lock.partition) >= partitions)
    co_return fail(ErrorCode::invalid_argument, "no such partition");
  ReadRequest request;
  request.gets.push_back({part_key, part_sort(asked.lock)});
  Result<ReadReply> reply = co_await store.read_raw(asked.partition, std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  if (reply->gets.size() != 1) co_return fail(ErrorCode::corrupt, "reply without the transaction's part");
  if (!reply->gets[0].found) co_return LockFate::gone;
  Result<LockFate> fate = co_await settle_lock(store, asked.partition, asked.lock, deadline);
  if (fate || fate.error().code != ErrorCode::no_space) co_return fate;
  // As in PartitionedStore::read: of an aborted transaction the old rows hold, with or without its locks.
  Result<bool> aborted = co_await is_aborted(store, asked.lock, deadline);
  if (!aborted) co_return tl::unexpected(aborted.error());
  if (*aborted) co_return LockFate::pending;
  co_return fail(ErrorCode::unavailable, "a row is locked, and the disks are full");
}

Task<Status> finish_record(PartitionedStore& store, PartitionId partition, Row row, RowAges ages, TimePoint deadline) {
  Result<TransactionId> id = parse_record_sort(row.sort);
  if (!id) co_return tl::unexpected(id.error());
  Result<TransactionRecord> record = decode_transaction_record(row.value.view());
  if (!record) co_return tl::unexpected(record.error());
  const RecordRef reference{partition, *id};
  const bool old = is_too_old(store, partition, record_row(reference), row.version);
  if (record->state == RecordState::pending) {
    if (!old) co_return Status();
    Condition condition = record_is(reference, pending_record(*id));
    Result<bool> aborted = co_await abort_record(store, reference, std::move(condition), deadline);
    if (!aborted) co_return tl::unexpected(aborted.error());
    co_return Status();  // its locks go when they are met or found; the tombstone waits for its time
  }
  // Its coordinator has stopped tidying up by then; what a part adds to a row without a lock shows only when it is
  // resolved.
  if (!old) co_return Status();
  for (PartitionId participant : record->participants) {
    Result<LockFate> resolved =
        co_await resolve_here(store, participant, reference, record->state == RecordState::committed, deadline);
    if (!resolved) co_return tl::unexpected(resolved.error());
  }
  if (ages.at_least(row.version) <= record_life) co_return Status();
  std::vector<Condition> conditions{record_is(reference, row.value)};
  std::vector<Mutation> mutations{erase_record(reference)};
  Result<BatchResult> erased =
      co_await store.commit_raw(partition, std::move(conditions), std::move(mutations), deadline);
  if (!erased) co_return tl::unexpected(erased.error());
  store.sightings().forget(partition, record_row(reference));
  co_return Status();
}

namespace {

// A pass over a partition: one record or part after the other, page by page.
class RecordsPass {
 public:
  RecordsPass(PartitionedStore& store, PartitionId partition, RecordsPlace& place, RowAges ages, TimePoint deadline)
      : store_(store),
        partition_(partition),
        place_(place),
        ages_(std::move(ages)),
        deadline_(deadline),
        whole_(place.at_the_first()) {}

  Task<Result<RecordsReport>> run() {
    // Half of the time at most, so that parts get their turn whatever the records take.
    const TimePoint now = store_.clock().now;
    co_await walk(record_key, &place_.record, true, now + (deadline_ - now) / 2);
    // Parts of transactions whose coordinator died: perhaps no client ever meets their locks.
    co_await walk(part_key, &place_.part, false, deadline_);
    if (first_error_) co_return tl::unexpected(*first_error_);
    co_return RecordsReport{seen_, whole_ && seen_ == 0};
  }

 private:
  // One whose participant does not answer holds up the others for no longer than this.
  TimePoint until() const { return std::min(deadline_, store_.clock().now + one_record_timeout); }

  void note(const Status& status) {
    if (!status && !first_error_) first_error_ = status.error();
  }

  Task<void> walk(std::string key, std::string* last, bool records, TimePoint end) {
    bool more = true;
    while (more && store_.clock().now < end) {
      ReadRequest request;
      request.scans.push_back({key, {}, *last, records_per_page, records});
      Result<ReadReply> reply = co_await store_.read_raw(partition_, std::move(request), deadline_);
      if (!reply) {
        note(tl::unexpected(reply.error()));
        co_return;
      }
      more = reply->scans.at(0).more;
      std::vector<Row>& rows = reply->scans.at(0).rows;
      for (Row& row : rows) {
        if (store_.clock().now >= end) co_return;
        ++seen_;
        *last = row.sort;
        Status status;
        if (records) {
          status = co_await finish_record(store_, partition_, std::move(row), ages_, until());
        } else {
          status = co_await finish_part(std::move(row));
        }
        note(status);
      }
    }
    if (!more) last->clear();
  }

  Task<Status> finish_part(Row row) {
    Reader reader(row.sort);
    const RecordRef reference = read_record_ref(reader);
    if (!reader.done()) co_return fail(ErrorCode::corrupt, "the name of a transaction's part");
    if (!is_too_old(store_, partition_, {part_key, row.sort}, row.version)) co_return Status();
    Result<LockFate> settled = co_await settle_lock(store_, partition_, reference, until());
    if (!settled) co_return tl::unexpected(settled.error());
    co_return Status();
  }

  PartitionedStore& store_;
  const PartitionId partition_;
  RecordsPlace& place_;
  const RowAges ages_;
  const TimePoint deadline_;
  const bool whole_;
  std::size_t seen_ = 0;
  std::optional<Error> first_error_;
};

}  // namespace

Task<Result<RecordsReport>> finish_records(PartitionedStore& store, PartitionId partition, RecordsPlace* place,
                                           RowAges ages, TimePoint deadline) {
  RecordsPass pass(store, partition, *place, std::move(ages), deadline);
  co_return co_await pass.run();
}

}  // namespace ringfs::dht
