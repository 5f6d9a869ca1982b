// Elections: when they come, and whose messages do not count. How votes are given is in the Raft scenarios.
#include <gtest/gtest.h>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class ReadyGroupElection : public ReadyGroup {
 protected:
  ReadyGroupElection() : ReadyGroup(key) {}
};

TEST(GroupElection, FreshRing_PreferredPrimaryOfEveryPartitionLeads) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.run_until([&] {
    for (std::uint32_t p = 0; p < 4; ++p) {
      if (!cluster.ready(PartitionId{p})) return false;
    }
    return true;
  }));
  for (std::uint32_t p = 0; p < 4; ++p) {
    EXPECT_EQ(cluster.leader(PartitionId{p}), cluster.preferred(PartitionId{p}));
    EXPECT_EQ(cluster.group(*cluster.leader(PartitionId{p}), PartitionId{p}).term, 1U);
  }
  // The preferred primary stands first so that a fresh ring is usable soon.
  EXPECT_LT(cluster.clock.now - TimePoint(100s), 1s);
}

TEST(GroupElection, SingleVoter_LeadsOnlyAfterItsVoteIsDurable) {
  Cluster cluster(1);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.run(100ms);
  cluster.machines[0].hold_disk = true;
  cluster.run(3s);
  EXPECT_FALSE(cluster.leader(partition));
  cluster.release_disk(0);
  EXPECT_EQ(cluster.leader(partition), 0U);
}

TEST_F(ReadyGroupElection, LeaderKilled_SuccessorDoesNotWaitForTheTimeOut) {
  unsigned old = leader;
  cluster.crash(old);
  cluster.disconnect(old);
  TimePoint killed = cluster.clock.now;
  ASSERT_TRUE(cluster.run_until([&] { return cluster.ready(partition); }));
  EXPECT_GE(cluster.clock.now - killed, 300ms) << "the old leader's lease was broken";
  EXPECT_LT(cluster.clock.now - killed, 1s);
}

TEST_F(ReadyGroupElection, LeaderFrozenAndVotesSplit_NextTryComesSoonerThanATimeOut) {
  unsigned frozen = leader;
  Term term = cluster.group(frozen, partition).term;
  cluster.machines[frozen].frozen = true;
  std::optional<TimePoint> split;
  cluster.network.deliver = [&](const Envelope& envelope) {
    if (number_of(envelope.header.source) == frozen || number_of(envelope.header.destination) == frozen) return false;
    const auto* vote = std::get_if<RequestVote>(&envelope.message);
    if (vote == nullptr || vote->raft.partition != partition || vote->pre_vote || vote->raft.term > term + 1)
      return true;
    if (!split) split = cluster.clock.now;
    return false;  // as if the other one had stood at the same moment and voted for itself
  };
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != frozen; }));
  ASSERT_TRUE(split);
  EXPECT_LT(cluster.clock.now - *split, cluster.genesis.timing.election_minimum);
}

TEST_F(ReadyGroupElection, MessagesOfAnotherReplicaIdentity_AreDropped) {
  unsigned follower = (leader + 1) % 3;
  GroupStatus before = cluster.group(follower, partition);
  cluster.network.clear();
  Append append;
  append.raft = {partition, before.term - 1, 0,
                 5};  // to another replica of this node, which a deposed leader added at 5
  cluster.inject(leader, follower, append);
  cluster.inject(leader, follower, RequestVote{{partition, before.term + 7, 0, 5}, false, true, 1000, 1000});
  EXPECT_EQ(cluster.group(follower, partition).term, before.term);
  std::vector<AppendReply> told = cluster.network.taken<AppendReply>(leader);  // only that the term is over
  ASSERT_EQ(told.size(), 1U);
  EXPECT_FALSE(told[0].success);
  EXPECT_EQ(told[0].raft.term, before.term);
  EXPECT_EQ(told[0].raft.source_added, 5U);
  EXPECT_TRUE(cluster.network.taken<VoteReply>(leader).empty());
  // An acknowledgement of another replica of a node does not count either.
  cluster.network.deliver = [](const Envelope&) { return false; };
  OperationId put = cluster.put(leader, key, "x");
  AppendReply reply;
  reply.raft = {partition, before.term, 9, 0};
  reply.success = true;
  reply.match = before.last_index + 1;
  cluster.inject(follower, leader, reply);
  EXPECT_FALSE(cluster.reply(leader, put));
  reply.raft.source_added = 0;
  cluster.inject(follower, leader, reply);
  EXPECT_TRUE(succeeded(cluster.reply(leader, put)));
}

}  // namespace
}  // namespace ringfs::dht::test
