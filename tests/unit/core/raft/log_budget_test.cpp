// Which log is compacted next, and what becomes of the groups.
#include "dht/core/raft/log_budget.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

constexpr PartitionId one{1}, two{2}, three{3};

TEST(LogBudget, NoMoreThanTheBudget_CutsNothing) {
  LogBudget budget(1000);
  budget.set(one, 600);
  budget.set(two, 400);
  EXPECT_FALSE(budget.next());
}

TEST(LogBudget, MoreThanTheBudget_HalvesTheLargest) {
  LogBudget budget(1000);
  budget.set(one, 100);
  budget.set(two, 600);
  budget.set(three, 301);
  auto cut = budget.next();
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->partition, two);
  EXPECT_EQ(cut->keep_bytes, 300U);
  EXPECT_FALSE(cut->even_if_needed);
  budget.set(two, 300);
  EXPECT_FALSE(budget.next());
  EXPECT_EQ(budget.bytes(), 701U);
}

TEST(LogBudget, PassedOver_TakesTheNextUntilSomethingChanged) {
  LogBudget budget(1000);
  budget.set(one, 700);
  budget.set(two, 500);
  budget.pass_over(one);
  EXPECT_EQ(budget.next()->partition, two);
  budget.pass_over(two);
  EXPECT_FALSE(budget.next());
  budget.set(two, 510);
  EXPECT_EQ(budget.next()->partition, two);
  budget.retry();
  EXPECT_EQ(budget.next()->partition, one);
}

TEST(LogBudget, TailFull_CutsEvenWhatIsNeeded) {
  LogBudget budget(1000);
  budget.set(one, 1500);
  budget.set(two, 501);
  budget.pass_over(one);
  auto cut = budget.next();
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->partition, one);
  EXPECT_TRUE(cut->even_if_needed);
}

TEST(LogBudget, GroupsThatKeepTheLeast_AreLeftAlone) {
  LogBudget budget(1000);
  for (std::uint32_t i = 0; i < 100; ++i) budget.set(PartitionId{i}, budget.least_bytes());
  EXPECT_EQ(budget.least_bytes(), 2U) << "a quarter of the budget for all of them";
  for (std::uint32_t i = 0; i < 100; ++i) {
    while (budget.bytes() > 1000 && budget.next()) budget.set(budget.next()->partition, budget.next()->keep_bytes);
    budget.set(PartitionId{i}, 900);
  }
  while (auto cut = budget.next()) budget.set(cut->partition, cut->keep_bytes);
  EXPECT_LE(budget.bytes(), 1000U);
  EXPECT_LE(LogBudget().least_bytes(), max_least_log_bytes);
}

TEST(LogBudget, RemovedGroup_DoesNotCount) {
  LogBudget budget(1000);
  budget.set(one, 1500);
  budget.pass_over(one);
  budget.remove(one);
  budget.remove(two);
  EXPECT_EQ(budget.bytes(), 0U);
  EXPECT_FALSE(budget.next());
}

// A ring whose nodes keep 100,000 bytes of log each, and keys in different partitions.
class LogBudgetOfANode : public ::testing::Test {
 protected:
  static constexpr std::size_t budget = 100'000;

  explicit LogBudgetOfANode(std::size_t bytes = budget) : cluster(3, 2, true, options(bytes)) {
    for (char name = 'a'; keys.size() < 4; ++name) keys.try_emplace(cluster.partition_of_key({name}), 1, name);
    for (const auto& [partition, key] : keys) cluster.wait_ready(partition);
  }

  static NodeOptions options(std::size_t bytes) {
    NodeOptions options;
    options.log_budget_bytes = bytes;
    return options;
  }

  void write(PartitionId partition, std::size_t kilobytes) {
    for (std::size_t i = 0; i < kilobytes; ++i) {
      cluster.wait_ready(partition);
      unsigned leader = *cluster.leader(partition);
      ASSERT_TRUE(cluster.executes(leader, cluster.client.put(keys.at(partition), std::string(900, 'x'))));
      if (i % 10 == 0) cluster.run(100ms);
    }
    cluster.run(1s);
  }

  std::size_t log_bytes(unsigned node) const {
    std::size_t bytes = 0;
    for (const auto& [partition, group] : cluster.machines[node].store.groups) bytes += log_bytes(group);
    return bytes;
  }
  static std::size_t log_bytes(const StoredGroup& group) {
    std::size_t bytes = 0;
    for (const auto& [index, entry] : group.log) bytes += entry.bytes();
    return bytes;
  }
  unsigned count(unsigned node, const std::string& event) { return cluster.machines[node].events[event]; }

  void crash_a_follower() {
    away = (*cluster.leader(busy()) + 1) % 3;
    cluster.crash(away);
    cluster.run(2s);
  }
  PartitionId busy() const { return keys.begin()->first; }

  Cluster cluster;
  std::map<PartitionId, std::string> keys;
  unsigned away = 0;
};

TEST_F(LogBudgetOfANode, QuietPartition_GivesItsLogUp) {
  PartitionId quiet = std::next(keys.begin())->first;
  write(quiet, 90);
  for (unsigned i = 0; i < 3; ++i) EXPECT_GT(log_bytes(cluster.machines[i].store.groups.at(quiet)), 80'000U);
  write(busy(), 90);
  for (unsigned i = 0; i < 3; ++i) {
    EXPECT_LE(log_bytes(i), budget);
    EXPECT_LT(log_bytes(cluster.machines[i].store.groups.at(quiet)), 60'000U);
    EXPECT_GT(log_bytes(cluster.machines[i].store.groups.at(quiet)), 1'000U) << "a little stays";
    EXPECT_EQ(count(i, "snapshot_started"), 0U);
  }
}

class LogsOfFormerTimes : public LogBudgetOfANode {
 protected:
  LogsOfFormerTimes() : LogBudgetOfANode(0) {}
};

TEST_F(LogsOfFormerTimes, FoundAtStart_Count) {
  for (const auto& [partition, key] : keys) write(partition, 60);
  ASSERT_GT(log_bytes(0), 2 * budget);
  for (unsigned i = 0; i < 3; ++i) {
    cluster.crash(i);
    cluster.machines[i].options = options(budget);
    cluster.start(i);
  }
  cluster.run(2s);
  for (unsigned i = 0; i < 3; ++i) EXPECT_LE(log_bytes(i), budget);
  for (const auto& [partition, key] : keys) EXPECT_EQ(cluster.stored(0, key), std::string(900, 'x'));
}

TEST_F(LogBudgetOfANode, FollowerThatRestarts_GoesOnByTheLog) {
  crash_a_follower();
  write(busy(), 150);
  EXPECT_GT(log_bytes(*cluster.leader(busy())), budget);
  cluster.start(away);
  cluster.run(2s);
  EXPECT_EQ(count(away, "snapshot_installed"), 0U);
  EXPECT_EQ(cluster.stored(away, keys.at(busy())), std::string(900, 'x'));
  for (unsigned i = 0; i < 3; ++i) EXPECT_LE(log_bytes(i), budget);
}

TEST_F(LogBudgetOfANode, LeaderThatStepsDown_KeepsNothingForItsFollowers) {
  crash_a_follower();
  write(busy(), 150);
  unsigned old = *cluster.leader(busy());
  EXPECT_GT(log_bytes(old), budget);
  cluster.network.isolate(old);
  cluster.run(2s);
  EXPECT_NE(cluster.group(old, busy()).role, Role::leader);
  EXPECT_LE(log_bytes(old), budget);
}

TEST_F(LogBudgetOfANode, FollowerThatIsAwayForLong_GetsASnapshot) {
  crash_a_follower();
  cluster.run(30s);
  write(busy(), 150);
  for (unsigned i = 0; i < 3; ++i) EXPECT_LE(log_bytes(i), budget);
  cluster.start(away);
  cluster.run(2s);
  EXPECT_GT(count(away, "snapshot_installed"), 0U);
}

TEST_F(LogBudgetOfANode, FollowerThatAnswersButTakesNothing_KeepsTheTailAndNoMore) {
  unsigned leader = *cluster.leader(busy());
  away = (leader + 1) % 3;
  cluster.network.deliver = [this](const Envelope& envelope) {
    bool grows =
        std::holds_alternative<Append>(envelope.message) || std::holds_alternative<SnapshotChunk>(envelope.message);
    return !grows || number_of(envelope.header.destination) != away;
  };
  write(busy(), 150);
  EXPECT_GT(log_bytes(leader), budget);
  write(busy(), 300);
  EXPECT_LE(log_bytes(leader), 2 * budget);
  EXPECT_GT(count(leader, "log_tail_compacted"), 0U);
  cluster.network.heal();
  cluster.run(5s);
  EXPECT_EQ(cluster.stored(away, keys.at(busy())), std::string(900, 'x'));
  for (unsigned i = 0; i < 3; ++i) EXPECT_LE(log_bytes(i), budget);
}

}  // namespace
}  // namespace ringfs::dht::test
