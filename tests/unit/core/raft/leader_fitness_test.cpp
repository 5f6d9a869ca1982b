// A leader whose disk hangs or is slow hands over, gives up or stays. Who takes over, and who neither votes nor asks
// for votes.
#include <gtest/gtest.h>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class GroupFitness : public ReadyGroup {
 protected:
  GroupFitness() : ReadyGroup(key) {}
  // This disk answers nothing from now on.
  void hang(unsigned i) { cluster.machines[i].hold_disk = true; }
  // The disk has a long queue. work_once() lets it do the next task, 400 ms later: it answers, but a new write takes
  // seconds.
  void keep_busy(unsigned i) {
    hang(i);
    for (int n = 0; n < 12; ++n) {
      ASSERT_TRUE(put_somewhere(std::to_string(n), 200ms));
    }
    ASSERT_GT(cluster.machines[i].disk.size(), 8U);
  }
  void work_once(unsigned i) {
    cluster.run(400ms);
    if (cluster.machines[i].disk.empty()) return;
    cluster.machines[i].disk_step(cluster.network, cluster.clock);
    cluster.pump(i);
    cluster.settle();
  }
  bool work_on(unsigned i, const std::function<bool()>& done) {
    for (int n = 0; n < 100 && !done(); ++n) work_once(i);
    return done();
  }
  // A write takes 50 ms there, for long enough to be noticed.
  void make_slow(unsigned i) {
    for (int n = 0; n < 300; ++n) {
      hang(i);
      ASSERT_TRUE(put_somewhere(std::to_string(n), 200ms));
      cluster.run(50ms);
      cluster.release_disk(i);
      cluster.run(80ms);
    }
    ASSERT_EQ(cluster.machines[i].events["disk_slow"], 1U);
  }
  void kill_leader() {
    cluster.crash(leader);
    cluster.disconnect(leader);
  }
  // The leader dies. Of the two others only the candidate asks for votes; the voter's disk has a long queue.
  void let_stand(unsigned candidate, unsigned voter) {
    keep_busy(voter);
    kill_leader();
    cluster.network.deliver = [this, candidate](const Envelope& envelope) {
      const auto* vote = std::get_if<RequestVote>(&envelope.message);
      return vote == nullptr || vote->raft.partition != partition || number_of(envelope.header.source) == candidate;
    };
  }
  bool committed(unsigned at, OperationId id) {
    std::optional<OperationResult> answer = cluster.reply(at, id);
    return answer && *answer;
  }
  // A client that asks whoever leads until `limit`.
  bool put_somewhere(const std::string& value, Duration limit) {
    const TimePoint end = cluster.clock.now + limit;
    while (cluster.clock.now < end) {
      std::optional<unsigned> led = cluster.leader(partition);
      if (!led) {
        cluster.run(20ms);
        continue;
      }
      const OperationId id = cluster.put(*led, key, value);
      cluster.run_until([&] { return cluster.reply(*led, id).has_value(); },
                        std::max(end - cluster.clock.now, Duration(1)));
      if (committed(*led, id)) return true;
      cluster.run(20ms);
    }
    return false;
  }
};

TEST_F(GroupFitness, LeaderWhoseDiskHangs_HandsOverToOneWhoseDiskAnswers) {
  hang(leader);
  cluster.put(leader, key, "x");
  EXPECT_TRUE(
      cluster.run_until([&] { return cluster.leader(partition) != leader && cluster.ready(partition); }, 1600ms));
  EXPECT_GT(cluster.machines[leader].events["transfer"], 0U);
  EXPECT_TRUE(put_somewhere("y", 1s));
  cluster.release_disk(leader);
}

TEST_F(GroupFitness, OperationUnderWay_IsAnsweredWithTheLeadership_NotKept) {
  hang(leader);
  const OperationId id = cluster.put(leader, key, "x");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.reply(leader, id).has_value(); }, 2s));
  ASSERT_FALSE(*cluster.reply(leader, id));
  EXPECT_EQ(cluster.reply(leader, id)->error().error.code, ErrorCode::not_leader);
  EXPECT_EQ(cluster.reply(leader, id)->error().error.context, "leadership was lost") << "it may have been executed";
  cluster.release_disk(leader);
}

TEST_F(GroupFitness, FollowerWhoseDiskHangs_HoldsUpNobody) {
  const unsigned follower = (leader + 1) % 3;
  hang(follower);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put_somewhere(std::to_string(i), 200ms));
    cluster.run(200ms);
  }
  EXPECT_EQ(cluster.leader(partition), leader);
  cluster.release_disk(follower);
}

TEST_F(GroupFitness, WithoutAMajorityWhoseDisksAnswer_TheLeaderStays) {
  hang(leader);
  hang((leader + 1) % 3);
  cluster.put(leader, key, "x");
  cluster.run(10s);
  EXPECT_EQ(cluster.leader(partition), leader);
  EXPECT_TRUE(cluster.group(leader, partition).lease) << "what it holds in memory can still be read";
  cluster.release_disk(leader);
  cluster.release_disk((leader + 1) % 3);
  EXPECT_TRUE(put_somewhere("y", 2s));
}

TEST_F(GroupFitness, AllDisksHang_NobodyCampaigns) {
  for (unsigned i = 0; i < 3; ++i) hang(i);
  const Term term = cluster.group(leader, partition).term;
  cluster.put(leader, key, "x");
  cluster.run(20s);
  EXPECT_EQ(cluster.leader(partition), leader);
  EXPECT_EQ(cluster.group(leader, partition).term, term);
  for (unsigned i = 0; i < 3; ++i) cluster.release_disk(i);
  EXPECT_TRUE(put_somewhere("y", 2s));
}

TEST_F(GroupFitness, TransferTargetThatDoesNotTakeOver_TheLeaderGivesUpInsteadOfCampaigning) {
  hang(leader);
  cluster.network.deliver = [](const Envelope& envelope) {
    return !std::holds_alternative<TimeoutNow>(envelope.message);
  };
  cluster.put(leader, key, "x");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.machines[leader].events["leadership_given_up"] > 0; }, 2s));
  EXPECT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != leader && cluster.ready(partition); }, 2s));
  EXPECT_TRUE(put_somewhere("y", 1s));
  cluster.release_disk(leader);
}

TEST_F(GroupFitness, CandidateWhoseVoteIsNotWrittenYet_TakesNoOtherTerm) {
  const unsigned candidate = (leader + 1) % 3;
  const Term term = cluster.group(leader, partition).term;
  keep_busy(candidate);
  kill_leader();
  std::optional<Term> asked;
  cluster.network.deliver = [&](const Envelope& envelope) {
    const auto* vote = std::get_if<RequestVote>(&envelope.message);
    if (vote == nullptr || vote->raft.partition != partition) return true;
    if (number_of(envelope.header.source) != candidate) return false;
    if (!vote->pre_vote && !asked) asked = vote->raft.term;
    return true;
  };
  ASSERT_TRUE(work_on(candidate, [&] { return cluster.leader(partition) == candidate; }));
  EXPECT_EQ(asked, term + 1);
  EXPECT_EQ(cluster.group(candidate, partition).term, term + 1);
}

TEST_F(GroupFitness, VoteThatIsWrittenLate_StillCounts) {
  const unsigned voter = (leader + 1) % 3;
  const unsigned candidate = (leader + 2) % 3;
  const Term term = cluster.group(leader, partition).term;
  let_stand(candidate, voter);
  ASSERT_TRUE(work_on(voter, [&] { return cluster.leader(partition) == candidate; }));
  EXPECT_GT(cluster.machines[candidate].events["campaign"], 2U) << "it ran into its timeout before";
  EXPECT_EQ(cluster.group(candidate, partition).term, term + 1);
}

TEST_F(GroupFitness, VoterWhoseVoteIsNotWrittenYet_AsksForNoneItself) {
  const unsigned voter = (leader + 1) % 3;
  const unsigned candidate = (leader + 2) % 3;
  const Term term = cluster.group(leader, partition).term;
  let_stand(candidate, voter);
  ASSERT_TRUE(work_on(voter, [&] { return cluster.group(voter, partition).term > term; }));
  cluster.crash(candidate);
  const std::size_t before_the_vote = cluster.machines[voter].disk.size() - 1;
  for (std::size_t i = 0; i < before_the_vote; ++i) work_once(voter);
  EXPECT_EQ(cluster.group(voter, partition).term, term + 1);
  EXPECT_EQ(cluster.group(voter, partition).role, Role::follower);
  cluster.release_disk(voter);
}

TEST_F(GroupFitness, DiskThatBecameSlowUnderItsLeader_CampaignsAfterThoseThatAreWell) {
  const unsigned slow = (leader + 1) % 3;
  make_slow(slow);
  const unsigned campaigns = cluster.machines[slow].events["campaign"];
  cluster.network.deliver = [&](const Envelope& envelope) {  // no campaign of the others may delay its own
    return number_of(envelope.header.source) != leader && !std::holds_alternative<RequestVote>(envelope.message);
  };
  cluster.run(cluster.genesis.timing.election_maximum + 100ms);
  EXPECT_EQ(cluster.machines[slow].events["campaign"], campaigns);
  EXPECT_GT(cluster.machines[(leader + 2) % 3].events["campaign"], 0U);
  cluster.run(2 * cluster.genesis.timing.election_maximum);
  EXPECT_GT(cluster.machines[slow].events["campaign"], campaigns) << "if nobody else can be elected";
}

TEST_F(GroupFitness, SlowDisk_CampaignsAfterThoseThatAreWell_AlsoWhenTheLeaderIsSeenToDie) {
  const unsigned slow =
      number_of(Placement(cluster.genesis.first_table, cluster.genesis.partition_bits).preference_list(partition)[1]);
  ASSERT_NE(slow, leader);
  make_slow(slow);
  const unsigned campaigns = cluster.machines[slow].events["campaign"];
  kill_leader();
  ASSERT_TRUE(cluster.run_until([&] { return cluster.ready(partition); }, 5s));
  EXPECT_NE(cluster.leader(partition), slow);
  EXPECT_EQ(cluster.machines[slow].events["campaign"], campaigns);
}

TEST_F(GroupFitness, HungDisk_GivesNoPreVote) {
  const unsigned hung = (leader + 1) % 3;
  const unsigned candidate = (leader + 2) % 3;
  hang(hung);
  ASSERT_TRUE(put_somewhere("x", 200ms));
  cluster.network.deliver = [](const Envelope&) { return false; };
  cluster.run(1200ms);
  cluster.network.clear();
  const GroupStatus status = cluster.group(hung, partition);
  cluster.inject(candidate, hung,
                 RequestVote{{partition, status.term + 1, 0, 0}, true, false, status.last_index + 9, status.term});
  EXPECT_TRUE(cluster.network.taken<VoteReply>(candidate).empty());
  cluster.release_disk(hung);
  cluster.network.clear();
  cluster.inject(candidate, hung,
                 RequestVote{{partition, status.term + 1, 0, 0}, true, false, status.last_index + 9, status.term});
  EXPECT_FALSE(cluster.network.taken<VoteReply>(candidate).empty());
}

TEST_F(GroupFitness, HungDisk_AsksForNoVotes) {
  const unsigned hung = (leader + 1) % 3;
  hang(hung);
  ASSERT_TRUE(put_somewhere("x", 200ms));
  cluster.run(2s);
  cluster.network.isolate(hung);
  const unsigned campaigns = cluster.machines[hung].events["campaign"];
  cluster.run(10s);
  EXPECT_EQ(cluster.machines[hung].events["campaign"], campaigns);
  cluster.release_disk(hung);
  cluster.run(3s);
  EXPECT_GT(cluster.machines[hung].events["campaign"], campaigns);
}

TEST_F(GroupFitness, PreferredPrimaryWhoseDiskHangs_DoesNotGetItsGroupsBack) {
  hang(leader);
  cluster.put(leader, key, "x");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != leader && cluster.ready(partition); }, 2s));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(put_somewhere(std::to_string(i), 1s)) << i;
    cluster.run(200ms);
  }
  EXPECT_NE(cluster.leader(partition), leader);
  cluster.release_disk(leader);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.leader(partition) == leader; }, 30s))
      << "well again, it leads again";
}

TEST_F(GroupFitness, IdlePreferredPrimary_IsAskedWhetherItsDiskAnswers_BeforeItLeads) {
  cluster.network.isolate(leader);
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != leader && cluster.ready(partition); }, 5s));
  hang(leader);
  cluster.network.heal();
  cluster.run(30s);
  EXPECT_NE(cluster.leader(partition), leader);
  EXPECT_EQ(cluster.machines[*cluster.leader(partition)].events["transfer_failed"], 0U)
      << "nobody was without a leader for it";
  cluster.release_disk(leader);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.leader(partition) == leader; }, 30s));
}

TEST_F(GroupFitness, RowLeases_EndBeforeTheLeadershipGoes) {
  ReadOperation read = cluster.client.get(key);
  read.lease = {node_id(9), 100ms};
  hang(leader);
  cluster.put(leader, "another " + key, "x");
  cluster.put(leader, key, "x");
  TimePoint leased = TimePoint::min();
  ASSERT_TRUE(cluster.run_until(
      [&] {
        if (cluster.leader(partition) != leader) return true;
        const OperationId id = cluster.submit(leader, read);
        std::optional<OperationResult> answer = cluster.reply(leader, id);
        if (answer && *answer) leased = std::max(leased, cluster.clock.now + std::get<ReadAnswer>(**answer).lease);
        return false;
      },
      3s));
  EXPECT_LE(leased, cluster.clock.now);
  cluster.release_disk(leader);
}

TEST_F(GroupFitness, HungDisk_HoldsBackNoGrowingPileOfAnswers) {
  const unsigned follower = (leader + 1) % 3;
  hang(follower);
  ASSERT_TRUE(put_somewhere("x", 200ms));
  cluster.run(3s);
  std::size_t held = 0;
  for (const Machine::Task& task : cluster.machines[follower].disk) held += task.after.size();
  cluster.run(60s);
  std::size_t later = 0;
  for (const Machine::Task& task : cluster.machines[follower].disk) later += task.after.size();
  EXPECT_EQ(later, held);
  cluster.release_disk(follower);
}

TEST(GroupFitnessOfTwo, OneDiskHangs_ItWaits) {
  Cluster cluster(2);
  const PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  cluster.run(3s);
  const unsigned leader = *cluster.leader(partition);
  cluster.machines[leader].hold_disk = true;
  const OperationId id = cluster.put(leader, key, "x");
  cluster.run(20s);
  EXPECT_EQ(cluster.leader(partition), leader);
  EXPECT_FALSE(cluster.reply(leader, id));
  cluster.release_disk(leader);
  cluster.run(1s);
  EXPECT_TRUE(cluster.reply(leader, id) && *cluster.reply(leader, id));
}

TEST(GroupFitnessOfOne, HungDisk_ItWaits) {
  Cluster cluster(1);
  const PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  cluster.machines[0].hold_disk = true;
  const OperationId id = cluster.put(0, key, "x");
  cluster.run(20s);
  EXPECT_EQ(cluster.leader(partition), 0U);
  cluster.release_disk(0);
  EXPECT_TRUE(cluster.reply(0, id) && *cluster.reply(0, id));
}

TEST_F(GroupFitness, Status_SaysForHowLongTheDiskHasNotAnswered) {
  hang(leader);
  cluster.put(leader, key, "x");
  cluster.run(500ms);
  EXPECT_EQ(cluster.node(leader).status(cluster.clock).disk_stalled, Duration::zero());
  cluster.run(2500ms);
  EXPECT_GE(cluster.node(leader).status(cluster.clock).disk_stalled, 2900ms);
  EXPECT_EQ(cluster.machines[leader].events["disk_hangs"], 1U);
  cluster.release_disk(leader);
  cluster.run(2s);
  EXPECT_EQ(cluster.node(leader).status(cluster.clock).disk_stalled, Duration::zero());
  EXPECT_EQ(cluster.machines[leader].events["disk_answers"], 1U);
}

}  // namespace
}  // namespace ringfs::dht::test
