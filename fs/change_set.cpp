// Sorting an operation's changes by partition, and committing them.
#include "fs/change_set.hpp"

#include <algorithm>
#include <set>

namespace ringfs::fs {

namespace {

// Whether the part adds to a row that it neither locks nor changes otherwise: a directory's times and links.
bool only_adds_somewhere(const TransactionPart& part) {
  std::set<RowAddress> held(part.locks.begin(), part.locks.end());
  std::set<RowAddress> added;
  for (const Mutation& mutation : part.mutations) {
    const bool adds = mutation.kind == Mutation::Kind::add_i64 || mutation.kind == Mutation::Kind::max_i64;
    (adds ? added : held).insert(mutation.row);
  }
  return !std::includes(held.begin(), held.end(), added.begin(), added.end());
}

template <class T>
void move_append(std::vector<T>& to, std::vector<T>& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

ChangeSet::Part& ChangeSet::part_of(const std::string& key) { return parts_[key]; }

void move_time(ChangeSet& changes, const RowAddress& row, std::uint32_t offset, std::int64_t now) {
  changes.change(add_i64(row, offset, 1));
  changes.change(max_i64(row, offset, now));
}

void ChangeSet::require(Check check, Condition condition) {
  Part& part = part_of(condition.row.key);
  part.part.conditions.push_back(std::move(condition));
  part.checks.push_back(check);
}

void ChangeSet::change(Mutation mutation) { part_of(mutation.row.key).part.mutations.push_back(std::move(mutation)); }

void ChangeSet::lock(RowAddress row) { part_of(row.key).part.locks.push_back(std::move(row)); }

Task<Result<Outcome>> ChangeSet::apply(ObjectStore& store, TimePoint deadline, Transaction* transaction) {
  std::map<PartitionId, Part> partitions;
  for (auto& [key, part] : parts_) {
    Part& whole = partitions[partition_of(key_position(key), store.partition_bits())];
    move_append(whole.part.conditions, part.part.conditions);
    move_append(whole.part.mutations, part.part.mutations);
    move_append(whole.part.locks, part.part.locks);
    move_append(whole.checks, part.checks);
  }
  parts_.clear();

  auto outcome_of = [](const CommitReply& reply, const std::vector<Check>& checks) {
    Outcome outcome;
    outcome.version = reply.version;
    if (!reply.applied)
      outcome.failed = reply.failed_condition < checks.size() ? checks[reply.failed_condition] : Check::other;
    return outcome;
  };

  if (partitions.size() == 1 && transaction == nullptr) {
    Part& only = partitions.begin()->second;
    CommitRequest request{std::move(only.part.conditions), std::move(only.part.mutations)};
    Result<CommitReply> reply = co_await store.commit(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    co_return outcome_of(*reply, only.checks);
  }

  std::unique_ptr<Transaction> own;
  if (transaction == nullptr) {
    own = store.begin(deadline);
    transaction = own.get();
  }
  std::vector<Part*> order;
  order.reserve(partitions.size());
  for (auto& [partition, part] : partitions) order.push_back(&part);
  std::stable_partition(order.begin(), order.end(), [](const Part* part) { return only_adds_somewhere(part->part); });
  for (Part* part : order) {
    TransactionPart prepared = std::move(part->part);
    Result<CommitReply> reply = co_await transaction->prepare(std::move(prepared));
    if (reply && reply->applied) continue;
    co_await transaction->abort();
    if (!reply) co_return tl::unexpected(reply.error());
    co_return outcome_of(*reply, part->checks);
  }
  Status committed = co_await transaction->commit();
  if (!committed) co_return tl::unexpected(committed.error());
  co_return Outcome{};
}

Task<bool> Retry::again() {
  constexpr unsigned most_doublings = 7;  // 64 ms at most: the other operation needs a few round trips
  Duration limit = std::chrono::microseconds(500) * (1U << std::min(attempt_, most_doublings));
  ++attempt_;
  Duration pause(static_cast<std::int64_t>(store_.random().below(static_cast<std::uint64_t>(limit.count()))) + 1);
  if (store_.clock().now + pause >= deadline_) co_return false;
  co_await store_.sleep(pause);
  co_return true;
}

}  // namespace ringfs::fs
