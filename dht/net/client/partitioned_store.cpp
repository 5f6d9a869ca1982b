// Reads and commits that hide the locks of pending transactions.
#include "dht/net/client/partitioned_store.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <set>

#include "dht/net/client/lock_resolver.hpp"
#include "dht/net/client/transaction.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration first_lock_wait = std::chrono::milliseconds(5);
constexpr Duration most_lock_wait = std::chrono::milliseconds(100);
constexpr Duration ending_poll = std::chrono::milliseconds(5);

std::set<RecordRef> locks_of(const ReadReply& reply) {
  std::set<RecordRef> locks;
  for (const ReadReply::Get& get : reply.gets) {
    locks.insert(get.locks.begin(), get.locks.end());
  }
  for (const ReadReply::ScanResult& scan : reply.scans) locks.insert(scan.locks.begin(), scan.locks.end());
  return locks;
}

void hide_locks(ReadReply& reply) {
  for (ReadReply::Get& get : reply.gets) get.locks.clear();
  for (ReadReply::ScanResult& scan : reply.scans) scan.locks.clear();
}

class PartitionSearch {
 public:
  explicit PartitionSearch(const PartitionedStore& store) : store_(store) {}

  void add(const std::string& key) {
    if (found_ && key == last_key_) return;
    last_key_ = key;
    PartitionId partition = store_.partition_of_key(key);
    if (found_ && *found_ != partition) several_ = true;
    found_ = partition;
  }

  Result<PartitionId> result() const {
    if (!found_) return fail(ErrorCode::invalid_argument, "no rows named");
    if (several_) return fail(ErrorCode::invalid_argument, "rows of several partitions");
    return *found_;
  }

 private:
  const PartitionedStore& store_;
  std::string last_key_;
  std::optional<PartitionId> found_;
  bool several_ = false;
};

Status check_request(const CommitRequest& request) {
  auto reserved = [](const RowAddress& row) { return !row.key.empty() && row.key.front() == '\0'; };
  for (const Condition& condition : request.conditions) {
    if (reserved(condition.row)) return fail(ErrorCode::invalid_argument, "reserved key");
  }
  for (const Mutation& mutation : request.mutations) {
    if (reserved(mutation.row) || mutation.kind == Mutation::Kind::prepare ||
        mutation.kind == Mutation::Kind::resolve) {
      return fail(ErrorCode::invalid_argument, "reserved key");
    }
  }
  return {};
}

}  // namespace

Duration Backoff::next() {
  Duration base = next_;
  next_ = std::min(2 * next_, most_);
  return base + Duration(static_cast<Duration::rep>(random_.below(static_cast<std::uint64_t>(base.count()) + 1)));
}

PartitionId PartitionedStore::partition_of_key(const std::string& key) const {
  return partition_of(key_position(key), partition_bits());
}

Result<PartitionId> partition_of_rows(const PartitionedStore& store, const std::vector<Condition>& conditions,
                                      const std::vector<RowAddress>& locks, const std::vector<Mutation>& mutations) {
  PartitionSearch search(store);
  for (const Condition& condition : conditions) search.add(condition.row.key);
  for (const RowAddress& row : locks) search.add(row.key);
  for (const Mutation& mutation : mutations) search.add(mutation.row.key);
  return search.result();
}

// Old or new: the snapshot holds the old rows of every transaction whose lock it shows. A record that is still pending
// when it is read after the snapshot was not committed when the snapshot was taken, so the old rows were the truth
// then. If any of them is not pending any more, its lock was resolved and the rows are read again.
Task<Result<ReadReply>> PartitionedStore::read(ReadRequest request, TimePoint deadline) {
  PartitionSearch search(*this);
  for (const RowAddress& row : request.gets) search.add(row.key);
  for (const ReadRequest::Scan& scan : request.scans) search.add(scan.key);
  Result<PartitionId> partition = search.result();
  if (!partition) co_return tl::unexpected(partition.error());
  if (Status status = validate(request); !status) co_return tl::unexpected(status.error());
  while (true) {
    Result<ReadReply> reply = co_await read_raw(*partition, request, deadline);
    if (!reply) co_return reply;
    const std::set<RecordRef> locks = locks_of(*reply);
    bool again = false;
    for (const RecordRef& lock : locks) {
      Result<LockFate> fate = co_await settle_lock(*this, *partition, lock, deadline);
      if (!fate && fate.error().code == ErrorCode::no_space) {
        // The partition has no room to resolve the lock. The record still decides: if it is aborted, the old rows hold.
        // If it is committed, the new rows come when there is room; a read does not fail with no_space.
        Result<bool> aborted = co_await is_aborted(*this, lock, deadline);
        if (!aborted) co_return tl::unexpected(aborted.error());
        if (*aborted) continue;
        if (clock().now + most_lock_wait >= deadline)
          co_return fail(ErrorCode::timeout, "a row is locked, and the disks are full");
        co_await sleep(most_lock_wait);
        again = true;
        continue;
      }
      if (!fate) co_return tl::unexpected(fate.error());
      again = again || *fate == LockFate::gone;
    }
    if (!again) {
      hide_locks(*reply);
      co_return reply;
    }
    if (clock().now >= deadline) co_return fail(ErrorCode::timeout, "transactions kept ending during the read");
  }
}

Task<Result<CommitReply>> PartitionedStore::commit(CommitRequest request, TimePoint deadline) {
  if (Status status = check_request(request); !status) co_return tl::unexpected(status.error());
  Result<PartitionId> partition = partition_of_rows(*this, request.conditions, {}, request.mutations);
  if (!partition) co_return tl::unexpected(partition.error());
  Backoff backoff(random(), first_lock_wait, most_lock_wait);
  while (true) {
    Result<BatchResult> result = co_await commit_raw(*partition, request.conditions, request.mutations, deadline);
    if (!result) co_return tl::unexpected(result.error());
    if (result->outcome != BatchResult::Outcome::locked) co_return to_commit_reply(*result);
    // Certainly not executed: it may be said again, as a new batch, once the lock is gone.
    Result<LockFate> fate = co_await settle_lock(*this, *partition, result->lock, deadline);
    if (!fate) co_return tl::unexpected(fate.error());
    Duration wait = *fate == LockFate::pending ? backoff.next() : Duration(0);
    if (clock().now + wait >= deadline) co_return fail(ErrorCode::timeout, "a row is locked by another transaction");
    if (wait > Duration(0)) co_await sleep(wait);
  }
}

std::unique_ptr<Transaction> PartitionedStore::begin(TimePoint deadline) {
  TransactionId id;
  id.started = static_cast<std::uint64_t>(std::max<std::int64_t>(ring_time().microseconds, 0));
  id.random = random_uuid(random());
  return std::make_unique<TransactionCoordinator>(*this, id, deadline);
}

Task<void> PartitionedStore::run_beside(Task<void> task) {
  if (*ending_ >= max_transactions_ending) {
    co_await std::move(task);
    co_return;
  }
  auto executor = co_await boost::asio::this_coro::executor;
  ++*ending_;
  boost::asio::co_spawn(executor, std::move(task), [ending = ending_](const std::exception_ptr& error) {
    --*ending;
    if (error) std::rethrow_exception(error);
  });
}

Task<void> PartitionedStore::finish_transactions(TimePoint deadline) {
  while (*ending_ > 0 && clock().now < deadline) co_await sleep(ending_poll);
}

}  // namespace ringfs::dht
