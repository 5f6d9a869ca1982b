// Elections, votes, leases on the voters' side, CheckQuorum and the transfer of leadership.
#include <gtest/gtest.h>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class ReadyGroupElection : public ReadyGroup {
 protected:
  ReadyGroupElection() : ReadyGroup(key) {}
  // The leader's lease is over for all, and what it has under way is lost.
  void end_lease() {
    cluster.clock.now += 450ms;
    cluster.network.clear();
  }
  // What the voter answers.
  bool granted(unsigned asker, const RequestVote& vote) {
    cluster.inject(asker, voter, vote);
    return cluster.network.taken<VoteReply>(asker).at(0).granted;
  }

  const unsigned voter = (leader + 1) % 3;
  const unsigned candidate = (leader + 2) % 3;
};

RaftHeader raft(PartitionId partition, Term term) { return {partition, term, 0, 0}; }

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
  // Usable soon: that is the point of the preferred one going first.
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

TEST(GroupElection, Vote_LeavesOnlyWhenItIsDurable) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.run(5s);  // no lease can be alive after this
  cluster.network.heal();
  unsigned leader = *cluster.leader(partition);
  unsigned voter = (leader + 1) % 3;
  unsigned candidate = (leader + 2) % 3;
  cluster.network.deliver = [](const Envelope&) { return false; };
  cluster.clock.now += 450ms;
  GroupStatus before = cluster.group(voter, partition);
  cluster.machines[voter].hold_disk = true;
  cluster.network.clear();
  cluster.inject(candidate, voter, RequestVote{raft(partition, before.term + 1), false, false, 1000, before.term});
  EXPECT_TRUE(cluster.network.taken<VoteReply>(candidate).empty());
  EXPECT_EQ(cluster.machines[voter].store.groups.at(partition).hard_state.term, before.term);
  cluster.release_disk(voter);
  std::vector<VoteReply> replies = cluster.network.taken<VoteReply>(candidate);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_TRUE(replies[0].granted);
  EXPECT_EQ(cluster.machines[voter].store.groups.at(partition).hard_state.vote, node_id(candidate));
}

TEST(GroupElection, VoteFaultSwitchedOn_ReplyLeavesBeforeTheWrite) {
  NodeOptions options;
  options.faults.send_vote_before_write = true;
  Cluster cluster(3, 2, true, options);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.run(5s);
  unsigned voter = (*cluster.leader(partition) + 1) % 3;
  unsigned candidate = (*cluster.leader(partition) + 2) % 3;
  cluster.clock.now += 450ms;
  cluster.machines[voter].hold_disk = true;
  cluster.network.clear();
  Term term = cluster.group(voter, partition).term;
  cluster.inject(candidate, voter, RequestVote{raft(partition, term + 1), false, false, 1000, term});
  EXPECT_EQ(cluster.network.taken<VoteReply>(candidate).size(), 1U);
}

TEST_F(ReadyGroupElection, SecondCandidateOfATerm_GetsNoVoteEvenAfterARestart) {
  const Term term = cluster.group(voter, partition).term;
  const RequestVote vote{raft(partition, term + 1), false, false, 1000, term};
  cluster.network.deliver = [](const Envelope&) { return false; };
  end_lease();
  ASSERT_TRUE(granted(candidate, vote));
  cluster.crash(voter);
  cluster.start(voter);
  end_lease();
  EXPECT_FALSE(granted(leader, vote));
}

TEST_F(ReadyGroupElection, StaleLog_GetsNoVote) {
  Term term = cluster.group(voter, partition).term;
  end_lease();
  EXPECT_FALSE(granted(candidate, {raft(partition, term + 5), false, false, 0, 0}));
}

TEST_F(ReadyGroupElection, VotesWithinTheLease_AreRefusedUnlessTheLeaderAsked) {
  cluster.run(1s);
  Term term = cluster.group(voter, partition).term;
  cluster.network.clear();
  for (bool pre_vote : {true, false}) {
    EXPECT_FALSE(granted(candidate, {raft(partition, term + 1), pre_vote, false, 1000, term}));
    EXPECT_EQ(cluster.group(voter, partition).term, term) << "a refused vote must not move the term";
  }
  EXPECT_TRUE(granted(candidate, {raft(partition, term + 1), false, true, 1000, term}));
}

TEST_F(ReadyGroupElection, VotesAfterAProcessStart_AreRefusedForTheLease) {
  const Term term = cluster.group(voter, partition).term;
  const RequestVote vote{raft(partition, term + 1), false, false, 1000, term};
  cluster.crash(voter);
  cluster.start(voter);
  cluster.network.clear();
  EXPECT_FALSE(granted(candidate, vote));
  cluster.clock.now += 401ms;
  EXPECT_TRUE(granted(candidate, vote));
}

TEST_F(ReadyGroupElection, NodeThatWasCutOff_DoesNotDisturbWhenItComesBack) {
  Term term = cluster.group(leader, partition).term;
  unsigned alone = (leader + 1) % 3;
  cluster.network.isolate(alone);
  cluster.run(5s);
  EXPECT_GT(cluster.machines[alone].events["campaign"], 0U);
  cluster.network.heal();
  cluster.run(2s);
  EXPECT_EQ(cluster.leader(partition), leader);
  EXPECT_EQ(cluster.group(leader, partition).term, term);
  EXPECT_EQ(cluster.group(alone, partition).leader, node_id(leader));
}

TEST_F(ReadyGroupElection, LeaderCutOff_StepsDownAndAnotherTakesOver) {
  unsigned old = leader;
  cluster.network.isolate(old);
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != old && cluster.ready(partition); }, 5s));
  EXPECT_TRUE(cluster.run_until([&] { return cluster.group(old, partition).role != Role::leader; }, 5s));
  EXPECT_GT(cluster.machines[old].events["step_down"], 0U);
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
    return false;  // as if the other one had voted for itself at the same moment
  };
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != frozen; }));
  ASSERT_TRUE(split);
  EXPECT_LT(cluster.clock.now - *split, cluster.genesis.timing.election_minimum);
}

TEST_F(ReadyGroupElection, OneWayPartition_LeaderThatHearsNobodyStepsDown) {
  unsigned old = leader;
  cluster.network.deliver = [old](const Envelope& envelope) { return number_of(envelope.header.destination) != old; };
  EXPECT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != old && cluster.ready(partition); }, 10s));
}

TEST_F(ReadyGroupElection, PreferredPrimaryComesBack_LeadershipDriftsToItAndNothingIsLost) {
  unsigned preferred = cluster.preferred(partition);
  ASSERT_EQ(cluster.leader(partition), preferred);
  cluster.crash(preferred);
  cluster.wait_ready(partition);
  unsigned other = *cluster.leader(partition);
  ASSERT_TRUE(cluster.executes(other, cluster.client.put(key, "while away")));
  cluster.start(preferred);
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) == preferred && cluster.ready(partition); }));
  EXPECT_GT(cluster.machines[other].events["transfer"], 0U);
  OperationId get = cluster.get(preferred, key);
  cluster.settle();
  EXPECT_EQ(value_of(cluster.reply(preferred, get)), "while away");
}

TEST_F(ReadyGroupElection, TransferThatFails_LeaderTakesANewTermAndALeaseAgain) {
  unsigned preferred = cluster.preferred(partition);
  cluster.crash(preferred);
  cluster.wait_ready(partition);
  unsigned other = *cluster.leader(partition);
  Term term = cluster.group(other, partition).term;
  cluster.start(preferred);
  bool lost = false;
  cluster.network.deliver = [&](const Envelope& envelope) {
    auto* transfer = std::get_if<TimeoutNow>(&envelope.message);
    if (transfer == nullptr || transfer->raft.partition != partition) return true;
    lost = true;
    return false;
  };
  ASSERT_TRUE(cluster.run_until([&] { return lost; }));
  EXPECT_FALSE(cluster.group(other, partition).lease) << "no lease in a term that was given away";
  OperationId refused = cluster.put(other, key, "x");
  EXPECT_EQ(error_of(cluster.reply(other, refused)), ErrorCode::overloaded);
  ASSERT_TRUE(cluster.run_until([&] { return cluster.ready(partition); }));
  EXPECT_EQ(cluster.leader(partition), other);
  EXPECT_GT(cluster.group(other, partition).term, term);
}

TEST_F(ReadyGroupElection, MessagesOfAnotherReplicaIdentity_AreDropped) {
  unsigned follower = (leader + 1) % 3;
  GroupStatus before = cluster.group(follower, partition);
  cluster.network.clear();
  Append append;
  append.raft = {partition, before.term - 1, 0, 5};  // to a life of this replica that a deposed leader added at 5
  cluster.inject(leader, follower, append);
  cluster.inject(leader, follower, RequestVote{{partition, before.term + 7, 0, 5}, false, true, 1000, 1000});
  EXPECT_EQ(cluster.group(follower, partition).term, before.term);
  std::vector<AppendReply> told = cluster.network.taken<AppendReply>(leader);  // nothing but that the term is over
  ASSERT_EQ(told.size(), 1U);
  EXPECT_FALSE(told[0].success);
  EXPECT_EQ(told[0].raft.term, before.term);
  EXPECT_EQ(told[0].raft.source_added, 5U);
  EXPECT_TRUE(cluster.network.taken<VoteReply>(leader).empty());
  // An acknowledgement of somebody's other life does not count either.
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
