// The operations that change what is durable of a replica abort where an invariant would break.
#include "dht/core/raft/replica/replica_state.hpp"

#include <gtest/gtest.h>

#include "dht/base/random.hpp"
#include "dht/core/raft/message_rules.hpp"

namespace ringfs::dht::test {
namespace {

Uuid node(std::uint8_t number) {
  Uuid id;
  id.bytes[15] = number;
  return id;
}

class ReplicaStateTest : public ::testing::Test {
 protected:
  static PersistedGroup voter_of_three() {
    PersistedGroup persisted;
    persisted.replica = {node(1), 0};
    for (std::uint8_t number = 1; number <= 3; ++number) persisted.configuration.voters.push_back({node(number), 0});
    return persisted;
  }
  void append(unsigned entries) {
    for (unsigned i = 0; i < entries; ++i) state.append_own(EntryKind::no_op, {}, {}, false);
  }
  // The driver has carried out what was collected.
  void sync() { state.log().written(out.take().write.id); }

  Outbox out{node(1), {1, 1}};
  SeededRandom random{1};
  GroupServices services{node(1), random, out};
  ReplicaState state{voter_of_three(), false, services};
};

using ReplicaStateDeathTest = ReplicaStateTest;

TEST_F(ReplicaStateTest, Entries_AreStableCommittedAndAppliedInThisOrder) {
  state.enter_term(1);
  append(3);
  EXPECT_EQ(state.log().last_index(), 3U);
  EXPECT_EQ(state.log().stable(), 0U);
  sync();
  EXPECT_EQ(state.log().stable(), 3U);
  state.log().advance_commit(2);
  state.log().advance_commit(1);  // never back
  EXPECT_EQ(state.log().commit(), 2U);
  state.log().hand_out_apply();
  EXPECT_TRUE(state.log().applying());
  state.log().applied(2);
  EXPECT_EQ(state.log().applied(), 2U);
  EXPECT_FALSE(state.log().applying());
}

TEST_F(ReplicaStateTest, Commit_ReachesNoFurtherThanTheLog) {
  state.enter_term(1);
  append(2);
  state.log().advance_commit(7);
  EXPECT_EQ(state.log().commit(), 2U);
}

TEST_F(ReplicaStateDeathTest, TermThatGoesBack_Aborts) {
  state.enter_term(5);
  EXPECT_DEATH(state.enter_term(5), "term > term_");
}

TEST_F(ReplicaStateDeathTest, SecondVoteInATerm_Aborts) {
  state.enter_term(1);
  state.vote_for(node(2));
  EXPECT_DEATH(state.vote_for(node(3)), "is_nil");
}

TEST_F(ReplicaStateDeathTest, TruncationOfWhatIsCommitted_Aborts) {
  state.enter_term(1);
  append(3);
  state.log().advance_commit(2);
  EXPECT_DEATH(state.log().truncate_from(2), "from > commit_");
}

TEST_F(ReplicaStateDeathTest, CompactionBeyondWhatIsApplied_Aborts) {
  state.enter_term(1);
  append(3);
  state.log().advance_commit(3);
  EXPECT_DEATH(state.log().compact_through(1), "base_index");
}

TEST_F(ReplicaStateDeathTest, AnswerToNoApply_Aborts) {
  state.enter_term(1);
  append(3);
  state.log().advance_commit(3);
  EXPECT_DEATH(state.log().applied(3), "applying_through_");
  state.log().hand_out_apply();
  EXPECT_DEATH(state.log().applied(2), "applying_through_");
}

TEST_F(ReplicaStateDeathTest, SnapshotBelowTheCommitIndex_Aborts) {
  state.enter_term(1);
  append(3);
  state.log().advance_commit(3);
  InstallSnapshot snapshot;
  snapshot.last_index = 2;
  EXPECT_DEATH(state.install(snapshot), "commit");
}

TEST_F(ReplicaStateDeathTest, ProgressBeyondTheLog_Aborts) {
  Progress progress(std::make_shared<std::size_t>(0));
  progress.check(0);
  progress.match = 3;
  EXPECT_DEATH(progress.check(3), "match < next");
  progress.next = 4;
  progress.check(3);
  EXPECT_DEATH(progress.check(2), "match <= last_index");
}

TEST(MessageRules, GrantedPreVote_DoesNotEndATerm) {
  VoteReply reply;
  EXPECT_EQ(rule_of(reply).higher, MessageRule::Higher::step_down);
  reply.pre_vote = reply.granted = true;
  EXPECT_EQ(rule_of(reply).higher, MessageRule::Higher::judge);
  reply.pre_vote = false;
  EXPECT_EQ(rule_of(reply).higher, MessageRule::Higher::step_down);
}

}  // namespace
}  // namespace ringfs::dht::test
