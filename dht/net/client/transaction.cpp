// The coordinator's steps: prepare, flip, resolve, abort.
#include "dht/net/client/transaction.hpp"

#include <algorithm>

#include "dht/base/row_changes.hpp"
#include "dht/core/rows/locks.hpp"
#include "dht/net/client/lock_resolver.hpp"
#include "dht/net/client/run_all.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration first_rival_wait = std::chrono::milliseconds(5);
constexpr Duration most_rival_wait = std::chrono::milliseconds(100);
// For resolving parts after the end. What is left then, the next client that meets a lock resolves.
constexpr Duration cleanup_time = std::chrono::seconds(2);

Task<void> resolve_one(PartitionedStore& store, PartitionId partition, RecordRef record, bool commit,
                       TimePoint deadline, bool* resolved) {
  std::vector<Mutation> mutations{resolve(record, commit)};
  Result<BatchResult> result = co_await store.commit_raw(partition, {}, std::move(mutations), deadline);
  *resolved = result && result->outcome == BatchResult::Outcome::applied;
}

Task<bool> resolve_all(PartitionedStore& store, RecordRef record, std::set<PartitionId> partitions, bool commit,
                       TimePoint deadline) {
  std::unique_ptr<bool[]> resolved(new bool[partitions.size()]());
  std::vector<Task<void>> tasks;
  tasks.reserve(partitions.size());
  for (PartitionId partition : partitions) {
    tasks.push_back(resolve_one(store, partition, record, commit, deadline, &resolved[tasks.size()]));
  }
  co_await run_all(std::move(tasks));
  co_return std::all_of(resolved.get(), resolved.get() + partitions.size(), [](bool done) { return done; });
}

// Only when every part is known to be resolved: a missing record means aborted.
Task<void> forget_record(PartitionedStore& store, RecordRef record, TimePoint deadline) {
  std::vector<Mutation> mutations{erase_record(record)};
  Result<BatchResult> ignored = co_await store.commit_raw(record.partition, {}, std::move(mutations), deadline);
  static_cast<void>(ignored);  // a record that stays is the janitor's
}

// What is left of a committed transaction.
Task<void> end_committed(PartitionedStore& store, RecordRef record, std::set<PartitionId> unresolved,
                         TimePoint deadline) {
  const bool resolved = co_await resolve_all(store, record, std::move(unresolved), true, deadline);
  if (resolved) co_await forget_record(store, record, deadline);
}

}  // namespace

TransactionCoordinator::TransactionCoordinator(PartitionedStore& store, TransactionId id, TimePoint deadline)
    : store_(store), id_(id), deadline_(deadline) {}

TimePoint TransactionCoordinator::cleanup_deadline() const { return store_.clock().now + cleanup_time; }

Task<Result<CommitReply>> TransactionCoordinator::prepare(TransactionPart part) {
  if (state_ != State::open) co_return fail(ErrorCode::aborted, "the transaction has ended");
  Result<PartitionId> partition = partition_of_rows(store_, part.conditions, part.locks, part.mutations);
  if (!partition) co_return tl::unexpected(partition.error());
  const bool first = !has_record_;
  if (first) record_ = RecordRef{*partition, id_};

  const std::size_t own_conditions = part.conditions.size();
  std::vector<Condition> conditions = std::move(part.conditions);
  std::vector<Mutation> mutations;
  if (first) {
    conditions.push_back(record_is_absent(record_));
    TransactionRecord pending{RecordState::pending, Stamp{static_cast<std::int64_t>(id_.started)}, {}};
    mutations.push_back(put_record(record_, pending));
  }
  Mutation intents = ringfs::prepare(record_, std::move(part.mutations), std::move(part.locks));
  if (!holding_of(intents).additions.empty()) adding_.insert(*partition);
  mutations.push_back(std::move(intents));

  Backoff backoff(store_.random(), first_rival_wait, most_rival_wait);
  while (true) {
    Result<BatchResult> result = co_await store_.commit_raw(*partition, conditions, mutations, deadline_);
    if (!result) {
      // It may be executed later, or was: abort() must reckon with a record and with locks.
      const ErrorCode code = result.error().code;
      if (code != ErrorCode::invalid_argument && code != ErrorCode::too_large) {
        has_record_ = true;
        unknown_prepare_ = true;
        participants_.insert(*partition);
      }
      co_return tl::unexpected(result.error());
    }
    switch (result->outcome) {
      case BatchResult::Outcome::applied:
        has_record_ = true;
        participants_.insert(*partition);
        co_return to_commit_reply(*result);
      case BatchResult::Outcome::condition_failed:
        if (result->failed_condition >= own_conditions) {
          state_ = State::aborted;
          co_return fail(ErrorCode::aborted, "the transaction was aborted by somebody else");
        }
        co_return to_commit_reply(*result);
      case BatchResult::Outcome::locked: break;
      default: co_return to_commit_reply(*result);
    }
    Status waited = co_await wait_or_die(*partition, result->lock, backoff);
    if (!waited) co_return tl::unexpected(waited.error());
  }
}

Task<Status> TransactionCoordinator::wait_or_die(PartitionId where, RecordRef rival, Backoff& backoff) {
  Result<LockFate> fate = co_await settle_lock(store_, where, rival, deadline_);
  if (!fate) co_return tl::unexpected(fate.error());
  if (*fate == LockFate::gone) co_return Status();
  if (rival.id < id_) {
    co_await abort();
    co_return fail(ErrorCode::aborted, "an older transaction holds the row");
  }
  const Duration wait = backoff.next();
  if (store_.clock().now + wait >= deadline_) co_return fail(ErrorCode::timeout, "another transaction holds the row");
  co_await store_.sleep(wait);
  co_return Status();
}

Task<Status> TransactionCoordinator::commit() {
  if (state_ != State::open) co_return fail(ErrorCode::aborted, "the transaction has ended");
  if (unknown_prepare_) {
    co_await abort();
    co_return fail(ErrorCode::aborted, "a part could not be prepared");
  }
  if (!has_record_) {
    state_ = State::committed;
    co_return Status();  // nothing was asked for
  }
  std::set<PartitionId> others = participants_;
  others.erase(record_.partition);
  std::vector<Condition> conditions{record_is(record_, pending_record(id_))};
  std::vector<Mutation> mutations;
  if (others.empty()) {
    mutations.push_back(erase_record(record_));  // one batch does it all
  } else {
    TransactionRecord committed{RecordState::committed, store_.ring_time(), {others.begin(), others.end()}};
    mutations.push_back(put_record(record_, committed));
  }
  mutations.push_back(resolve(record_, true));
  Result<BatchResult> flipped =
      co_await store_.commit_raw(record_.partition, std::move(conditions), std::move(mutations), deadline_);
  if (!flipped) {
    state_ = State::unknown;  // the record decides; who meets a lock reads the record
    co_return fail(ErrorCode::timeout, "the end of the transaction is unknown: " + flipped.error().text());
  }
  if (flipped->outcome != BatchResult::Outcome::applied) {
    state_ = State::aborted;
    const TimePoint deadline = cleanup_deadline();
    const bool resolved = co_await resolve_all(store_, record_, participants_, false, deadline);
    if (resolved) co_await forget_record(store_, record_, deadline);
    co_return fail(ErrorCode::aborted, "the transaction was aborted by somebody else");
  }
  state_ = State::committed;
  if (others.empty()) co_return Status();
  const TimePoint deadline = cleanup_deadline();
  const bool adds =
      std::any_of(others.begin(), others.end(), [this](PartitionId one) { return adding_.contains(one); });
  if (adds) {
    const bool resolved = co_await resolve_all(store_, record_, std::exchange(others, {}), true, deadline);
    if (!resolved) co_return Status();  // whoever meets its locks does it
  }
  Task<void> rest = end_committed(store_, record_, std::move(others), deadline);
  co_await store_.run_beside(std::move(rest));
  co_return Status();
}

Task<void> TransactionCoordinator::abort() {
  if (state_ != State::open) co_return;
  state_ = State::aborted;
  if (!has_record_) co_return;
  const TimePoint deadline = cleanup_deadline();
  const bool aborted = co_await abort_record(deadline);
  if (!aborted) co_return;  // no one else commits it, so it is aborted by age
  const bool resolved = co_await resolve_all(store_, record_, participants_, false, deadline);
  // With a prepare still under way the tombstone stays, so that the record cannot come into being afterwards.
  if (resolved && !unknown_prepare_) co_await forget_record(store_, record_, deadline);
}

// Pending or absent -> aborted.
Task<bool> TransactionCoordinator::abort_record(TimePoint deadline) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::vector<Condition> conditions;
    if (attempt == 0) {
      conditions.push_back(record_is(record_, pending_record(id_)));
    } else {
      conditions.push_back(record_is_absent(record_));
    }
    TransactionRecord aborted{RecordState::aborted, store_.ring_time(), {}};
    std::vector<Mutation> mutations{put_record(record_, aborted)};
    Result<BatchResult> result =
        co_await store_.commit_raw(record_.partition, std::move(conditions), std::move(mutations), deadline);
    if (!result) co_return false;
    if (result->outcome == BatchResult::Outcome::applied) co_return true;
  }
  co_return true;  // neither pending nor absent: another client aborted it, since only this coordinator commits
}

}  // namespace ringfs::dht
