// The order in which a batch is judged: remembered result, superseded, expired, malformed, locked, conditions,
// mutations.
#include "dht/core/rows/evaluate.hpp"

#include "dht/core/rows/dedup.hpp"
#include "dht/core/rows/locks.hpp"
#include "dht/core/rows/mutation_plan.hpp"

namespace ringfs::dht {

namespace {

using Outcome = BatchResult::Outcome;

bool holds(const Condition& condition, RowReader& rows) {
  switch (condition.kind) {
    case Condition::Kind::absent: return !rows.version(condition.row);
    case Condition::Kind::present: return rows.version(condition.row).has_value();
    case Condition::Kind::version_equals: return rows.version(condition.row).value_or(0) == condition.version;
    case Condition::Kind::value_equals: {
      std::optional<Row> row = rows.get(condition.row);
      return row && row->value == condition.value;
    }
    case Condition::Kind::empty_prefix: {
      bool empty = true;
      rows.scan(condition.row.key, condition.row.sort, {}, false, [&](Row&&) {
        empty = false;
        return false;
      });
      return empty;
    }
    case Condition::Kind::bytes_equal: {
      std::optional<Row> row = rows.get(condition.row);
      if (!row || row->value.size() < condition.offset) return false;
      return row->value.view().substr(condition.offset, condition.value.size()) == condition.value.view();
    }
  }
  return false;
}

// Locks, conditions, mutations: what a batch does that is executed for the first time.
BatchResult execute(const Batch& batch, Stamp stamp, std::uint64_t index, RowWriter& rows,
                    const EvaluateFaults& faults) {
  BatchResult result;
  result.stamp = stamp;
  result.outcome = Outcome::invalid;
  if (!validate(batch)) return result;
  Locks locks(rows);
  if (std::optional<RecordRef> lock = find_lock(batch, locks)) {
    result.outcome = Outcome::locked;
    result.lock = *lock;
    return result;
  }
  for (std::size_t i = 0; i < batch.conditions.size(); ++i) {
    if (holds(batch.conditions[i], rows)) continue;
    result.outcome = Outcome::condition_failed;
    result.failed_condition = static_cast<std::uint32_t>(i);
    return result;
  }
  result.held = changes_held_row(batch, locks);
  MutationPlan plan(rows, faults.no_add_locks);
  for (const Mutation& mutation : batch.mutations) {
    if (!plan.add(mutation)) return result;
  }
  plan.carry_out(rows, index);
  result.outcome = Outcome::applied;
  result.version = index;
  return result;
}

}  // namespace

BatchResult evaluate(const Batch& batch, Stamp stamp, std::uint64_t index, RowWriter& rows,
                     const EvaluateFaults& faults) {
  sweep_dedup(rows, stamp, index);
  DedupRecord dedup = DedupRecord::load(rows, batch.client);
  BatchResult refused;
  refused.stamp = stamp;
  if (!faults.no_dedup) {
    if (std::optional<BatchResult> known = dedup.find(batch.sequence)) return *known;
    refused.outcome = Outcome::superseded;
    if (dedup.is_superseded(batch.sequence)) return refused;
  }
  refused.outcome = Outcome::expired;
  if (!faults.no_expiry && stamp > batch.expires) return refused;
  // A result is kept for longer than a copy of its batch can be executed: batches live for a limited time.
  const bool too_far_ahead = !faults.no_expiry && batch.expires > stamp + max_batch_life;
  BatchResult result = refused;
  refused.outcome = Outcome::invalid;
  if (dedup.is_full(batch.first_incomplete, stamp)) return refused;
  if (!too_far_ahead) result = execute(batch, stamp, index, rows, faults);
  if (!faults.no_dedup) {
    dedup.remember(batch, result);
    dedup.store(rows, batch.client, index);
  }
  return result;
}

}  // namespace ringfs::dht
