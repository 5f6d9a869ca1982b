// Which writes need not be durable.
#include "dht/core/protocol/effects.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht {
namespace {

GroupWrite staging() {
  GroupWrite group;
  group.stage.emplace();
  return group;
}

TEST(Write, OnlyStages_WithAnythingElse_MustLast) {
  Write write;
  EXPECT_TRUE(write.empty());
  write.groups = {staging(), staging()};
  EXPECT_TRUE(write.only_stages());
  auto with = [&](auto change) {
    Write other = write;
    change(other);
    return other.only_stages();
  };
  EXPECT_FALSE(with([](Write& other) { other.groups.emplace_back(); })) << "a group without a chunk";
  EXPECT_FALSE(with([](Write& other) { other.groups[1].reset.emplace(); }));
  EXPECT_FALSE(with([](Write& other) { other.groups[1].install.emplace(); }));
  EXPECT_FALSE(with([](Write& other) { other.groups[1].hard_state.emplace(); }));
  EXPECT_FALSE(with([](Write& other) { other.groups[1].truncate_from = 3; }));
  EXPECT_FALSE(with([](Write& other) { other.groups[1].append.emplace_back(); }));
  EXPECT_FALSE(with([](Write& other) { other.groups[1].compact_through = 3; }));
  EXPECT_FALSE(with([](Write& other) { other.node.genesis.emplace(); }));
  EXPECT_FALSE(with([](Write& other) { other.node.table.emplace(); }));
  EXPECT_FALSE(with([](Write& other) { other.node.peer_incarnations.emplace_back(); }));
}

}  // namespace
}  // namespace ringfs::dht
