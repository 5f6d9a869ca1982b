// What a client may answer from its memory, and when it must not.
#include "dht/net/client/leased_rows.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht {
namespace {

using namespace std::chrono_literals;

const TimePoint start{std::chrono::hours(1)};
// A lease that is used until `start + duration`.
GrantedLease lease_of(Duration duration) {
  return {start, duration * GrantedLease::margin / (GrantedLease::margin - 1)};
}
const RowAddress row{"object", "row"}, other_row{"object", "other"};

class LeasedRowsTest : public testing::Test {
 protected:
  static ReadRequest request(std::vector<RowAddress> gets) {
    ReadRequest request;
    request.gets = std::move(gets);
    return request;
  }
  static ReadReply reply(const std::string& value, bool locked = false) {
    ReadReply reply;
    ReadReply::Get get;
    get.found = true;
    get.row.value = SharedBytes(value);
    if (locked) get.locks = {RecordRef{}};
    reply.gets = {get};
    return reply;
  }
  Batch change(const RowAddress& address, Mutation::Kind kind = Mutation::Kind::put) const {
    Batch batch;
    Mutation mutation;
    mutation.kind = kind;
    mutation.row = address;
    batch.mutations = {mutation};
    return batch;
  }
  void learn(const std::string& value) {
    LeasedRows::Asking asking(rows_, PartitionId{1});
    asking.remember(request({row}), reply(value), lease_of(100ms));
  }
  std::string known(TimePoint now = start) {
    std::optional<ReadReply> found = rows_->find(request({row}), now);
    return found ? found->gets[0].row.value.str() : "<nothing>";
  }

  std::shared_ptr<LeasedRows> rows_ = std::make_shared<LeasedRows>();
};

TEST_F(LeasedRowsTest, Row_UnderALease_IsKnownUntilItEnds) {
  learn("a");
  EXPECT_EQ(known(start + 99ms), "a");
  EXPECT_EQ(known(start + 100ms), "<nothing>");
}

TEST_F(LeasedRowsTest, AbsentRow_IsKnownForAMoment) {
  LeasedRows::Asking asking(rows_, PartitionId{1});
  ReadReply nothing;
  nothing.gets.resize(1);
  asking.remember(request({row}), nothing, lease_of(100ms));
  EXPECT_TRUE(rows_->find(request({row}), start + absent_row_lease / 2));
  EXPECT_FALSE(rows_->find(request({row}), start + absent_row_lease));
}

TEST_F(LeasedRowsTest, RowThatItErased_IsKnownToBeAbsentForAMoment) {
  learn("a");
  Batch batch = change(row, Mutation::Kind::erase);
  {
    LeasedRows::Changing changing(rows_, PartitionId{1}, batch, start + 60s);
    changing.sent();
    changing.ended();
    changing.remember(batch, 9, lease_of(100ms), start);
  }
  std::optional<ReadReply> known = rows_->find(request({row}), start + absent_row_lease / 2);
  ASSERT_TRUE(known);
  EXPECT_FALSE(known->gets[0].found);
  EXPECT_FALSE(rows_->find(request({row}), start + absent_row_lease));
}

TEST_F(LeasedRowsTest, Request_ForMoreThanIsKnown_IsNotAnswered) {
  learn("a");
  EXPECT_FALSE(rows_->find(request({row, other_row}), start));
  ReadRequest scanning = request({row});
  scanning.scans.emplace_back();
  EXPECT_FALSE(rows_->find(scanning, start));
}

TEST_F(LeasedRowsTest, LockedRow_IsNotRemembered) {
  LeasedRows::Asking asking(rows_, PartitionId{1});
  asking.remember(request({row}), reply("a", true), lease_of(100ms));
  EXPECT_EQ(known(), "<nothing>");
}

// What its own transaction prepared is forgotten then, and shows a lock from then on: the end of it changes nothing
// that is known.
TEST_F(LeasedRowsTest, OwnTransaction_ForgetsWhatItPreparesAndNothingWhenItEnds) {
  learn("a");
  Mutation prepare;
  prepare.kind = Mutation::Kind::prepare;
  prepare.part = change(row, Mutation::Kind::add_i64).mutations;
  Batch prepares;
  prepares.mutations = {prepare};
  {
    LeasedRows::Changing changing(rows_, PartitionId{1}, prepares, start + 60s);
    changing.sent();
    EXPECT_EQ(known(), "<nothing>");
    changing.ended();
  }
  LeasedRows::Asking asking(rows_, PartitionId{1});
  asking.remember(request({other_row}), reply("other"), lease_of(100ms));
  Batch resolves;
  resolves.mutations.emplace_back().kind = Mutation::Kind::resolve;
  LeasedRows::Changing resolving(rows_, PartitionId{1}, resolves, start + 60s);
  resolving.sent();
  EXPECT_TRUE(rows_->find(request({other_row}), start));
}

TEST_F(LeasedRowsTest, OwnChange_ForgetsTheRowAndKeepsItOutWhileUnderWay) {
  learn("a");
  LeasedRows::Changing changing(rows_, PartitionId{1}, change(row), start + 60s);
  EXPECT_EQ(known(), "<nothing>");
  learn("b");
  EXPECT_EQ(known(), "<nothing>");
}

TEST_F(LeasedRowsTest, ReadAskedBeforeTheOwnChangeEnded_IsNotRemembered) {
  LeasedRows::Asking early(rows_, PartitionId{1});
  {
    LeasedRows::Changing changing(rows_, PartitionId{1}, change(row), start + 60s);
    changing.sent();
    changing.ended();
  }
  early.remember(request({row}), reply("old"), lease_of(100ms));
  EXPECT_EQ(known(), "<nothing>");
  learn("new");
  EXPECT_EQ(known(), "new");
}

TEST_F(LeasedRowsTest, OwnChangeWithoutAnAnswer_KeepsTheRowOutWhileItMayHappen) {
  {
    LeasedRows::Changing changing(rows_, PartitionId{1}, change(row), start + 60s);
    changing.sent();
  }
  learn("a");
  EXPECT_EQ(known(), "<nothing>");
  EXPECT_EQ(known(start + 60s), "<nothing>");
  LeasedRows::Asking asking(rows_, PartitionId{1});
  asking.remember(request({row}), reply("b"), lease_of(61s));
  EXPECT_EQ(known(start + 60s), "b");
}

TEST_F(LeasedRowsTest, OwnPrefixErased_ForgetsEverything) {
  learn("a");
  LeasedRows::Changing changing(rows_, PartitionId{1}, change({"object", ""}, Mutation::Kind::erase_prefix),
                                start + 60s);
  EXPECT_EQ(known(), "<nothing>");
}

TEST_F(LeasedRowsTest, TooManyBytes_AreNotKept) {
  const std::string large(1 << 20, 'x');
  for (unsigned i = 0; i < 40; ++i) {
    LeasedRows::Asking asking(rows_, PartitionId{1});
    asking.remember(request({{"object", std::to_string(i)}}), reply(large), lease_of(100ms));
    rows_->find(request({row}), start);
  }
  std::size_t kept = 0;
  for (unsigned i = 0; i < 40; ++i) kept += rows_->find(request({{"object", std::to_string(i)}}), start) ? 1 : 0;
  EXPECT_LE(kept, max_leased_row_bytes / large.size() + 1);
}

TEST_F(LeasedRowsTest, OwnChangeOfAKnownRow_IsKnownAfterwards) {
  learn(std::string(8, '\0'));
  Batch batch = change(row, Mutation::Kind::add_i64);
  batch.mutations[0].number = 5;
  batch.mutations.push_back(change(other_row).mutations[0]);
  batch.mutations[1].value = SharedBytes("other");
  {
    LeasedRows::Changing changing(rows_, PartitionId{1}, batch, start + 60s);
    changing.sent();
    changing.ended();
    changing.remember(batch, 9, lease_of(200ms), start + 10ms);
  }
  Writer five;
  five.i64(5);
  EXPECT_EQ(known(start + 150ms), five.take());
  std::optional<ReadReply> other = rows_->find(request({other_row}), start);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->gets[0].row.value.view(), "other");
  EXPECT_EQ(other->gets[0].row.version, 9u);
}

TEST_F(LeasedRowsTest, OwnChangeAfterTheFormerLeaseEnded_ReliesOnNothingFormer) {
  learn(std::string(8, '\0'));
  Batch batch = change(row, Mutation::Kind::add_i64);
  LeasedRows::Changing changing(rows_, PartitionId{1}, batch, start + 60s);
  changing.sent();
  changing.ended();
  changing.remember(batch, 9, lease_of(300ms), start + 100ms);  // another client may have changed it
  EXPECT_EQ(known(start + 100ms), "<nothing>");
}

TEST_F(LeasedRowsTest, OwnChangesAtTheSameTime_AreNotGuessed) {
  Batch batch = change(row);
  batch.mutations[0].value = SharedBytes("mine");
  LeasedRows::Changing first(rows_, PartitionId{1}, batch, start + 60s),
      second(rows_, PartitionId{1}, batch, start + 60s);
  first.remember(batch, 9, lease_of(100ms), start);
  EXPECT_EQ(known(), "<nothing>");
}

TEST_F(LeasedRowsTest, ManyOwnChanges_ReadsAskedBeforeRememberNothing) {
  LeasedRows::Asking early(rows_, PartitionId{1});
  for (unsigned i = 0; i < 10'000; ++i) {
    LeasedRows::Changing changing(rows_, PartitionId{1}, change({"object", std::to_string(i)}), start + 60s);
    changing.sent();
    changing.ended();
  }
  early.remember(request({{"object", "3"}}), reply("old"), lease_of(100ms));
  EXPECT_FALSE(rows_->find(request({{"object", "3"}}), start));
  learn("a");
  EXPECT_EQ(known(), "a");
}

// ---- Scans -----------------------------------------------------------------------------------------

class LeasedScanTest : public LeasedRowsTest {
 protected:
  // Finds the rows "other" and "row" of the object.
  void find(std::vector<std::uint32_t> unleased, bool locked = false) {
    ReadRequest scan;
    scan.scans.push_back({row.key, "", "", 10, true});
    ReadReply found;
    found.scans.resize(1);
    found.scans[0].rows = {Row{other_row.sort, 1, SharedBytes("b")}, Row{row.sort, 1, SharedBytes("a")}};
    if (locked) found.scans[0].locks = {RecordRef{}};
    asking_.remember_found(scan, found, lease_of(100ms), unleased);
  }
  bool knows(const RowAddress& address) { return rows_->knows(request({address}), start); }

  LeasedRows::Asking asking_{rows_, PartitionId{1}};
};

TEST_F(LeasedScanTest, FoundRows_AreKnown) {
  find({});
  EXPECT_EQ(known(), "a");
  EXPECT_TRUE(knows(other_row));
}

TEST_F(LeasedScanTest, RowWithoutALease_IsNot) {
  find({0});
  EXPECT_EQ(known(), "a");
  EXPECT_FALSE(knows(other_row));
}

TEST_F(LeasedScanTest, RowsInARangeThatATransactionHolds_AreNot) {
  find({}, true);
  EXPECT_FALSE(knows(row));
}

TEST_F(LeasedScanTest, RecalledMeanwhile_IsNotRemembered) {
  rows_->recall({.client = {},
                 .partition = PartitionId{1},
                 .term = 1,
                 .number = 1,
                 .everything = false,
                 .rows = {row_hash(row)}});
  find({});
  EXPECT_FALSE(knows(row));
  EXPECT_TRUE(knows(other_row));
}

// ---- Recalls ---------------------------------------------------------------------------------------

Recall recall_of(const RowAddress& address) {
  return {.client = {},
          .partition = PartitionId{1},
          .term = 1,
          .number = 1,
          .everything = false,
          .rows = {row_hash(address)}};
}
Recall recall_of(PartitionId partition) {
  return {.client = {}, .partition = partition, .term = 1, .number = 1, .everything = true, .rows = {}};
}

TEST_F(LeasedRowsTest, RecalledRow_IsForgottenAndNotRememberedFromAnEarlierQuestion) {
  learn("a");
  LeasedRows::Asking early(rows_, PartitionId{1});
  rows_->recall(recall_of(other_row));
  EXPECT_EQ(known(), "a");
  rows_->recall(recall_of(row));
  EXPECT_EQ(known(), "<nothing>");
  early.remember(request({row}), reply("a"), lease_of(100ms));
  EXPECT_EQ(known(), "<nothing>") << "it was asked for before the recall";
  learn("b");
  EXPECT_EQ(known(), "b");
  EXPECT_EQ(rows_->recalls(), 2U);
}

TEST_F(LeasedRowsTest, LeasedUntil_IsKnownOfTheVersionThatIsThereOnly) {
  learn("a");  // of version 0
  EXPECT_EQ(rows_->leased_until(row, 0, start), start + 100ms);
  EXPECT_EQ(rows_->leased_until(row, 1, start), std::nullopt);
  EXPECT_EQ(rows_->leased_until(row, 0, start + 100ms), std::nullopt);
  EXPECT_EQ(rows_->leased_until(other_row, 0, start), std::nullopt);
  rows_->recall(recall_of(row));
  EXPECT_EQ(rows_->leased_until(row, 0, start), std::nullopt);
}

TEST_F(LeasedRowsTest, RecalledPartition_IsForgottenAndNoOther) {
  learn("a");
  LeasedRows::Asking early(rows_, PartitionId{1});
  rows_->recall(recall_of(PartitionId{2}));
  EXPECT_EQ(known(), "a");
  rows_->recall(recall_of(PartitionId{1}));
  EXPECT_EQ(known(), "<nothing>");
  early.remember(request({row}), reply("a"), lease_of(100ms));
  EXPECT_EQ(known(), "<nothing>");
}

TEST_F(LeasedRowsTest, RowRecalledWhileItsOwnBatchIsUnderWay_IsNotComputedFromTheBatch) {
  learn("a");
  const Batch batch = change(row);
  LeasedRows::Changing changing(rows_, PartitionId{1}, batch, start + 60s);
  rows_->recall(recall_of(row));
  changing.remember(batch, 9, lease_of(100ms), start);
  EXPECT_EQ(known(), "<nothing>");
}

}  // namespace
}  // namespace ringfs::dht
