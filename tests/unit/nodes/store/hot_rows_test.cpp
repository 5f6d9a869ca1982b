// Rows that are answered on the loop: never older than what anybody saw in the database.
#include "nodes/store/rows/hot_rows.hpp"

#include <gtest/gtest.h>

#include "dht/core/rows/locks.hpp"

namespace ringfs::nodes {
namespace {

constexpr PartitionId partition{3};
const RowAddress row{"object", "row"};

class HotRowsTest : public testing::Test {
 protected:
  std::string known() {
    ReadRequest request;
    request.gets = {row};
    std::optional<dht::ReadAnswer> answer = rows_.answer(partition, request);
    if (!answer) return "<nothing>";
    Result<ReadReply> reply = decode_read_reply(answer->head, answer->blobs);
    return reply && reply->gets[0].found ? reply->gets[0].row.value.str() : "<absent>";
  }
  void add(dht::LogIndex applied, const std::string& value, bool lock_free = true) {
    ReadReply reply;
    ReadReply::Get get;
    get.found = true;
    get.row = Row{row.sort, applied, SharedBytes(value)};
    reply.gets = {get};
    rows_.add(partition, applied, {row}, reply, lock_free);
  }
  static std::map<PartitionId, HotChanges> change(dht::LogIndex applied, HotChange one) {
    std::map<PartitionId, HotChanges> changes;
    changes[partition].applied = applied;
    changes[partition].rows.push_back(std::move(one));
    return changes;
  }
  static HotChange put(const RowAddress& address, const std::string& value) {
    return {address, false, false, Row{address.sort, 9, SharedBytes(value)}, 0};
  }

  HotRows rows_;
};

TEST_F(HotRowsTest, RowThatWasRead_IsKnown) {
  EXPECT_EQ(known(), "<nothing>");
  add(5, "a");
  EXPECT_EQ(known(), "a");
}

TEST_F(HotRowsTest, RowOfAnOlderSnapshot_IsRefused) {
  auto changes = change(6, put({"object", "other"}, "x"));
  rows_.announce(changes);
  rows_.publish(changes);
  add(5, "old");
  EXPECT_EQ(known(), "<nothing>");
}

TEST_F(HotRowsTest, CommitUnderWay_AnswersNothing) {
  add(5, "a");
  auto changes = change(6, put(row, "b"));
  rows_.announce(changes);
  EXPECT_EQ(known(), "<nothing>");
  add(5, "a");  // of a reader that began before the commit
  EXPECT_EQ(known(), "<nothing>");
  rows_.publish(changes);
  EXPECT_EQ(known(), "b");
}

TEST_F(HotRowsTest, Erasures_AreSeen) {
  add(5, "a");
  auto erased = change(6, {row, false, false, std::nullopt});
  rows_.announce(erased);
  rows_.publish(erased);
  EXPECT_EQ(known(), "<absent>");
  add(6, "again");
  auto prefix = change(7, {{"object", "r"}, true, false, std::nullopt});
  rows_.announce(prefix);
  rows_.publish(prefix);
  EXPECT_EQ(known(), "<nothing>");
}

TEST_F(HotRowsTest, LockAnywhere_AnswersNothingUntilAReaderFindsNone) {
  add(5, "a", false);
  EXPECT_EQ(known(), "<nothing>");
  add(5, "a");
  auto locked = change(6, put({dht::lock_key, "somewhere"}, "record"));
  rows_.announce(locked);
  rows_.publish(locked);
  EXPECT_EQ(known(), "<nothing>");
  add(7, "a");
  EXPECT_EQ(known(), "a");
}

TEST_F(HotRowsTest, InstalledSnapshotOrFailedCommit_ForgetsEverything) {
  add(5, "a");
  std::map<PartitionId, HotChanges> changes;
  changes[partition] = {0, 8, true, {}};
  rows_.announce(changes);
  rows_.publish(changes);
  EXPECT_EQ(known(), "<nothing>");
  add(8, "b");
  rows_.announce(change(9, put(row, "c")));
  rows_.clear();
  EXPECT_EQ(known(), "<nothing>");
  add(8, "b");
  EXPECT_EQ(known(), "b");
}

TEST_F(HotRowsTest, TooManyBytes_ForgetTheOldOnes) {
  const std::string large(payload_threshold - 1, 'x');
  for (std::size_t i = 0; i < 2 * max_hot_bytes / large.size(); ++i) {
    auto changes = change(6 + i, put({"object", std::to_string(i)}, large));
    rows_.announce(changes);
    rows_.publish(changes);
  }
  add(100'000, "a");
  EXPECT_EQ(known(), "a");
  ReadRequest first;
  first.gets = {{"object", "0"}};
  EXPECT_FALSE(rows_.answer(partition, first));
}

}  // namespace
}  // namespace ringfs::nodes
