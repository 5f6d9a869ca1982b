// Blocks that are taken and given back: first fit, against a simple model.
#include "nodes/store/files/block_map.hpp"

#include <gtest/gtest.h>

#include <map>

#include "dht/base/random.hpp"

namespace ringfs::nodes {
namespace {

TEST(BlockMap, Take_GivesTheLowestRunThatIsLongEnough) {
  BlockMap map;
  EXPECT_EQ(map.take(16), 0u);
  EXPECT_EQ(map.take(100), 16u);
  EXPECT_EQ(map.take(16), 116u);
  map.give_back(0, 16);
  EXPECT_EQ(map.take(17), 132u);
  EXPECT_EQ(map.take(4), 0u);
  EXPECT_EQ(map.take(12), 4u);
  map.give_back(16, 100);
  EXPECT_EQ(map.take(60), 16u);
  EXPECT_EQ(map.taken(), 16u + 60 + 16 + 17);
}

TEST(BlockMap, GiveBack_BesideFreeBlocks_MakesOneRun) {
  BlockMap map;
  for (int i = 0; i < 8; ++i) map.take(16);
  map.give_back(48, 16);
  EXPECT_EQ(map.take(15), 48u);
  map.give_back(32, 16);
  map.give_back(48, 15);
  EXPECT_EQ(map.take(32), 32u);
  map.give_back(112, 16);
  EXPECT_EQ(map.end(), 112u);
  EXPECT_EQ(map.take(1000), 112u);  // the run reaches beyond the end
}

TEST(BlockMap, TakeAt_WhatIsTaken_IsRefused) {
  BlockMap map;
  EXPECT_TRUE(map.take_at(1000, 16));
  EXPECT_FALSE(map.take_at(1015, 1));
  EXPECT_FALSE(map.take_at(990, 11));
  EXPECT_TRUE(map.take_at(1016, 3));
  EXPECT_EQ(map.take(1000), 0u);
  EXPECT_EQ(map.take(1), 1019u);
  EXPECT_EQ(map.end(), 1020u);
  EXPECT_EQ(map.taken(), 1020u);
}

TEST(BlockMap, RandomHistory_NeverGivesABlockTwiceAndAlwaysTheLowestRun) {
  SeededRandom draw(5);
  BlockMap map;
  std::map<std::uint64_t, std::uint64_t> runs;  // first block -> count
  std::uint64_t taken = 0;
  for (int step = 0; step < 20000; ++step) {
    if (draw.below(2) == 0 || runs.empty()) {
      const std::uint64_t count = draw.below(4) == 0 ? 1 + draw.below(200) : 4 + draw.below(13);
      std::uint64_t expected = 0;
      for (const auto& [first, length] : runs) {
        if (first - expected >= count) break;
        expected = first + length;
      }
      ASSERT_EQ(map.take(count), expected) << step;
      runs[expected] = count;
      taken += count;
    } else {
      auto run = runs.begin();
      std::advance(run, static_cast<std::ptrdiff_t>(draw.below(runs.size())));
      map.give_back(run->first, run->second);
      taken -= run->second;
      runs.erase(run);
    }
    ASSERT_EQ(map.taken(), taken);
    if (step % 100 == 0) {
      ASSERT_EQ(map.end(), runs.empty() ? 0 : runs.rbegin()->first + runs.rbegin()->second);
    }
  }
}

}  // namespace
}  // namespace ringfs::nodes
