// What the keeper of the members table concludes from reports. In a ring: the membership scenarios.
#include <gtest/gtest.h>

#include "dht/core/members/keeper.hpp"
#include "dht/core/raft/snapshot_pace.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t partitions = 4;

class Keeper : public ::testing::Test {
 protected:
  Keeper() {
    table_.version = 5;
    table_.settings["replication"] = "3";
    for (unsigned i = 0; i < 7; ++i) table_.members.push_back({node_id(i), "", "", MemberState::up, {}, 100, {}});
  }
  Member& member(unsigned i) { return table_.members[i]; }
  // All nodes but `silent` report.
  void report_all(std::set<unsigned> silent = {}, std::vector<Uuid> unsettled = {}, std::uint64_t version = 5) {
    for (unsigned i = 0; i < table_.members.size(); ++i) {
      if (silent.contains(i)) continue;
      NodeReport report;
      if (i < partitions) report.led = {PartitionId{i}};
      if (i == 1) report.unsettled = unsettled;
      for (unsigned other : silent) report.silent.push_back(node_id(other));
      keeper_.report(node_id(i), version, report, now_);
    }
  }
  std::map<unsigned, MemberState> changes() {
    std::map<unsigned, MemberState> found;
    for (const Member& one : keeper_.wanted_changes(table_, partitions, now_)) found[number_of(one.id)] = one.state;
    return found;
  }

  MembersTable table_;
  MembersKeeper keeper_;
  TimePoint now_{100s};
};

TEST_F(Keeper, NothingToDo_ChangesNothing) {
  report_all();
  EXPECT_TRUE(changes().empty());
}

TEST_F(Keeper, JoiningMember_IsUpWhenNoGroupOwesItAnything) {
  member(6).state = MemberState::joining;
  report_all({}, {node_id(6)});
  EXPECT_TRUE(changes().empty());
  report_all();
  EXPECT_EQ(changes(), (std::map<unsigned, MemberState>{{6, MemberState::up}}));
}

TEST_F(Keeper, PartitionWithoutAReport_HoldsEverythingUp) {
  member(6).state = MemberState::joining;
  member(5).state = MemberState::leaving;
  report_all();
  keeper_.report(node_id(2), 5, NodeReport{}, now_);  // it leads partition 2 no longer
  EXPECT_TRUE(changes().empty());
}

TEST_F(Keeper, LeavingMember_IsRemovedWhenNobodyNamesIt) {
  member(5).state = MemberState::leaving;
  report_all({}, {node_id(5)});
  EXPECT_TRUE(changes().empty());
  report_all({5});  // it need not live
  EXPECT_EQ(changes(), (std::map<unsigned, MemberState>{{5, MemberState::removed}}));
}

TEST_F(Keeper, ReportsOfAnotherTableOrOldOnes_DoNotCount) {
  member(5).state = MemberState::leaving;
  report_all({}, {}, 4);
  EXPECT_TRUE(changes().empty());
  report_all();
  now_ += report_life + 1ms;
  EXPECT_TRUE(changes().empty());
}

TEST_F(Keeper, SilentForAMajority_IsDead) {
  report_all({6});
  EXPECT_EQ(changes(), (std::map<unsigned, MemberState>{{6, MemberState::dead}}));
}

TEST_F(Keeper, SilentForAMinority_IsNotDead) {
  report_all();
  for (unsigned i = 0; i < 3; ++i) {  // of six others
    NodeReport report;
    report.silent = {node_id(6)};
    keeper_.report(node_id(i), 5, report, now_);
  }
  EXPECT_TRUE(changes().empty());
}

TEST_F(Keeper, MoreThanAThird_IsAPartitionAndNoDeath) {
  member(4).state = MemberState::dead;
  member(5).state = MemberState::dead;
  report_all({4, 5, 6});
  EXPECT_TRUE(changes().empty());
}

TEST_F(Keeper, NobodyToTakeItsPlace_IsNotDead) {
  table_.members.resize(3);
  report_all({2});
  EXPECT_TRUE(changes().empty());
}

TEST_F(Keeper, DeadMemberThatReports_Joins) {
  member(6).state = MemberState::dead;
  report_all();
  EXPECT_EQ(changes(), (std::map<unsigned, MemberState>{{6, MemberState::joining}}));
}

// In a ring.

TEST(MembersInARing, PausedMoves_AddNobodyUntilTheyGoOn) {
  Cluster cluster(3, 3);
  cluster.members.set("rebalance_rate", "0");
  unsigned added = cluster.add_machine();
  cluster.members.join(added);
  cluster.run(5s);
  EXPECT_TRUE(cluster.machines[added].store.groups.empty());
  EXPECT_EQ(cluster.table().find(node_id(added))->state, MemberState::joining);
  cluster.members.set("rebalance_rate", "");
  EXPECT_TRUE(cluster.run_until([&] { return cluster.table().find(node_id(added))->state == MemberState::up; }, 60s));
}

TEST(SnapshotPace, Rate_HoldsOverASecond) {
  SnapshotPace pace;
  TimePoint now{100s};
  EXPECT_TRUE(pace.may_send(now));
  pace.set_rate(1000);
  std::uint64_t sent = 0;
  for (int i = 0; i < 1000; ++i, now += 10ms) {
    if (!pace.may_send(now)) continue;
    pace.sent(700);
    sent += 700;
  }
  EXPECT_GE(sent, 9000U);
  EXPECT_LE(sent, 12000U);
  EXPECT_EQ(pace.total(), sent);
}

}  // namespace
}  // namespace ringfs::dht::test
