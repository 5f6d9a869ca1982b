// Nodes that join and leave: learners, joint configurations, what removed replicas keep, and how they learn that they
// are removed.
#include <gtest/gtest.h>

#include "dht/core/raft/quorum.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class GroupMembership : public ::testing::Test {
 protected:
  void make(unsigned nodes, unsigned partition_bits = 2, NodeOptions options = {}) {
    cluster_ = std::make_unique<Cluster>(nodes, partition_bits, true, options);
    partition = cluster().partition_of_key(key);
    ASSERT_TRUE(cluster().run_until([&] { return cluster().settled(); }));
    if (nodes < 4) return;
    cluster().members.set("replication", "3");
    settle();
  }
  Cluster& cluster() { return *cluster_; }

  void write(const std::string& value) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      cluster().run_until([&] { return cluster().ready(partition); });
      std::optional<unsigned> at = cluster().leader(partition);
      if (!at) continue;
      OperationId put = cluster().put(*at, key, value);
      cluster().run_until([&] { return cluster().reply(*at, put).has_value(); }, 2s);
      if (succeeded(cluster().reply(*at, put))) return;
      cluster().run(200ms);
    }
    FAIL() << "no write of " << value;
  }
  std::string read() {
    cluster().run_until([&] { return cluster().ready(partition); });
    std::optional<unsigned> at = cluster().leader(partition);
    if (!at) return "<no leader>";
    OperationId get = cluster().get(*at, key);
    cluster().run_until([&] { return cluster().reply(*at, get).has_value(); }, 2s);
    return value_of(cluster().reply(*at, get));
  }
  void settle(Duration limit = 60s) {
    ASSERT_TRUE(cluster().run_until([&] { return cluster().settled(true); }, limit)) << "the groups did not move";
  }
  // A node holds a partition's data if and only if it is in its placement.
  void expect_data_where_the_members_are() {
    Placement placement(cluster().table(), cluster().genesis.partition_bits);
    for (std::uint32_t index = 0; index < placement.partitions(); ++index) {
      const std::vector<Uuid>& list = placement.preference_list(PartitionId{index});
      for (unsigned i = 0; i < cluster().machines.size(); ++i) {
        bool member = std::find(list.begin(), list.end(), node_id(i)) != list.end();
        EXPECT_EQ(cluster().holds(i, PartitionId{index}), member) << "node " << i << " partition " << index;
      }
    }
  }
  // A voter of the partition that is not the leader.
  unsigned voter_beside(unsigned leader) {
    const Configuration configuration = cluster().configuration(partition);
    unsigned found = 0;
    while (found == leader || !has_node(configuration.voters, node_id(found))) ++found;
    return found;
  }
  unsigned events(const char* name) {
    unsigned sum = 0;
    for (Machine& machine : cluster().machines) sum += machine.events[name];
    return sum;
  }

  std::unique_ptr<Cluster> cluster_;
  PartitionId partition{};
};

TEST_F(GroupMembership, NodeJoins_GetsWhatThePlacementGivesIt) {
  make(3);
  write("before");
  unsigned added = cluster().add_machine();
  cluster().members.join(added);
  settle();
  cluster().run(1s);
  expect_data_where_the_members_are();
  EXPECT_GT(cluster().machines[added].events["snapshot_installed"], 0U) << "rows of genesis are in no log";
  EXPECT_EQ(read(), "before");
  write("after");
  cluster().run(1s);
  if (cluster().holds(added, partition)) {
    EXPECT_EQ(cluster().stored(added, key), "after");
  }
  // Its own copy of the table came with the rows, if it holds them, or from a peer.
  EXPECT_EQ(cluster().node(added).table(), cluster().table());
}

TEST_F(GroupMembership, NodeLeaves_IsInNoConfigurationAndKeepsStubs) {
  make(4);
  write("before");
  unsigned leaving = *cluster().leader(cluster().table_partition());
  cluster().members.set_state(leaving, MemberState::leaving);
  settle();
  cluster().run(1s);
  expect_data_where_the_members_are();
  EXPECT_EQ(read(), "before");
  for (const auto& [id, group] : cluster().machines[leaving].store.groups) {
    EXPECT_FALSE(group.holds_data);
    EXPECT_FALSE(group.configuration.voters.empty()) << "where to ask";
    OperationId get = cluster().submit(leaving, ReadOperation{id, {}, {}});
    std::optional<OperationResult> answer = cluster().reply(leaving, get);
    ASSERT_EQ(error_of(answer), ErrorCode::not_member);
    EXPECT_EQ(answer->error().redirect.members.size(), 3U);
  }
  // After a restart it is still a stub.
  cluster().crash(leaving);
  cluster().start(leaving);
  cluster().run(5s);
  expect_data_where_the_members_are();
  EXPECT_TRUE(cluster().node(leaving).status(cluster().clock).groups.empty());
}

TEST_F(GroupMembership, OneNodeGrowsToThreeAndShrinksBack_KeepsEverything) {
  make(1);
  write("one");
  cluster().members.set("replication", "3");
  unsigned second = cluster().add_machine();
  cluster().members.join(second);
  settle();
  write("two");
  unsigned third = cluster().add_machine();
  cluster().members.join(third);
  settle();
  EXPECT_EQ(cluster().configuration(partition).voters.size(), 3U);
  write("three");
  cluster().members.set_state(0, MemberState::leaving);
  settle();
  cluster().members.set_state(third, MemberState::leaving);
  settle();
  EXPECT_EQ(cluster().leader(partition), second);
  cluster().run(1s);
  expect_data_where_the_members_are();
  EXPECT_EQ(read(), "three");
  write("four");
  EXPECT_EQ(read(), "four");
}

TEST_F(GroupMembership, NodeWithoutAReplica_TakesNoneThatGenesisWouldHaveMade) {
  make(3);
  unsigned added = cluster().add_machine();
  cluster().network.deliver = [](const Envelope& envelope) { return envelope.message.index() > 6; };  // no Raft
  cluster().submit(added, JoinOperation{cluster().genesis, [&] {
                                          MembersTable table = cluster().table();
                                          Member member;
                                          member.id = node_id(added);
                                          member.address = "node3:1";
                                          table.members.push_back(member);
                                          ++table.version;
                                          return table;
                                        }()});
  Append append;
  append.raft = {partition, 7, 0, 0};
  cluster().network.clear();
  cluster().inject(0, added, append);
  EXPECT_TRUE(cluster().network.taken<AppendReply>(0).empty());
  EXPECT_TRUE(cluster().machines[added].store.groups.empty());
  append.raft.destination_added = 12;
  cluster().inject(0, added, append);
  std::vector<AppendReply> replies = cluster().network.taken<AppendReply>(0);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_TRUE(replies[0].absent);
  EXPECT_FALSE(replies[0].success);
  EXPECT_EQ(cluster().machines[added].store.groups.at(partition).replica.added, 12U);
  EXPECT_EQ(cluster().machines[added].store.groups.at(partition).hard_state.term, 7U);
  // Without data it has no log to compare with a candidate's: no vote.
  cluster().run(1s);
  cluster().network.clear();
  cluster().inject(0, added, RequestVote{{partition, 9, 0, 12}, false, true, 1000, 8});
  EXPECT_TRUE(cluster().network.taken<VoteReply>(0).empty());
}

TEST_F(GroupMembership, LateMessagesOfAFormerLife_AreDropped) {
  make(4);
  write("x");
  unsigned leader = *cluster().leader(partition);
  const unsigned moved = voter_beside(leader);
  cluster().members.set_state(moved, MemberState::leaving);
  settle();
  write("y");
  cluster().members.set_state(moved, MemberState::joining);
  ASSERT_TRUE(
      cluster().run_until([&] { return has_node(cluster().configuration(partition).learners, node_id(moved)); }, 20s));
  leader = *cluster().leader(partition);
  LogIndex added = 0;
  for (const ReplicaId& learner : cluster().configuration(partition).learners) added = learner.added;
  EXPECT_GT(added, 0U);
  // From now on nobody hears the new replica, and late messages of the former one seem to acknowledge everything.
  cluster().network.deliver = [&](const Envelope& envelope) { return number_of(envelope.header.source) != moved; };
  for (unsigned i = 0; i < 4; ++i) {
    if (i != leader && i != moved) cluster().crash(i);
  }
  OperationId put = cluster().put(leader, key, "z");
  cluster().settle();
  AppendReply late;
  late.raft = {partition, cluster().group(leader, partition).term, 0, 0};
  late.success = true;
  late.match = cluster().group(leader, partition).last_index;
  cluster().inject(moved, leader, late);
  late.raft.source_added = added;  // nor does a learner count
  cluster().inject(moved, leader, late);
  EXPECT_FALSE(cluster().reply(leader, put).has_value());
}

// Found by the simulator: a stub took in late snapshot chunks for its former replica. It held data again and voted, and
// committed entries were lost.
TEST_F(GroupMembership, RemovedReplica_DoesNotRiseFromLateMessages) {
  make(4);
  write("x");
  unsigned leader = *cluster().leader(partition);
  const Configuration before = cluster().configuration(partition);
  const unsigned removed = voter_beside(leader);
  cluster().members.set_state(removed, MemberState::leaving);
  settle();
  ASSERT_TRUE(cluster().run_until([&] { return !cluster().holds(removed, partition); }, 10s));
  const StoredGroup& stub = cluster().machines[removed].store.groups.at(partition);
  SnapshotChunk chunk;
  chunk.raft = {partition, stub.hard_state.term + 1, 0, stub.replica.added};
  chunk.snapshot = 9;
  chunk.last_index = 7;
  chunk.last_term = 1;
  chunk.configuration = encode(before);
  chunk.last = true;
  cluster().network.clear();
  cluster().inject(leader, removed, chunk);
  Append append;
  append.raft = chunk.raft;
  cluster().inject(leader, removed, append);
  EXPECT_FALSE(cluster().holds(removed, partition));
  EXPECT_TRUE(cluster().network.taken<SnapshotReply>(leader).empty());
  EXPECT_TRUE(cluster().network.taken<AppendReply>(leader).empty());
}

// Found by the simulator: a candidate was removed while votes for it were under way. They made what was left of it
// lead, without rows.
TEST_F(GroupMembership, RemovedReplica_DoesNotLeadByLateVotes) {
  make(4);
  write("x");
  const unsigned leader = *cluster().leader(partition);
  const unsigned removed = voter_beside(leader);
  const Configuration before = cluster().configuration(partition);
  cluster().network.deliver = [&](const Envelope& envelope) {
    return number_of(envelope.header.source) != removed && number_of(envelope.header.destination) != removed;
  };
  // All voters seem to vote for it.
  auto votes = [&](Term term, bool pre_vote) {
    for (const ReplicaId& voter : before.voters) {
      const unsigned from = number_of(voter.node);
      cluster().network.deliver = {};
      if (from != removed) cluster().inject(from, removed, VoteReply{{partition, term, 0, 0}, pre_vote, true});
    }
    cluster().network.deliver = [&](const Envelope& envelope) {
      return number_of(envelope.header.source) != removed && number_of(envelope.header.destination) != removed;
    };
  };
  const Term term = cluster().group(removed, partition).term + 1;
  const auto role = [&] { return cluster().group(removed, partition).role; };
  ASSERT_TRUE(cluster().run_until([&] { return role() == Role::pre_candidate; }));
  votes(term, true);
  ASSERT_EQ(role(), Role::candidate);
  ASSERT_TRUE(cluster().run_until([&] { return role() == Role::pre_candidate; })) << "its votes are late";
  ReplicaRemoved gone;
  gone.raft.partition = partition;
  Configuration without = before;
  std::erase(without.voters, ReplicaId{node_id(removed), 0});
  gone.configuration = encode(without);
  gone.configuration_index = cluster().group(removed, partition).last_index + 1;
  cluster().network.deliver = {};
  cluster().inject(leader, removed, gone);
  ASSERT_FALSE(cluster().holds(removed, partition));
  const unsigned led = cluster().machines[removed].events["leader_elected"];
  votes(term, false);
  EXPECT_EQ(cluster().machines[removed].events["leader_elected"], led);
}

// Found by the simulator: the entry that added a learner was never committed, and the learner heard of no configuration
// above that index.
TEST_F(GroupMembership, LearnerWhoseEntryWasNeverCommitted_LearnsThatItIsNone) {
  make(3);
  write("x");
  unsigned added = cluster().add_machine();
  cluster().members.change([&](const MembersTable& table) {
    Member member;
    member.id = node_id(added);
    member.address = "node3:1";
    return change_members(table, {member});
  });
  cluster().submit(added, JoinOperation{cluster().genesis, cluster().table()});
  unsigned leader = *cluster().leader(partition);
  Append append;
  append.raft = {partition, 1, 0, 3};
  cluster().inject((leader + 1) % 3, added, append);
  ASSERT_TRUE(cluster().machines[added].store.groups.contains(partition));
  for (int i = 0; i < 5; ++i) write("more");
  ASSERT_TRUE(cluster().run_until([&] { return cluster().node(added).status(cluster().clock).groups.empty(); }, 20s));
}

TEST_F(GroupMembership, ReplicaOutOfService_IsReplacedByAnotherOneOfItsNode) {
  for (bool leads : {false, true}) {
    make(3);
    write("x");
    unsigned leader = *cluster().leader(partition);
    unsigned damaged = leads ? leader : (leader + 1) % 3;
    cluster().mark_damaged(damaged, partition);
    EXPECT_TRUE(cluster().group(damaged, partition).damaged);
    EXPECT_NE(cluster().group(damaged, partition).role, Role::leader);
    OperationId get = cluster().get(damaged, key);
    EXPECT_EQ(error_of(cluster().reply(damaged, get)), ErrorCode::not_member);
    // It votes for nobody.
    cluster().network.clear();
    cluster().inject((damaged + 1) % 3, damaged, RequestVote{{partition, 90, 0, 0}, false, true, 1000, 89});
    EXPECT_TRUE(cluster().network.taken<VoteReply>((damaged + 1) % 3).empty());
    write("y");
    ASSERT_TRUE(cluster().run_until(
        [&] { return !cluster().group(damaged, partition).damaged && cluster().settled(true); }, 60s));
    cluster().run(1s);
    EXPECT_GT(cluster().machines[damaged].store.groups.at(partition).replica.added, 0U);
    EXPECT_EQ(cluster().stored(damaged, key), "y");
    expect_data_where_the_members_are();
  }
}

TEST_F(GroupMembership, LearnerThatIsNotWantedAnyMore_IsTakenOutAndForgetsItsRows) {
  make(3);
  write("x");
  unsigned added = cluster().add_machine();
  cluster().network.deliver = [&](const Envelope& envelope) {
    return !std::holds_alternative<SnapshotReply>(envelope.message);
  };
  cluster().members.join(added);
  auto learners = [&] {
    unsigned sum = 0;
    for (std::uint32_t index = 0; index < 4; ++index)
      sum += cluster().configuration(PartitionId{index}).learners.empty() ? 0 : 1;
    return sum;
  };
  ASSERT_TRUE(cluster().run_until(
      [&] { return learners() > 0 && cluster().machines[added].events["replica_added"] > 0; }, 20s));
  cluster().members.set_state(added, MemberState::leaving);
  cluster().network.heal();
  ASSERT_TRUE(cluster().run_until([&] { return cluster().settled() && learners() == 0; }, 30s));
  cluster().run(10s);
  expect_data_where_the_members_are();
  EXPECT_TRUE(cluster().node(added).status(cluster().clock).groups.empty());
  EXPECT_EQ(read(), "x");
}

TEST_F(GroupMembership, LearnerThatDiesWhileItIsFilled_IsFilledWhenItComesBack) {
  make(3);
  for (int i = 0; i < 20; ++i) write("value " + std::to_string(i));
  unsigned added = cluster().add_machine();
  unsigned chunks = 0;
  cluster().network.deliver = [&](const Envelope& envelope) {
    bool chunk = std::holds_alternative<SnapshotChunk>(envelope.message);
    chunks += chunk ? 1 : 0;
    return !chunk || chunks % 2 == 1;
  };
  cluster().members.join(added);
  ASSERT_TRUE(cluster().run_until([&] { return chunks > 1; }, 20s));
  cluster().crash(added);
  cluster().run(3s);
  cluster().start(added);
  settle();
  cluster().run(1s);
  expect_data_where_the_members_are();
}

TEST_F(GroupMembership, LeaderDiesAtAnyStep_TheNextOneGoesOn) {
  for (unsigned step = 0; step < 6; ++step) {
    make(4);
    write("x");
    unsigned leader = *cluster().leader(partition);
    const unsigned leaving = voter_beside(leader);
    unsigned proposed = 0;
    cluster().members.set_state(leaving, MemberState::leaving);
    cluster().run_until([&] { return (proposed = events("configuration_proposed")) > step / 2; }, 20s);
    if (step % 2 == 1) cluster().run(50ms);
    leader = *cluster().leader(partition);
    cluster().crash(leader);
    cluster().run(4s);
    cluster().start(leader);
    ASSERT_TRUE(cluster().run_until([&] { return cluster().settled(true); }, 60s)) << "step " << step;
    EXPECT_EQ(read(), "x");
  }
}

}  // namespace
}  // namespace ringfs::dht::test
