// Each kind of batch is recognized as its step.
#include "tests/sim/workload/transaction_steps.hpp"

#include <gtest/gtest.h>

#include <set>

#include "dht/base/row_changes.hpp"
#include "dht/net/client/lock_resolver.hpp"

namespace ringfs::sim {
namespace {

const RecordRef record{PartitionId{3}, {17, {}}};

dht::TransactionRecord in_state(RecordState state) { return {state, Stamp{17}, {}}; }

Mutation prepare() {
  Mutation mutation;
  mutation.kind = Mutation::Kind::prepare;
  mutation.record = record;
  return mutation;
}

std::optional<TransactionStep> step_of(std::vector<Condition> conditions, std::vector<Mutation> mutations) {
  Batch batch;
  batch.conditions = std::move(conditions);
  batch.mutations = std::move(mutations);
  std::optional<TransactionBatch> found = transaction_batch(batch);
  if (!found) return std::nullopt;
  EXPECT_EQ(found->id, record.id);
  return found->step;
}

TEST(TransactionSteps, Prepares_AreToldApartByTheRecord) {
  EXPECT_EQ(
      step_of({dht::record_is_absent(record)}, {dht::put_record(record, in_state(RecordState::pending)), prepare()}),
      TransactionStep::first_prepare);
  EXPECT_EQ(step_of({}, {prepare()}), TransactionStep::next_prepare);
}

TEST(TransactionSteps, Ends_AreToldApartByStateAndCondition) {
  const Condition pending = dht::record_is(record, dht::pending_record(record.id));
  EXPECT_EQ(step_of({pending}, {dht::put_record(record, in_state(RecordState::committed)), resolve(record, true)}),
            TransactionStep::flip);
  EXPECT_EQ(step_of({pending}, {dht::erase_record(record), resolve(record, true)}), TransactionStep::flip);
  EXPECT_EQ(step_of({pending}, {dht::put_record(record, in_state(RecordState::aborted))}), TransactionStep::abort);
  EXPECT_EQ(step_of({dht::record_is_absent(record)}, {dht::put_record(record, in_state(RecordState::aborted))}),
            TransactionStep::tombstone);
}

TEST(TransactionSteps, WhatComesAfterTheEnd) {
  EXPECT_EQ(step_of({}, {resolve(record, true)}), TransactionStep::resolve_committed);
  EXPECT_EQ(step_of({}, {resolve(record, false)}), TransactionStep::resolve_aborted);
  EXPECT_EQ(step_of({}, {dht::erase_record(record)}), TransactionStep::forget);
}

TEST(TransactionSteps, OrdinaryBatch_IsNone) {
  Mutation put;
  put.kind = Mutation::Kind::put;
  put.row = {"kv/object", "row"};
  EXPECT_EQ(step_of({}, {put}), std::nullopt);
}

TEST(TransactionSteps, Deaths_HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (TransactionStep step : coordinator_steps) {
    for (bool said : {false, true}) EXPECT_TRUE(names.insert(death_at({step, said})).second);
  }
}

}  // namespace
}  // namespace ringfs::sim
