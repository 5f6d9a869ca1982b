// Row leases: who waits for whom, and for how long.
#include "dht/core/rows/row_leases.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht {
namespace {

using namespace std::chrono_literals;

const TimePoint start{std::chrono::hours(1)};
const RowAddress row{"object", "row"}, other_row{"object", "other"};

Uuid client(std::uint8_t number) {
  Uuid id;
  id.bytes[0] = number;
  return id;
}

RowChanges change(std::uint8_t number, const RowAddress& address, Mutation::Kind kind = Mutation::Kind::put) {
  Batch batch;
  batch.client = client(number);
  Mutation mutation;
  mutation.kind = kind;
  mutation.row = address;
  batch.mutations.push_back(mutation);
  return changed_rows(batch);
}

TimePoint begin(RowLeases& leases, const RowChanges& changes, TimePoint now) {
  leases.begin(changes, now);
  return leases.free_at(changes, now);
}

TEST(RowLeases, ChangeByAnotherClient_WaitsForTheEndOfTheLease) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 100ms, start));
  EXPECT_EQ(begin(leases, change(2, row), start + 10ms), start + 100ms);
  EXPECT_EQ(begin(leases, change(2, other_row), start + 10ms), start + 10ms) << "another row";
  ASSERT_EQ(leases.holders(start).size(), 1U);
  EXPECT_EQ(leases.holders(start)[0].until, start + 100ms);
}

TEST(RowLeases, AbsentRow_IsLeasedForAMoment) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row), row_hash(other_row)}, start + 100ms, start));
  leases.found_absent(row_hash(row), start + 1ms);
  EXPECT_EQ(begin(leases, change(2, row), start + 2ms), start + 1ms + absent_row_lease);
  EXPECT_EQ(begin(leases, change(2, other_row), start + 2ms), start + 100ms);
}

TEST(RowLeases, AbsentRow_LeaseIsNotExtended) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 2ms, start));
  leases.found_absent(row_hash(row), start);
  EXPECT_EQ(begin(leases, change(2, row), start), start + 2ms);
}

TEST(RowLeases, ErasedRows_AreThoseThatTheBatchLeavesAbsent) {
  Batch batch;
  for (const auto& [address, kind] :
       {std::pair{row, Mutation::Kind::erase}, std::pair{other_row, Mutation::Kind::erase},
        std::pair{row, Mutation::Kind::put}}) {
    Mutation mutation;
    mutation.kind = kind;
    mutation.row = address;
    batch.mutations.push_back(mutation);
  }
  EXPECT_EQ(changed_rows(batch).erased, std::vector<std::uint64_t>{row_hash(other_row)});
}

TEST(RowLeases, ChangeByTheHolder_DoesNotWait) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 100ms, start));
  EXPECT_EQ(begin(leases, change(1, row), start + 10ms), start + 10ms);
}

TEST(RowLeases, SeveralHolders_EachWaitsForTheOthers) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 50ms, start));
  ASSERT_TRUE(leases.grant(client(2), {row_hash(row)}, start + 90ms, start));
  EXPECT_EQ(begin(leases, change(1, row), start + 10ms), start + 90ms);
}

TEST(RowLeases, ChangeUnderWay_NoLeaseUntilItIsApplied) {
  RowLeases leases;
  RowChanges changes = change(1, row);
  begin(leases, changes, start);
  leases.entered(7, changes);
  EXPECT_FALSE(leases.grant(client(1), {row_hash(row)}, start + 100ms, start));
  EXPECT_FALSE(leases.grant(client(1), {row_hash(other_row), row_hash(row)}, start + 100ms, start)) << "all or nothing";
  leases.applied(6);
  EXPECT_FALSE(leases.grant(client(1), {row_hash(row)}, start + 100ms, start));
  leases.applied(7);
  EXPECT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 100ms, start));
}

TEST(RowLeases, ChangeThatNeverEntered_IsForgotten) {
  RowLeases leases;
  RowChanges changes = change(1, row);
  begin(leases, changes, start);
  leases.end(changes);
  EXPECT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 100ms, start));
}

TEST(RowLeases, RowThatAnotherClientChangedLately_GetsNoLease) {
  RowLeases leases;
  RowChanges changes = change(1, row);
  begin(leases, changes, start);
  leases.entered(7, changes);
  leases.applied(7);
  EXPECT_FALSE(leases.grant(client(2), {row_hash(row)}, start + 100ms, start + 10ms));
  EXPECT_TRUE(
      leases.grant(client(2), {row_hash(row)}, start + row_contention_pause + 100ms, start + row_contention_pause));
}

TEST(RowLeases, ErasedPrefix_WaitsForEveryLeaseOfOthers) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 60ms, start));
  ASSERT_TRUE(leases.grant(client(2), {row_hash(other_row)}, start + 80ms, start));
  RowChanges changes = change(1, {"object", ""}, Mutation::Kind::erase_prefix);
  EXPECT_EQ(begin(leases, changes, start), start + 80ms);
  EXPECT_FALSE(leases.grant(client(3), {row_hash({"elsewhere", ""})}, start + 100ms, start));
  leases.end(changes);
  EXPECT_TRUE(leases.grant(client(3), {row_hash({"elsewhere", ""})}, start + 100ms, start));
}

TEST(RowLeases, ResolvedTransaction_WaitsForNobodyAndStopsNothing) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 60ms, start));
  const RowChanges changes = change(2, {}, Mutation::Kind::resolve);
  EXPECT_EQ(begin(leases, changes, start), start);
  EXPECT_TRUE(leases.grant(client(1), {row_hash(other_row)}, start + 60ms, start));
  leases.end(changes);
}

TEST(RowLeases, PreparedPart_CountsWithItsLocks) {
  Batch batch;
  batch.client = client(2);
  Mutation prepare;
  prepare.kind = Mutation::Kind::prepare;
  prepare.locks = {row};
  Mutation part;
  part.kind = Mutation::Kind::add_i64;
  part.row = other_row;
  prepare.part = {part};
  batch.mutations = {prepare};
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 40ms, start));
  ASSERT_TRUE(leases.grant(client(1), {row_hash(other_row)}, start + 70ms, start));
  EXPECT_EQ(begin(leases, changed_rows(batch), start), start + 70ms);
  EXPECT_TRUE(changed_rows(batch).prepares);
  RowLeases own;
  ASSERT_TRUE(own.grant(client(2), {row_hash(row), row_hash(other_row)}, start + 70ms, start));
  ASSERT_TRUE(own.grant(client(1), {row_hash({"object", "third"})}, start + 90ms, start));
  EXPECT_EQ(begin(own, changed_rows(batch), start), start) << "neither its own client's leases nor those on other rows";
}

TEST(RowLeases, TooManyRows_NoLeaseUntilOldOnesHaveEnded) {
  RowLeases leases;
  auto numbered = [](std::size_t i) { return RowAddress{"object", std::to_string(i)}; };
  std::size_t granted = 0;
  while (granted <= max_leased_rows && leases.grant(client(1), {row_hash(numbered(granted))}, start + 100ms, start))
    ++granted;
  EXPECT_LE(granted, max_leased_rows);
  EXPECT_GE(granted, max_leased_rows / 2);
  const TimePoint later = start + 1s;
  EXPECT_TRUE(leases.grant(client(1), {row_hash(row)}, later + 100ms, later));
}

TEST(RowLeases, RowThatTwoClientsChange_IsLeasedToNeither) {
  RowLeases leases;
  for (std::uint8_t number : {std::uint8_t{1}, std::uint8_t{2}}) {
    RowChanges changes = change(number, row);
    begin(leases, changes, start);
    leases.end(changes);
  }
  EXPECT_FALSE(leases.grant(client(2), {row_hash(row)}, start + 100ms, start))
      << "the other one would wait at its every change";
  const TimePoint later = start + row_contention_pause;
  EXPECT_TRUE(leases.grant(client(2), {row_hash(row)}, later + 100ms, later));
}

// ---- Recalls ---------------------------------------------------------------------------------------

TEST(RowLeases, Recall_AsksEachHolderForItsRows) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row), row_hash(other_row)}, start + 1s, start));
  ASSERT_TRUE(leases.grant(client(2), {row_hash(row)}, start + 1s, start));
  ASSERT_TRUE(leases.grant(client(3), {row_hash(row)}, start + 1s, start));
  const auto wanted = leases.recall(change(3, row), start + 1ms);
  ASSERT_EQ(wanted.size(), 2U) << "not of the client whose batch it is";
  EXPECT_EQ(wanted.at(client(1)).rows, std::vector{row_hash(row)});
  EXPECT_FALSE(wanted.at(client(1)).everything);
  EXPECT_TRUE(leases.recall(change(3, row), start + 2s).empty()) << "leases that have ended";
}

TEST(RowLeases, Released_ChangeGoesOnWhenTheLastHolderHasAnswered) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 1s, start));
  ASSERT_TRUE(leases.grant(client(2), {row_hash(row)}, start + 900ms, start));
  const RowChanges changes = change(3, row);
  ASSERT_EQ(begin(leases, changes, start + 1ms), start + 1s);
  const std::uint64_t number = leases.recall(changes, start + 1ms).at(client(1)).number;
  leases.released(client(1), number, false, {row_hash(row)});
  EXPECT_EQ(leases.free_at(changes, start + 2ms), start + 900ms);
  leases.released(client(2), number, false, {row_hash(row)});
  EXPECT_EQ(leases.free_at(changes, start + 2ms), start + 2ms);
}

TEST(RowLeases, LateRelease_EndsNothingThatWasGrantedAfterItsRecall) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 10ms, start));
  const RowChanges changes = change(2, row);
  begin(leases, changes, start);
  const std::uint64_t number = leases.recall(changes, start).at(client(1)).number;
  leases.end(changes);
  const TimePoint later = start + row_contention_pause;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, later + 1s, later));
  leases.released(client(1), number, false, {row_hash(row)});
  leases.released(client(1), number, true, {});
  EXPECT_EQ(leases.free_at(change(2, row), later), later + 1s);
}

TEST(RowLeases, ErasedPrefix_RecallsEverythingFromEverybody) {
  RowLeases leases;
  ASSERT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 1s, start));
  ASSERT_TRUE(leases.grant(client(2), {row_hash(other_row)}, start + 1s, start));
  const RowChanges changes = change(2, {"object", ""}, Mutation::Kind::erase_prefix);
  ASSERT_EQ(begin(leases, changes, start), start + 1s);
  const auto wanted = leases.recall(changes, start);
  ASSERT_EQ(wanted.size(), 1U);
  EXPECT_TRUE(wanted.at(client(1)).everything);
  leases.released(client(1), wanted.at(client(1)).number, true, {});
  EXPECT_EQ(leases.free_at(changes, start + 1ms), start + 1ms);
  EXPECT_TRUE(leases.holders(start + 1ms).size() == 1) << "the second one's";
}

TEST(RowLeases, RowWithManyHolders_GetsNoMore) {
  RowLeases leases;
  for (std::uint8_t i = 1; i <= max_row_holders; ++i)
    ASSERT_TRUE(leases.grant(client(i), {row_hash(row)}, start + 1s, start));
  EXPECT_FALSE(leases.grant(client(100), {row_hash(row)}, start + 1s, start));
  EXPECT_TRUE(leases.grant(client(1), {row_hash(row)}, start + 2s, start)) << "one of them";
  EXPECT_TRUE(leases.grant(client(100), {row_hash(row)}, start + 4s, start + 3s)) << "when they have ended";
}

// ---- Rows that a read found -------------------------------------------------------------------------

using Places = std::vector<std::uint32_t>;

TEST(RowLeasesFound, RowsThatNobodyChangedSince_AreLeased) {
  RowLeases leases;
  const std::vector<std::uint64_t> found{row_hash(row), row_hash(other_row)};
  EXPECT_EQ(leases.grant_found(client(1), found, leases.mark(), start + 100ms, start), Places{});
  EXPECT_EQ(leases.free_at(change(2, row), start), start + 100ms);
}

TEST(RowLeasesFound, RowThatChanges_IsNot) {
  RowLeases leases;
  const std::uint64_t mark = leases.mark();
  const RowChanges changes = change(1, row);
  leases.begin(changes, start);
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(other_row), row_hash(row)}, mark, start + 100ms, start), Places{1});
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, mark, start + 100ms, start), std::nullopt);
}

TEST(RowLeasesFound, RowWhoseChangeEndedAfterTheReadBegan_IsNot) {
  RowLeases leases;
  const RowChanges changes = change(1, row);
  leases.begin(changes, start);
  const std::uint64_t before = leases.mark();
  leases.end(changes);
  const std::uint64_t after = leases.mark();
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, before, start + 100ms, start), std::nullopt);
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, after, start + 100ms, start), Places{});
}

TEST(RowLeasesFound, ChangeThatTheLeasesForgot_CountsAsOneOfAnyRow) {
  RowLeases leases;
  const std::uint64_t mark = leases.mark();
  const RowChanges changes = change(1, row);
  leases.begin(changes, start);
  leases.end(changes);
  TimePoint later = start + row_contention_pause + 1s;
  std::size_t granted = 0;  // many other rows, so that the old ones go
  while (granted < 3000)
    ASSERT_TRUE(leases.grant(client(1), {row_hash({"many", std::to_string(granted++)})}, later + 1ms, later));
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, mark, later + 100ms, later), std::nullopt);
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, leases.mark(), later + 100ms, later), Places{});
}

TEST(RowLeasesFound, AfterAPrefixWasErased_NothingThatWasReadBeforeIsLeased) {
  RowLeases leases;
  RowChanges everything;
  everything.client = client(1);
  everything.everything = true;
  const std::uint64_t mark = leases.mark();
  leases.begin(everything, start);
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, mark, start + 100ms, start), std::nullopt);
  leases.end(everything);
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, mark, start + 100ms, start), std::nullopt);
  EXPECT_EQ(leases.grant_found(client(1), {row_hash(row)}, leases.mark(), start + 100ms, start), Places{});
}

}  // namespace
}  // namespace ringfs::dht
