// What transactions add to a digest behind the scrub, and when that is not known.
#include "nodes/store/rows/row_watch.hpp"

#include <gtest/gtest.h>

namespace ringfs::nodes {
namespace {

constexpr PartitionId partition{4};

class RowWatchTest : public testing::Test {
 protected:
  void transaction(dht::LogIndex before, dht::LogIndex applied, std::vector<HotChange> rows, bool all = false,
                   PartitionId of = partition) {
    announce(before, applied, std::move(rows), all, of);
    watch.committed();
  }
  void announce(dht::LogIndex before, dht::LogIndex applied, std::vector<HotChange> rows, bool all = false,
                PartitionId of = partition) {
    std::map<PartitionId, HotChanges> changes;
    changes[of] = {before, applied, all, std::move(rows)};
    watch.announce(changes);
  }
  static HotChange change(const std::string& key, const std::string& sort, RowDigest added, bool prefix = false) {
    return {{key, sort}, prefix, false, std::nullopt, added};
  }
  RowWatch watch;
};

TEST_F(RowWatchTest, Changes_UpToWhatWasWalked_AreAdded) {
  watch.begin(partition);
  transaction(5, 7, {change("k", "a", 1), change("k", "m", 10), change("k", "z", 100)});
  transaction(7, 8, {change("j", "z", 1000), change("l", "a", 10000)});
  EXPECT_EQ(watch.added(5, 8, {"k", "m"}), 1011u);
  EXPECT_EQ(watch.added(8, 8, {"k", "m"}), 0u);
}

TEST_F(RowWatchTest, Changes_OfTheFirstStateAndOfLaterOnes_AreLeftOut) {
  watch.begin(partition);
  transaction(5, 7, {change("k", "a", 1)});
  transaction(7, 8, {change("k", "a", 10)});
  transaction(8, 9, {change("k", "a", 100)});
  EXPECT_EQ(watch.added(7, 8, {"k", "b"}), 10u);
  EXPECT_EQ(watch.added(8, 9, {"k", "b"}), 100u);
}

TEST_F(RowWatchTest, Transaction_BegunBeforeTheWatch_IsMissed) {
  transaction(5, 7, {change("k", "a", 1)});
  watch.begin(partition);
  transaction(7, 8, {change("k", "a", 10)});
  EXPECT_EQ(watch.added(5, 8, {"k", "b"}), std::nullopt);
  EXPECT_EQ(watch.added(8, 8, {"k", "b"}), std::nullopt);  // stays unknown
  watch.begin(partition);
  EXPECT_EQ(watch.added(8, 9, {"k", "b"}), std::nullopt);  // the transactions from 8 to 9 were not announced
}

TEST_F(RowWatchTest, Prefix_BehindOrBeforeWhatWasWalked_IsKnown) {
  watch.begin(partition);
  transaction(1, 2, {change("k", "b", 1, true)});
  EXPECT_EQ(watch.added(1, 2, {"k", "a"}), 0u);
  transaction(2, 3, {change("k", "b", 1, true)});
  EXPECT_EQ(watch.added(2, 3, {"k", "c"}), 1u);
  transaction(3, 4, {change("k", "b", 1, true)});
  EXPECT_EQ(watch.added(3, 4, {"k", "bb"}), std::nullopt);
}

TEST_F(RowWatchTest, Prefix_OfNoRows_IsKnown) {
  watch.begin(partition);
  transaction(3, 4, {change("k", "b", 0, true)});
  EXPECT_EQ(watch.added(3, 4, {"k", "bb"}), 0u);
}

TEST_F(RowWatchTest, OtherRowsAltogether_AreNotKnown) {
  watch.begin(partition);
  transaction(3, 4, {}, true);
  EXPECT_EQ(watch.added(3, 4, {"k", "b"}), std::nullopt);
}

TEST_F(RowWatchTest, OtherPartitions_DoNotCount) {
  watch.begin(partition);
  transaction(3, 4, {change("k", "a", 1)}, false, PartitionId{5});
  EXPECT_EQ(watch.added(3, 3, {"k", "b"}), 0u);
}

TEST_F(RowWatchTest, Transaction_ThatIsRolledBack_WasNotMade) {
  watch.begin(partition);
  transaction(3, 4, {change("k", "a", 1)});
  announce(4, 6, {change("k", "a", 10)});
  watch.rolled_back();
  watch.rolled_back();  // of a transaction that was not announced
  transaction(4, 5, {change("k", "a", 100)});
  EXPECT_EQ(watch.added(3, 5, {"k", "b"}), 101u);
}

TEST_F(RowWatchTest, TooManyChanges_AreNotKnown) {
  watch.begin(partition);
  dht::LogIndex index = 1;
  for (std::size_t noted = 0; noted <= RowWatch::max_noted; noted += 64, ++index) {
    transaction(index, index + 1, std::vector<HotChange>(64, change("k", "a", 1)));
  }
  EXPECT_EQ(watch.added(1, index, {"k", "b"}), std::nullopt);
}

}  // namespace
}  // namespace ringfs::nodes
