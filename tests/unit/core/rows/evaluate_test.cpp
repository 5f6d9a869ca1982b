// What a batch does to rows: conditions, mutations, exactly once, transactions and reads.
#include "dht/core/rows/evaluate.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "dht/core/rows/dedup.hpp"
#include "tests/support/memory_rows.hpp"

namespace ringfs::dht {
namespace {

using Outcome = BatchResult::Outcome;
using MKind = Mutation::Kind;
using CKind = Condition::Kind;

Mutation mutate(MKind kind, std::string sort, SharedBytes value = {}, std::int64_t number = 0,
                std::uint32_t offset = 0) {
  Mutation mutation;
  mutation.kind = kind;
  mutation.row = {"o", std::move(sort)};
  mutation.value = std::move(value);
  mutation.number = number;
  mutation.offset = offset;
  return mutation;
}

Condition require(CKind kind, std::string sort, SharedBytes value = {}, std::uint64_t version = 0,
                  std::uint32_t offset = 0) {
  Condition condition;
  condition.kind = kind;
  condition.row = {"o", std::move(sort)};
  condition.value = std::move(value);
  condition.version = version;
  condition.offset = offset;
  return condition;
}

std::string i64(std::int64_t value) {
  Writer writer;
  writer.i64(value);
  return writer.take();
}

RecordRef record(std::uint64_t started) { return {PartitionId{7}, {started, {}}}; }

Mutation prepare(RecordRef reference, std::vector<Mutation> part, std::vector<RowAddress> locks = {}) {
  Mutation mutation;
  mutation.kind = MKind::prepare;
  mutation.record = reference;
  mutation.part = std::move(part);
  mutation.locks = std::move(locks);
  return mutation;
}

Mutation resolve(RecordRef reference, bool commit) {
  Mutation mutation;
  mutation.kind = MKind::resolve;
  mutation.record = reference;
  mutation.number = commit ? 1 : 0;
  return mutation;
}

class EvaluateTest : public testing::Test {
 protected:
  Batch batch(std::vector<Condition> conditions, std::vector<Mutation> mutations) {
    Batch result;
    result.client.bytes[0] = 1;
    result.sequence = ++sequence_;
    result.expires = now_ + std::chrono::seconds(30);
    result.conditions = std::move(conditions);
    result.mutations = std::move(mutations);
    return result;
  }
  BatchResult apply(const Batch& batch) { return evaluate(batch, now_, ++index_, rows_); }
  BatchResult run(std::vector<Condition> conditions, std::vector<Mutation> mutations) {
    return apply(batch(std::move(conditions), std::move(mutations)));
  }
  BatchResult put(std::string sort, SharedBytes value) {
    return run({}, {mutate(MKind::put, std::move(sort), std::move(value))});
  }
  std::optional<std::string> value(const std::string& sort) {
    std::optional<Row> row = rows_.get({"o", sort});
    if (!row) return std::nullopt;
    return row->value.str();
  }
  // The rows of clients, without the evaluator's own rows.
  std::map<RowAddress, MemoryRows::Stored> visible() {
    std::map<RowAddress, MemoryRows::Stored> result;
    for (const auto& [row, stored] : rows_.all()) {
      if (row.key.front() != '\0') result[row] = stored;
    }
    return result;
  }
  std::size_t rows_under(const std::string& key) {
    std::size_t count = 0;
    rows_.scan(key, {}, {}, false, [&](Row&&) { return ++count > 0; });
    return count;
  }

  MemoryRows rows_;
  Stamp now_{1'000'000'000};
  std::uint64_t index_ = 0;
  std::uint64_t sequence_ = 0;
};

TEST_F(EvaluateTest, Put_NewRow_GetsTheIndexAsVersion) {
  BatchResult result = put("a", "1");
  EXPECT_EQ(result.outcome, Outcome::applied);
  EXPECT_EQ(result.version, index_);
  EXPECT_EQ(result.stamp, now_);
  EXPECT_EQ(rows_.get({"o", "a"})->version, index_);
}

TEST_F(EvaluateTest, Conditions_EachKind_HoldsOrFailsAsItSays) {
  put("a", "hello");
  const std::uint64_t version = index_;
  struct Case {
    Condition condition;
    bool holds;
  };
  const std::vector<Case> cases{
      {require(CKind::absent, "b"), true},
      {require(CKind::absent, "a"), false},
      {require(CKind::present, "a"), true},
      {require(CKind::present, "b"), false},
      {require(CKind::version_equals, "a", {}, version), true},
      {require(CKind::version_equals, "a", {}, version + 1), false},
      {require(CKind::version_equals, "b", {}, 0), true},
      {require(CKind::version_equals, "a", {}, 0), false},
      {require(CKind::value_equals, "a", "hello"), true},
      {require(CKind::value_equals, "a", "hell"), false},
      {require(CKind::value_equals, "b", ""), false},
      {require(CKind::empty_prefix, "b"), true},
      {require(CKind::empty_prefix, ""), false},
      {require(CKind::bytes_equal, "a", "ell", 0, 1), true},
      {require(CKind::bytes_equal, "a", "elx", 0, 1), false},
      {require(CKind::bytes_equal, "a", "o!", 0, 4), false},
      {require(CKind::bytes_equal, "a", "x", 0, 99), false},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    BatchResult result = run({require(CKind::present, "a"), cases[i].condition}, {});
    EXPECT_EQ(result.outcome, cases[i].holds ? Outcome::applied : Outcome::condition_failed) << i;
    if (!cases[i].holds) {
      EXPECT_EQ(result.failed_condition, 1u) << i;
    }
  }
}

TEST_F(EvaluateTest, Mutations_EachKind_ChangesItsRow) {
  put("a", i64(5) + i64(100));
  run({}, {mutate(MKind::add_i64, "a", {}, -7), mutate(MKind::max_i64, "a", {}, 50, 8)});
  EXPECT_EQ(value("a"), i64(-2) + i64(100));
  run({}, {mutate(MKind::max_i64, "a", {}, 150, 8)});
  EXPECT_EQ(value("a"), i64(-2) + i64(150));
  run({}, {mutate(MKind::add_i64, "a", {}, 1, 9), mutate(MKind::add_i64, "none", {}, 1)});
  EXPECT_EQ(value("a"), i64(-2) + i64(150)) << "too short: left alone";
  EXPECT_FALSE(value("none"));
  run({}, {mutate(MKind::write_bytes, "w", "xy", 0, 2)});
  EXPECT_EQ(value("w"), std::string("\0\0xy", 4));
  run({}, {mutate(MKind::write_bytes, "w", "ab", 0, 1)});
  EXPECT_EQ(value("w"), std::string("\0aby", 4));
  run({}, {mutate(MKind::write_bytes, "w", "123", 0, 3)});
  EXPECT_EQ(value("w"), std::string("\0ab123", 6));
  run({},
      {mutate(MKind::truncate, "w", {}, 2), mutate(MKind::truncate, "t", {}, 2), mutate(MKind::truncate, "u", {}, 0)});
  EXPECT_EQ(value("w"), std::string("\0a", 2));
  EXPECT_EQ(value("t"), std::string(2, '\0'));
  EXPECT_FALSE(value("u"));
  run({}, {mutate(MKind::erase, "w"), mutate(MKind::erase, "never")});
  EXPECT_FALSE(value("w"));
}

TEST_F(EvaluateTest, Mutations_OfOneRowInOneBatch_SeeEachOther) {
  put("p/x", "old");
  BatchResult result = run({}, {mutate(MKind::put, "a", i64(1)), mutate(MKind::add_i64, "a", {}, 2),
                                mutate(MKind::write_bytes, "a", "zz", 0, 7), mutate(MKind::write_bytes, "a", "q", 0, 0),
                                mutate(MKind::truncate, "a", {}, 8), mutate(MKind::erase_prefix, "p/"),
                                mutate(MKind::write_bytes, "p/x", "n", 0, 1), mutate(MKind::put, "p/y", "y")});
  EXPECT_EQ(result.outcome, Outcome::applied);
  EXPECT_EQ(value("a"), std::string("q\0\0\0\0\0\0z", 8));
  EXPECT_EQ(value("p/x"), std::string("\0n", 2)) << "the erased bytes must not come back";
  EXPECT_EQ(value("p/y"), "y");
}

TEST_F(EvaluateTest, ErasePrefix_OtherObjectsAndPrefixes_Stay) {
  put("E/a", "1");
  put("E/b", "1");
  put("F/a", "1");
  run({}, {mutate(MKind::erase_prefix, "E/")});
  EXPECT_FALSE(value("E/a"));
  EXPECT_FALSE(value("E/b"));
  EXPECT_TRUE(value("F/a"));
}

TEST_F(EvaluateTest, Batch_LastMutationOverflows_NothingChanges) {
  put("a", i64(std::numeric_limits<std::int64_t>::max()));
  put("b", "before");
  auto before = visible();
  BatchResult result =
      run({}, {mutate(MKind::put, "b", "after"), mutate(MKind::put, "c", "new"), mutate(MKind::erase_prefix, ""),
               mutate(MKind::put, "a", i64(INT64_MAX)), mutate(MKind::add_i64, "a", {}, 1)});
  EXPECT_EQ(result.outcome, Outcome::invalid);
  EXPECT_EQ(visible(), before);
}

TEST_F(EvaluateTest, Batch_BrokenLimits_IsInvalidAndChangesNothing) {
  Mutation reserved = mutate(MKind::put, "x");
  reserved.row.key = lock_key;
  auto before = visible();
  EXPECT_EQ(run({}, {mutate(MKind::put, "a", "1"), reserved}).outcome, Outcome::invalid);
  EXPECT_EQ(visible(), before);
}

// ---- Exactly once.

TEST_F(EvaluateTest, Retry_AfterItWasExecuted_GetsTheFirstResult) {
  put("n", i64(0));
  Batch increment = batch({}, {mutate(MKind::add_i64, "n", {}, 1)});
  BatchResult first = apply(increment);
  now_ = now_ + std::chrono::seconds(10);
  BatchResult again = apply(increment);
  EXPECT_EQ(encode(again), encode(first));
  EXPECT_EQ(value("n"), i64(1));
  Batch failing = batch({require(CKind::absent, "n")}, {});
  EXPECT_EQ(apply(failing).outcome, Outcome::condition_failed);
  run({}, {mutate(MKind::erase, "n")});
  EXPECT_EQ(apply(failing).outcome, Outcome::condition_failed) << "a failure is remembered, too";
}

TEST_F(EvaluateTest, Retry_AfterExpiry_IsRefusedOrAnswered) {
  Batch late = batch({}, {mutate(MKind::put, "a", "late")});
  Batch done = batch({}, {mutate(MKind::put, "b", "done")});
  apply(done);
  now_ = now_ + std::chrono::seconds(31);
  EXPECT_EQ(apply(late).outcome, Outcome::expired);
  EXPECT_FALSE(value("a"));
  EXPECT_EQ(apply(done).outcome, Outcome::applied) << "remembered";
  now_ = now_ + dedup_life + std::chrono::seconds(1);
  put("c", "x");  // the sweep drops old results
  EXPECT_EQ(apply(done).outcome, Outcome::expired) << "forgotten, but expired for sure";
}

TEST_F(EvaluateTest, Batch_ExpiresTooFarAhead_IsExpiredAlsoWhenItsTimeHasCome) {
  Batch batch_near = batch({}, {mutate(MKind::put, "b", "1")});
  batch_near.expires = now_ + max_batch_life;
  EXPECT_EQ(apply(batch_near).outcome, Outcome::applied);
  Batch batch_far = batch({}, {mutate(MKind::put, "a", "1")});
  batch_far.expires = now_ + 3 * dedup_life;
  EXPECT_EQ(apply(batch_far).outcome, Outcome::expired);
  // Its client tries again under another sequence. Then a copy of the first batch arrives, before it has expired.
  now_ = batch_far.expires + -Duration(1);
  const auto pass_time = [&] {  // with batches of another client, so that the sweep reaches every client
    for (std::uint64_t i = 0; i < 8 * sweep_interval; ++i) {
      Batch other = batch({}, {mutate(MKind::put, "c", "x")});
      other.client.bytes[0] = 2;
      other.first_incomplete = other.sequence;
      apply(other);
    }
  };
  pass_time();
  EXPECT_EQ(apply(batch_far).outcome, Outcome::expired);
  EXPECT_FALSE(value("a"));
  now_ = batch_far.expires + dedup_life;
  pass_time();
  EXPECT_EQ(rows_under(dedup_key), 1u) << "only the other client's";
  EXPECT_EQ(apply(batch_far).outcome, Outcome::expired);
}

TEST_F(EvaluateTest, Sequence_BelowFirstIncomplete_IsSuperseded) {
  Batch slow = batch({}, {mutate(MKind::put, "a", "slow")});
  Batch done = batch({}, {mutate(MKind::put, "b", "1")});
  apply(done);
  Batch next = batch({}, {mutate(MKind::put, "c", "1")});
  next.first_incomplete = next.sequence;
  apply(next);
  EXPECT_EQ(apply(slow).outcome, Outcome::superseded);
  EXPECT_EQ(apply(done).outcome, Outcome::superseded);
  EXPECT_FALSE(value("a"));
}

TEST_F(EvaluateTest, Dedup_ClientsThatLeft_AreForgottenInTime) {
  for (int i = 0; i < 300; ++i) {
    Batch hello = batch({}, {});
    hello.client.bytes = {2, static_cast<std::uint8_t>(i / 256), static_cast<std::uint8_t>(i)};
    hello.sequence = 1;
    apply(hello);
  }
  EXPECT_EQ(rows_under(dedup_key), 300u);
  now_ = now_ + dedup_life + std::chrono::seconds(1);
  for (std::uint64_t i = 0; i < 8 * sweep_interval; ++i) {
    Batch next = batch({}, {mutate(MKind::put, "a", "x")});
    next.first_incomplete = next.sequence;
    apply(next);
  }
  EXPECT_EQ(rows_under(dedup_key), 1u) << "only the one that is still here";
}

TEST_F(EvaluateTest, Dedup_TooManyUnfinishedBatches_AreRefusedNotForgotten) {
  Batch first = batch({}, {mutate(MKind::put, "n", i64(0))});
  apply(first);
  while (sequence_ < max_remembered) run({}, {});
  Batch over = batch({}, {mutate(MKind::put, "over", "1")});
  EXPECT_EQ(apply(over).outcome, Outcome::invalid);
  EXPECT_FALSE(value("over"));
  EXPECT_EQ(apply(first).version, 1u);
  over.first_incomplete = over.sequence;
  EXPECT_EQ(apply(over).outcome, Outcome::applied);
}

TEST_F(EvaluateTest, Faults_DedupSwitchedOff_ExecutesTwice) {
  put("n", i64(0));
  Batch increment = batch({}, {mutate(MKind::add_i64, "n", {}, 1)});
  EvaluateFaults faults{.no_dedup = true};
  evaluate(increment, now_, ++index_, rows_, faults);
  evaluate(increment, now_, ++index_, rows_, faults);
  EXPECT_EQ(value("n"), i64(2));
}

// ---- Transactions.

TEST_F(EvaluateTest, Prepare_RowsOfItsPart_AreLockedAndUnchanged) {
  put("a", i64(1));
  put("free", i64(1));
  auto before = visible();
  EXPECT_EQ(run({}, {prepare(record(1), {mutate(MKind::put, "a", "new"), mutate(MKind::add_i64, "free", {}, 5)},
                             {{"o", "extra"}})})
                .outcome,
            Outcome::applied);
  EXPECT_EQ(visible(), before);
  for (const Mutation& mutation :
       {mutate(MKind::put, "a", "x"), mutate(MKind::erase, "a"), mutate(MKind::add_i64, "a", {}, 1),
        mutate(MKind::max_i64, "a", {}, 1), mutate(MKind::write_bytes, "a", "x"), mutate(MKind::truncate, "a"),
        mutate(MKind::erase_prefix, "a"), mutate(MKind::put, "extra", "x")}) {
    BatchResult result = run({}, {mutation});
    EXPECT_EQ(result.outcome, Outcome::locked) << static_cast<int>(mutation.kind);
    EXPECT_EQ(result.lock, record(1));
  }
  for (const Condition& condition : {require(CKind::absent, "a"), require(CKind::present, "extra"),
                                     require(CKind::empty_prefix, "ext"), require(CKind::value_equals, "a", "zzz")}) {
    EXPECT_EQ(run({condition}, {}).outcome, Outcome::locked);
  }
  EXPECT_EQ(run({}, {mutate(MKind::add_i64, "free", {}, 1)}).outcome, Outcome::applied) << "additions pass each other";
}

TEST_F(EvaluateTest, Resolve_Commit_AppliesAndLeavesNothing) {
  put("a", i64(1));
  run({}, {prepare(record(1), {mutate(MKind::put, "a", "new"), mutate(MKind::put, "b", "b")}, {{"o", "c"}})});
  run({}, {prepare(record(1), {mutate(MKind::put, "d", "second part")})});
  BatchResult result = run({}, {resolve(record(1), true)});
  EXPECT_EQ(value("a"), "new");
  EXPECT_EQ(value("b"), "b");
  EXPECT_EQ(value("d"), "second part");
  EXPECT_EQ(rows_.get({"o", "a"})->version, result.version);
  EXPECT_EQ(rows_under(lock_key), 0u);
  EXPECT_EQ(rows_under(part_key), 0u);
  put("a", "later");
  EXPECT_EQ(run({}, {resolve(record(1), true)}).outcome, Outcome::applied);
  EXPECT_EQ(value("a"), "later") << "a second resolve does nothing";
}

TEST_F(EvaluateTest, Resolve_Abort_ForgetsEverything) {
  put("a", "old");
  auto before = visible();
  run({}, {prepare(record(1), {mutate(MKind::put, "a", "new"), mutate(MKind::erase, "b")})});
  run({}, {resolve(record(1), false)});
  EXPECT_EQ(visible(), before);
  EXPECT_EQ(rows_under(lock_key) + rows_under(part_key), 0u);
}

TEST_F(EvaluateTest, Prepare_RowsOfARival_AreLocked) {
  run({}, {prepare(record(1), {mutate(MKind::put, "a", "1")})});
  BatchResult rival = run({}, {prepare(record(2), {mutate(MKind::put, "b", "2"), mutate(MKind::put, "a", "2")})});
  EXPECT_EQ(rival.outcome, Outcome::locked);
  EXPECT_EQ(rival.lock, record(1));
  EXPECT_EQ(put("b", "free").outcome, Outcome::applied) << "nothing of the rival's part was locked";
  EXPECT_EQ(run({require(CKind::absent, "a")}, {prepare(record(1), {mutate(MKind::put, "c", "1")})}).outcome,
            Outcome::applied)
      << "its own locks do not stop it";
  run({}, {resolve(record(2), false)});
  EXPECT_EQ(put("a", "x").outcome, Outcome::locked) << "a rival's end frees only its own locks";
}

TEST_F(EvaluateTest, Resolve_AdditionThatOverflows_StopsAtTheEndOfTheRange) {
  put("n", i64(INT64_MAX - 1));
  run({}, {prepare(record(1), {mutate(MKind::add_i64, "n", {}, 5), mutate(MKind::put, "a", "1")})});
  EXPECT_EQ(run({}, {resolve(record(1), true)}).outcome, Outcome::applied);
  EXPECT_EQ(value("n"), i64(INT64_MAX));
  EXPECT_EQ(value("a"), "1");
}

TEST_F(EvaluateTest, Locks_OfAKeyThatIsAPrefixOfAnother_AreNotMixedUp) {
  Mutation longer = mutate(MKind::put, "a", "1");
  longer.row.key = "oa";
  run({}, {prepare(record(1), {longer})});
  EXPECT_EQ(put("a", "1").outcome, Outcome::applied);
  EXPECT_EQ(run({require(CKind::empty_prefix, "b")}, {}).outcome, Outcome::applied);
}

// ---- Rows that a transaction only adds to.

constexpr std::uint32_t field = 8;  // of a row of 24 bytes

TEST_F(EvaluateTest, Prepare_Additions_AreMetByWhateverTouchesTheirBytes) {
  put("n", std::string(24, '\0'));
  ASSERT_EQ(run({}, {prepare(record(1), {mutate(MKind::add_i64, "n", {}, 5, field)})}).outcome, Outcome::applied);
  for (const Mutation& mutation :
       {mutate(MKind::put, "n", "x"), mutate(MKind::erase, "n"), mutate(MKind::truncate, "n", {}, 3),
        mutate(MKind::erase_prefix, ""), mutate(MKind::max_i64, "n", {}, 7, field),
        mutate(MKind::add_i64, "n", {}, 7, field + 4), mutate(MKind::write_bytes, "n", "x", 0, field),
        mutate(MKind::write_bytes, "n", "x", 0, field + 8)}) {
    BatchResult result = run({}, {mutation});
    EXPECT_EQ(result.outcome, Outcome::locked) << static_cast<int>(mutation.kind) << " at " << mutation.offset;
    EXPECT_EQ(result.lock, record(1));
  }
  const std::uint64_t version = *rows_.version({"o", "n"});
  for (const Condition& condition :
       {require(CKind::value_equals, "n", SharedBytes(std::string(24, '\0'))),
        require(CKind::version_equals, "n", {}, version), require(CKind::bytes_equal, "n", "x", 0, field + 7)}) {
    EXPECT_EQ(run({condition}, {}).outcome, Outcome::locked) << static_cast<int>(condition.kind);
  }
}

TEST_F(EvaluateTest, Prepare_Additions_LetPassWhatLeavesTheirBytesAlone) {
  put("n", std::string(24, '\0'));
  run({}, {prepare(record(1), {mutate(MKind::add_i64, "n", {}, 5, field)})});
  for (const Mutation& mutation :
       {mutate(MKind::add_i64, "n", {}, 1, field), mutate(MKind::add_i64, "n", {}, 1, field + 8),
        mutate(MKind::max_i64, "n", {}, 9, 0), mutate(MKind::write_bytes, "n", "12345678", 0, 0)}) {
    BatchResult result = run({}, {mutation});
    EXPECT_EQ(result.outcome, Outcome::applied) << static_cast<int>(mutation.kind) << " at " << mutation.offset;
    EXPECT_TRUE(result.held) << "and nobody gets a lease on the row";
  }
  EXPECT_EQ(run({require(CKind::present, "n"), require(CKind::bytes_equal, "n", "12345678"),
                 require(CKind::bytes_equal, "n", SharedBytes(i64(1)), 0, field + 8)},
                {})
                .outcome,
            Outcome::applied);
  EXPECT_EQ(run({require(CKind::empty_prefix, "n")}, {}).outcome, Outcome::condition_failed)
      << "no addition takes a row away";
  EXPECT_FALSE(put("other", "x").held);
  run({}, {resolve(record(1), true)});
  EXPECT_EQ(value("n"), "12345678" + i64(6) + i64(1));
  EXPECT_FALSE(run({}, {mutate(MKind::add_i64, "n", {}, 1, field)}).held);
}

// Both transactions raise one field: a time that only grows (fs/change_set.hpp).
TEST_F(EvaluateTest, Prepare_AdditionAndMaximumAtOnePlace_LetPassOnlyTheSame) {
  put("n", std::string(24, '\0'));
  const std::vector<Mutation> moves{mutate(MKind::add_i64, "n", {}, 1, field),
                                    mutate(MKind::max_i64, "n", {}, 1000, field)};
  run({}, {prepare(record(1), moves)});
  EXPECT_EQ(run({}, {mutate(MKind::add_i64, "n", {}, 1, field)}).outcome, Outcome::locked);
  EXPECT_EQ(run({}, {mutate(MKind::max_i64, "n", {}, 5, field)}).outcome, Outcome::locked);
  EXPECT_EQ(run({}, {prepare(record(2), {mutate(MKind::add_i64, "n", {}, 1, field)})}).outcome, Outcome::locked);
  EXPECT_EQ(run({}, moves).outcome, Outcome::applied) << "as a create does beside a pending rename";
  EXPECT_EQ(run({}, {prepare(record(3), moves)}).outcome, Outcome::applied);
  EXPECT_EQ(run({}, {mutate(MKind::add_i64, "n", {}, 1, field + 8), mutate(MKind::max_i64, "n", {}, 9, 0)}).outcome,
            Outcome::applied)
      << "other places";
  run({}, {resolve(record(1), true)});
  run({}, {resolve(record(3), true)});
  EXPECT_EQ(value("n"), i64(9) + i64(1002) + i64(1)) << "each moved it";
  EXPECT_EQ(rows_under(lock_key) + rows_under(part_key), 0u);
  // And the other way round.
  run({}, {prepare(record(4), {mutate(MKind::add_i64, "n", {}, 1, field)})});
  EXPECT_EQ(run({}, moves).outcome, Outcome::locked);
}

TEST_F(EvaluateTest, Additions_OfSeveralTransactions_AreHeldTogetherAndLetGoOneByOne) {
  put("n", i64(0));
  for (std::uint64_t i : {1U, 2U, 3U}) run({}, {prepare(record(i), {mutate(MKind::add_i64, "n", {}, 1)})});
  ReadRequest request;
  request.gets = {{"o", "n"}};
  request.scans = {{"o", "", "", 1000, true}};
  const std::vector<RecordRef> all{record(1), record(2), record(3)};
  Result<ReadReply> reply = execute_read(request, rows_);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->gets[0].locks, all);
  EXPECT_EQ(reply->scans[0].locks, all);
  run({}, {resolve(record(2), true)});
  reply = execute_read(request, rows_);
  EXPECT_EQ(reply->gets[0].locks, (std::vector<RecordRef>{record(1), record(3)}));
  EXPECT_EQ(value("n"), i64(1));
  run({}, {resolve(record(1), false)});
  run({}, {resolve(record(3), true)});
  EXPECT_EQ(value("n"), i64(2));
  EXPECT_EQ(rows_under(lock_key) + rows_under(part_key), 0u);
}

TEST_F(EvaluateTest, Prepare_RowThatAnotherOneAddsTo_IsNotHeldAloneAndTheOtherWayRound) {
  put("n", i64(0));
  put("m", i64(0));
  run({}, {prepare(record(1), {mutate(MKind::add_i64, "n", {}, 1)}, {{"o", "m"}})});
  EXPECT_EQ(run({}, {prepare(record(2), {}, {{"o", "n"}})}).lock, record(1));
  EXPECT_EQ(run({}, {prepare(record(2), {mutate(MKind::put, "n", "x")})}).lock, record(1));
  EXPECT_EQ(run({}, {prepare(record(2), {mutate(MKind::add_i64, "m", {}, 1)})}).lock, record(1));
  EXPECT_EQ(run({}, {prepare(record(2), {mutate(MKind::max_i64, "n", {}, 1)})}).lock, record(1))
      << "a sum and a maximum have an order";
  // The transaction itself may also lock the row that it adds to, before or after.
  EXPECT_EQ(run({}, {prepare(record(1), {mutate(MKind::add_i64, "m", {}, 1)}, {{"o", "n"}})}).outcome,
            Outcome::applied);
  EXPECT_EQ(run({}, {mutate(MKind::add_i64, "n", {}, 1)}).outcome, Outcome::locked) << "it holds it alone now";
  run({}, {resolve(record(1), true)});
  EXPECT_EQ(value("n"), i64(1));
  EXPECT_EQ(value("m"), i64(1));
  EXPECT_EQ(rows_under(lock_key) + rows_under(part_key), 0u);
}

TEST_F(EvaluateTest, Additions_OfTooManyTransactions_MeetTheFirst) {
  put("n", i64(0));
  auto next = [&](std::uint64_t number) {
    Batch one = batch({}, {prepare(record(number), {mutate(MKind::add_i64, "n", {}, 1)})});
    one.first_incomplete = one.sequence;
    return apply(one);
  };
  for (std::uint64_t i = 0; i < max_row_holders; ++i) ASSERT_EQ(next(i).outcome, Outcome::applied);
  BatchResult refused = next(max_row_holders);
  EXPECT_EQ(refused.outcome, Outcome::locked);
  EXPECT_EQ(refused.lock, record(0));
  ReadRequest request;
  request.gets = {{"o", "n"}};
  Result<ReadReply> reply = execute_read(request, rows_);
  ASSERT_TRUE(reply);
  EncodedBatch encoded = encode(*reply);
  Result<ReadReply> decoded = decode_read_reply(encoded.head, encoded.blobs);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->gets[0].locks.size(), max_row_holders);
}

TEST_F(EvaluateTest, Faults_NoAddLocks_AdditionsHoldNothing) {
  put("n", i64(0));
  evaluate(batch({}, {prepare(record(1), {mutate(MKind::add_i64, "n", {}, 1)})}), now_, ++index_, rows_,
           {.no_add_locks = true});
  EXPECT_EQ(put("n", i64(5)).outcome, Outcome::applied);
  EXPECT_EQ(rows_under(lock_key), 0u);
}

// ---- Reads.

TEST_F(EvaluateTest, Read_GetsAndScans_ShowRowsAndLocks) {
  put("E/a", "1");
  put("E/b", "2");
  put("F/a", "3");
  run({}, {prepare(record(9), {mutate(MKind::put, "E/c", "new"), mutate(MKind::put, "F/a", "new")})});
  ReadRequest request;
  request.gets = {{"o", "E/a"}, {"o", "F/a"}, {"o", "E/c"}};
  request.scans = {{"o", "E/", "", 1000, true}, {"o", "E/", "E/a", 1000, false}, {"o", "E/", "", 1, true}};
  Result<ReadReply> reply = execute_read(request, rows_);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->gets[0].found);
  EXPECT_TRUE(reply->gets[0].locks.empty());
  EXPECT_EQ(reply->gets[1].locks, std::vector<RecordRef>{record(9)});
  EXPECT_EQ(reply->gets[1].row.value, SharedBytes("3"));
  EXPECT_FALSE(reply->gets[2].found);
  EXPECT_EQ(reply->gets[2].locks, std::vector<RecordRef>{record(9)}) << "a row that is about to come";
  ASSERT_EQ(reply->scans[0].rows.size(), 2u);
  EXPECT_EQ(reply->scans[0].locks, std::vector<RecordRef>{record(9)});
  ASSERT_EQ(reply->scans[1].rows.size(), 1u);
  EXPECT_TRUE(reply->scans[1].rows[0].value.empty());
  EXPECT_TRUE(reply->scans[2].more);
  EXPECT_TRUE(reply->scans[2].locks.empty()) << "beyond what was read";
}

TEST_F(EvaluateTest, Read_MoreThanAReplyHolds_ScanStopsAndGetIsTooLarge) {
  for (int i = 0; i < 4; ++i) put("c" + std::to_string(i), SharedBytes(std::string(400'000, 'x')));
  ReadRequest scan;
  scan.scans = {{"o", "c", "", 1000, true}};
  Result<ReadReply> reply = execute_read(scan, rows_);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->scans[0].rows.size(), 2u);
  EXPECT_TRUE(reply->scans[0].more);
  EXPECT_TRUE(decode_read_reply(encode(*reply).head, encode(*reply).blobs));
  ReadRequest gets;
  gets.gets = {{"o", "c0"}, {"o", "c1"}, {"o", "c2"}};
  EXPECT_EQ(execute_read(gets, rows_).error().code, ErrorCode::too_large);
}

TEST_F(EvaluateTest, Read_TooManyTransactionsInTheRange_IsAnErrorNotAnOmission) {
  for (std::uint64_t i = 0; i <= max_scan_locks; ++i) {
    Batch next = batch({}, {prepare(record(i), {mutate(MKind::put, "E/" + std::to_string(i), "x")})});
    next.first_incomplete = next.sequence;  // earlier results need not be kept
    ASSERT_EQ(apply(next).outcome, Outcome::applied);
  }
  ReadRequest request;
  request.scans = {{"o", "E/", "", 1000, true}};
  EXPECT_EQ(execute_read(request, rows_).error().code, ErrorCode::overloaded);
}

// The same batches over the same rows give the same bytes.
TEST_F(EvaluateTest, RandomBatches_TwoReplicas_StayEqual) {
  SeededRandom random(42);
  MemoryRows replica;
  for (std::uint64_t index = 1; index <= 5000; ++index) {
    Batch random_batch;
    random_batch.client.bytes[0] = static_cast<std::uint8_t>(random.below(3));
    random_batch.sequence = 1 + random.below(index);
    random_batch.first_incomplete = random.below(random_batch.sequence + 1) / 2;
    random_batch.expires = now_ + Duration(static_cast<std::int64_t>(random.below(70'000'000)));
    auto sort = [&] { return std::string(1, static_cast<char>('a' + random.below(6))); };
    for (std::uint64_t i = random.below(3); i > 0; --i) {
      random_batch.conditions.push_back(
          require(static_cast<CKind>(1 + random.below(6)), sort(), "v", random.below(index)));
    }
    for (std::uint64_t i = random.below(4); i > 0; --i) {
      auto plain = [&] {
        return mutate(static_cast<MKind>(1 + random.below(7)), sort(), SharedBytes(std::string(random.below(20), 'v')),
                      static_cast<std::int64_t>(random.below(30)), static_cast<std::uint32_t>(random.below(12)));
      };
      switch (random.below(4)) {
        case 0: random_batch.mutations.push_back(prepare(record(random.below(3)), {plain(), plain()})); break;
        case 1: random_batch.mutations.push_back(resolve(record(random.below(3)), random.below(2) == 0)); break;
        default: random_batch.mutations.push_back(plain());
      }
    }
    BatchResult left = evaluate(random_batch, now_, index, rows_);
    BatchResult right = evaluate(random_batch, now_, index, replica);
    ASSERT_EQ(encode(left), encode(right));
    now_ = now_ + Duration(static_cast<std::int64_t>(random.below(1'000'000)));
  }
  EXPECT_EQ(rows_, replica);
  EXPECT_EQ(rows_.state_hash(), replica.state_hash());
  EXPECT_GT(rows_.all().size(), 3u);
}

}  // namespace
}  // namespace ringfs::dht
