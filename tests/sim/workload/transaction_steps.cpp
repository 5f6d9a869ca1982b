// Reads from a batch which step of a transaction it is.
#include "tests/sim/workload/transaction_steps.hpp"

#include "dht/net/client/lock_resolver.hpp"

namespace ringfs::sim {

namespace {

std::optional<TransactionId> id_in_row(const RowAddress& row) {
  if (row.key != record_key) return std::nullopt;
  Reader reader(row.sort);
  TransactionId id;
  id.started = reader.u64();
  id.random = read_uuid(reader);
  return reader.done() ? std::optional(id) : std::nullopt;
}

TransactionStep step_of_record(const Batch& batch, RecordState state) {
  if (state == RecordState::committed) return TransactionStep::flip;
  if (state == RecordState::pending) return TransactionStep::first_prepare;
  bool over_nothing = !batch.conditions.empty() && batch.conditions.front().kind == Condition::Kind::absent;
  return over_nothing ? TransactionStep::tombstone : TransactionStep::abort;
}

}  // namespace

// A row of the record says more than the parts beside it: it comes first.
std::optional<TransactionBatch> transaction_batch(const Batch& batch) {
  std::optional<TransactionBatch> found;
  for (const Mutation& mutation : batch.mutations) {
    if (std::optional<TransactionId> id = id_in_row(mutation.row)) {
      if (mutation.kind == Mutation::Kind::erase) {
        bool alone = batch.mutations.size() == 1;
        return TransactionBatch{alone ? TransactionStep::forget : TransactionStep::flip, *id};
      }
      Result<dht::TransactionRecord> record = dht::decode_transaction_record(mutation.value.view());
      if (mutation.kind == Mutation::Kind::put && record)
        return TransactionBatch{step_of_record(batch, record->state), *id};
    }
    if (mutation.kind == Mutation::Kind::prepare) found = {TransactionStep::next_prepare, mutation.record.id};
    if (mutation.kind == Mutation::Kind::resolve) {
      found = {mutation.number != 0 ? TransactionStep::resolve_committed : TransactionStep::resolve_aborted,
               mutation.record.id};
    }
  }
  return found;
}

const char* name_of(TransactionStep step) {
  switch (step) {
    case TransactionStep::first_prepare: return "transaction: first prepare";
    case TransactionStep::next_prepare: return "transaction: next prepare";
    case TransactionStep::flip: return "transaction: committed";
    case TransactionStep::abort: return "transaction: aborted by a flip";
    case TransactionStep::tombstone: return "transaction: tombstone over nothing";
    case TransactionStep::resolve_committed:
    case TransactionStep::resolve_next: return "transaction: part resolved";
    case TransactionStep::resolve_aborted: return "transaction: part dropped";
    case TransactionStep::forget: return "transaction: record forgotten";
  }
  return "transaction: ?";
}

std::string death_at(const TransactionMoment& moment) {
  std::string when = moment.said ? "coordinator dies: after it said " : "coordinator dies: before it says ";
  switch (moment.step) {
    case TransactionStep::first_prepare: return when + "first prepare";
    case TransactionStep::next_prepare: return when + "next prepare";
    case TransactionStep::flip: return when + "flip";
    case TransactionStep::abort: return when + "abort";
    case TransactionStep::tombstone: return when + "tombstone";
    case TransactionStep::resolve_committed: return when + "resolve";
    case TransactionStep::resolve_next: return when + "next resolve";
    case TransactionStep::resolve_aborted: return when + "drop";
    case TransactionStep::forget: return when + "forget";
  }
  return when;
}

}  // namespace ringfs::sim
