// Replicas whose data on the disk is damaged: what they still do, who serves instead, and how they are replaced.
#include <gtest/gtest.h>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class GroupDamage : public ::testing::Test {
 protected:
  void make(unsigned nodes) {
    cluster_ = std::make_unique<Cluster>(nodes);
    partition = cluster().partition_of_key(key);
    ASSERT_TRUE(cluster().run_until([&] { return cluster().settled(); }));
    write("x");
    cluster().run(500ms);
    leader = *cluster().leader(partition);
  }
  Cluster& cluster() { return *cluster_; }
  MemoryStore& store(unsigned i) { return cluster().machines[i].store; }

  bool try_to_write(const std::string& value) {
    cluster().run_until([&] { return cluster().ready(partition); }, 5s);
    const std::optional<unsigned> at = cluster().leader(partition);
    if (!at) return false;
    OperationId put = cluster().put(*at, key, value);
    cluster().run_until([&] { return cluster().reply(*at, put).has_value(); }, 2s);
    return succeeded(cluster().reply(*at, put));
  }
  void write(const std::string& value) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      if (try_to_write(value)) return;
      cluster().run(200ms);
    }
    FAIL() << "no write of " << value;
  }
  // The answer of this node alone.
  OperationResult read_at(unsigned i) {
    OperationId get = cluster().get(i, key);
    EXPECT_TRUE(cluster().run_until([&] { return cluster().reply(i, get).has_value(); }, 2s));
    return *cluster().reply(i, get);
  }
  // Another replica of the same node took its place, with the same rows as the others.
  void expect_replaced(unsigned i, const std::string& value) {
    ASSERT_TRUE(cluster().run_until(
        [&] {
          return !cluster().group(i, partition).damaged && cluster().holds(i, partition) && cluster().settled(true);
        },
        60s));
    cluster().run(1s);
    EXPECT_GT(store(i).groups.at(partition).replica.added, 0U);
    EXPECT_EQ(store(i).groups.at(partition).damage, Damage::none);
    EXPECT_EQ(cluster().stored(i, key), value);
    EXPECT_EQ(cluster().configuration(partition).voters.size(), 3U);
    EXPECT_GT(cluster().machines[i].events["replica_repaired"], 0U);
  }
  unsigned other(unsigned i, unsigned by = 1) const {
    return (i + by) % static_cast<unsigned>(cluster_->machines.size());
  }

  std::unique_ptr<Cluster> cluster_;
  PartitionId partition{};
  unsigned leader = 0;
};

TEST_F(GroupDamage, LeaderWhoseRowCannotBeRead_SendsItsClientsToAnotherAtOnce) {
  make(3);
  store(leader).unreadable_rows.insert(partition);
  EXPECT_EQ(error_of(read_at(leader)), ErrorCode::unavailable);
  EXPECT_EQ(store(leader).groups.at(partition).damage, Damage::rows);
  // By a transfer of leadership, not by timeouts.
  ASSERT_TRUE(
      cluster().run_until([&] { return cluster().ready(partition) && cluster().leader(partition) != leader; }, 400ms));
  EXPECT_EQ(value_of(read_at(*cluster().leader(partition))), "x");
  write("y");
  expect_replaced(leader, "y");
}

TEST_F(GroupDamage, ReplicaThatCannotApply_IsReplaced) {
  for (const bool leads : {true, false}) {
    make(3);
    const unsigned damaged = leads ? leader : other(leader);
    store(damaged).unreadable_rows.insert(partition);
    write("y");
    expect_replaced(damaged, "y");
  }
}

// It has not heard yet who could lead in its place.
TEST_F(GroupDamage, NewLeaderThatCannotApply_TellsClientsToAskAgain) {
  make(3);
  const unsigned damaged = other(leader), third = other(leader, 2);
  store(damaged).unreadable_rows.insert(partition);
  write("y");
  ASSERT_TRUE(cluster().run_until([&] { return cluster().group(damaged, partition).damaged; }, 1s));
  cluster().crash(leader);
  cluster().crash(third);
  cluster().start(third);  // its election timeout begins anew
  ASSERT_TRUE(cluster().run_until([&] { return cluster().group(damaged, partition).role == Role::leader; }));
  const OperationId put = cluster().put(damaged, key, "z");
  EXPECT_EQ(error_of(cluster().reply(damaged, put)), ErrorCode::unavailable);
  write("z");
  EXPECT_NE(cluster().leader(partition), damaged);
}

TEST_F(GroupDamage, FollowerWithDamagedRows_StillCountsWhileTheThirdIsAway) {
  make(3);
  const unsigned damaged = other(leader), away = other(leader, 2);
  cluster().crash(away);
  cluster().run(1s);  // the leader knows
  cluster().mark_damaged(damaged, partition, Damage::rows);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(try_to_write(std::to_string(i)));
    cluster().run(300ms);
  }
  EXPECT_TRUE(cluster().group(damaged, partition).damaged);
  EXPECT_EQ(store(damaged).groups.at(partition).replica.added,
            0U);  // beside the leader it may be the only one with good rows
  cluster().start(away);
  expect_replaced(damaged, "9");
}

TEST_F(GroupDamage, TwoOfThreeWithDamagedRows_AreKept) {
  make(3);
  cluster().mark_damaged(other(leader), partition, Damage::rows);
  cluster().mark_damaged(other(leader, 2), partition, Damage::rows);
  cluster().run(10s);
  EXPECT_EQ(store(other(leader)).groups.at(partition).replica.added, 0U);
  EXPECT_EQ(store(other(leader, 2)).groups.at(partition).replica.added, 0U);
  EXPECT_EQ(cluster().configuration(partition).voters.size(), 3U);
  EXPECT_TRUE(try_to_write("y"));
  // With another node the group moves to sound replicas.
  unsigned added = cluster().add_machine();
  cluster().members.join(added);
  ASSERT_TRUE(cluster().run_until(
      [&] { return cluster().configuration(partition).voters.size() >= 2 && try_to_write("z"); }, 30s));
}

// The replica that shall stay is the damaged one. It must be replaced first, while the others are still a majority.
TEST_F(GroupDamage, ReplicaThatIsToBeTheOnlyOne_IsReplacedBeforeTheOthersGo) {
  make(3);
  cluster().members.set("replication", "1");
  ASSERT_EQ(cluster().configuration(partition).voters.size(), 3U);
  cluster().mark_damaged(leader, partition, Damage::log);  // the preferred primary
  ASSERT_TRUE(cluster().run_until(
      [&] { return cluster().configuration(partition).voters.size() == 1 && cluster().settled(true); }, 60s));
  EXPECT_FALSE(cluster().group(leader, partition).damaged);
  EXPECT_EQ(cluster().stored(leader, key), "x");
  EXPECT_TRUE(try_to_write("y"));
}

// The joint configuration is committed when the damage is noticed: all three stay until the replica is another one.
TEST_F(GroupDamage, ReplicaThatIsToBeTheOnlyOne_FoundDamagedWhileJoint_KeepsTheOthersUntilItIsReplaced) {
  for (const bool leads : {true, false}) {
    make(3);
    const unsigned stays = cluster().preferred(partition);
    if (!leads) {
      cluster().crash(stays);
      ASSERT_TRUE(cluster().run_until([&] { return cluster().ready(partition); }));
      cluster().start(stays);
    }
    cluster().members.set("replication", "1");
    ASSERT_TRUE(cluster().run_until([&] { return !cluster().configuration(partition).old_voters.empty(); }));
    cluster().mark_damaged(stays, partition, Damage::rows);
    ASSERT_TRUE(cluster().run_until(
        [&] { return cluster().configuration(partition).voters.size() == 1 && cluster().settled(true); }, 60s));
    EXPECT_FALSE(cluster().group(stays, partition).damaged);
    EXPECT_EQ(cluster().stored(stays, key), "x");
    EXPECT_TRUE(try_to_write("y"));
  }
}

// Nobody comes in the place of a damaged replica while moves are paused, so the others must not go.
TEST_F(GroupDamage, ReplicaThatIsToBeTheOnlyOne_MovesArePaused_KeepsTheOthers) {
  make(3);
  cluster().members.set("rebalance_rate", "0");
  cluster().mark_damaged(leader, partition, Damage::rows);
  cluster().members.set("replication", "1");
  cluster().run(20s);
  EXPECT_EQ(cluster().configuration(partition).voters.size(), 3U);
  cluster().members.set("rebalance_rate", "1000000");
  ASSERT_TRUE(cluster().run_until(
      [&] { return cluster().configuration(partition).voters.size() == 1 && cluster().settled(true); }, 60s));
  EXPECT_FALSE(cluster().group(leader, partition).damaged);
  EXPECT_EQ(cluster().stored(leader, key), "x");
}

TEST_F(GroupDamage, OneOfTwoWithADamagedRow_LeavesTheLeadToTheOtherAndStays) {
  make(2);
  store(leader).unreadable_rows.insert(partition);
  EXPECT_EQ(error_of(read_at(leader)), ErrorCode::unavailable);
  ASSERT_TRUE(cluster().run_until([&] { return cluster().ready(partition) && cluster().leader(partition) != leader; }));
  EXPECT_EQ(value_of(read_at(*cluster().leader(partition))), "x");
  cluster().run(20s);
  EXPECT_TRUE(try_to_write("y"));  // both are needed: the damaged one still has a sound log
  EXPECT_TRUE(cluster().group(leader, partition).damaged);
  EXPECT_NE(cluster().leader(partition), leader);
  EXPECT_EQ(cluster().configuration(partition).voters.size(), 2U);
}

TEST_F(GroupDamage, OnlyReplicaWithADamagedRow_SaysSoAndGoesOn) {
  make(1);
  store(leader).unreadable_rows.insert(partition);
  EXPECT_EQ(error_of(read_at(leader)), ErrorCode::corrupt);
  EXPECT_TRUE(cluster().group(leader, partition).damaged);
  cluster().run(5s);
  store(leader).unreadable_rows.clear();  // other rows can be read
  EXPECT_EQ(value_of(read_at(leader)), "x");
  EXPECT_EQ(cluster().group(leader, partition).role, Role::leader);
}

TEST_F(GroupDamage, ReplicaWithALostLog_VotesForNobodyAfterARestart) {
  make(3);
  const unsigned damaged = other(leader), away = other(leader, 2);
  cluster().crash(away);
  cluster().mark_damaged(damaged, partition);
  cluster().crash(damaged);
  cluster().start(damaged);
  EXPECT_TRUE(cluster().group(damaged, partition).damaged);
  cluster().crash(leader);
  cluster().start(away);
  cluster().run(5s);  // with the vote of the damaged one there would be a majority
  EXPECT_EQ(cluster().leader(partition), std::nullopt);
  OperationId get = cluster().get(damaged, key);
  EXPECT_EQ(error_of(cluster().reply(damaged, get)), ErrorCode::not_member);
  cluster().start(leader);
  write("y");
  expect_replaced(damaged, "y");
}

TEST_F(GroupDamage, ReplicaThatForgotItsTermAndVote_IsReplaced) {
  for (const bool leads : {true, false}) {
    make(3);
    const unsigned damaged = leads ? leader : other(leader);
    cluster().crash(damaged);
    StoredGroup& lost = store(damaged).groups.at(partition);
    const ReplicaId replica = lost.replica;
    lost = StoredGroup();
    lost.replica = replica;
    lost.damage = Damage::log;
    cluster().start(damaged);
    write("y");
    expect_replaced(damaged, "y");
  }
}

TEST_F(GroupDamage, DamagedEntryThatIsApplied_IsCutOff) {
  make(3);
  const LogIndex applied = cluster().group(leader, partition).applied;
  cluster().node(leader).entry_damaged(partition, applied, cluster().clock);
  cluster().pump(leader);
  EXPECT_FALSE(cluster().group(leader, partition).damaged);
  EXPECT_EQ(store(leader).groups.at(partition).base_index, applied);
  EXPECT_TRUE(try_to_write("y"));
}

}  // namespace
}  // namespace ringfs::dht::test
