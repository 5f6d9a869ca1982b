// What a node finds out about itself and its peers: a disk that hangs, a disk that is slower than the others', a loop
// that is late.
#include "dht/core/raft/fitness.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

class FitnessTest : public ::testing::Test {
 protected:
  // Once a second a durable write that takes `own`, while the peers report `others_us` for theirs.
  void seconds_pass(int seconds, Duration own, std::uint32_t others_us) {
    for (int second = 0; second < seconds; ++second) {
      fitness.write_given(++write, true, now);
      now += own;
      fitness.written(write, now);
      for (std::uint8_t peer = 1; peer <= 2; ++peer) fitness.heard(id(peer), {false, false, 1000, others_us}, now);
      fitness.judge(now);
      now += 1s - own;
    }
  }
  static Uuid id(std::uint8_t number) {
    Uuid uuid;
    uuid.bytes[0] = number;
    return uuid;
  }

  Fitness fitness;
  TimePoint now{1000s};
  EffectId write = 0;
};

TEST_F(FitnessTest, Disk_IsNotKnownToAnswerBeforeAWrite_NorASecondAfterIt) {
  EXPECT_FALSE(fitness.answers(now));
  EXPECT_EQ(fitness.report(now).answered_us, 0U);
  fitness.write_given(1, true, now);
  fitness.written(1, now + 5ms);
  EXPECT_TRUE(fitness.answers(now + 900ms));
  EXPECT_EQ(fitness.report(now + 905ms).answered_us, 900'000U);
  EXPECT_FALSE(fitness.answers(now + 1100ms));
}

TEST_F(FitnessTest, Disk_WithoutAnyAnswerForASecond_Hangs_UntilItAnswers) {
  fitness.write_given(1, true, now);
  fitness.write_given(2, true, now + 500ms);
  EXPECT_FALSE(fitness.hangs(now + 999ms));
  EXPECT_TRUE(fitness.hangs(now + 1s));
  fitness.written(1, now + 3s);
  EXPECT_FALSE(fitness.hangs(now + 3s));
  EXPECT_TRUE(fitness.hangs(now + 4s)) << "the second one is still there";
}

TEST_F(FitnessTest, Disk_ThatWorksOffALongQueue_DoesNotHang) {
  for (EffectId one = 1; one <= 20; ++one) fitness.write_given(one, true, now);
  for (EffectId one = 1; one <= 20; ++one) {
    now += 400ms;
    fitness.written(one, now);
    EXPECT_FALSE(fitness.hangs(now + 399ms));
  }
}

TEST_F(FitnessTest, Reads_ThatDoNotComeBack_AreAHungDiskAsWell) {
  fitness.reads_given(2, now);
  fitness.read_answered(now + 100ms);
  EXPECT_FALSE(fitness.hangs(now + 1s));
  EXPECT_TRUE(fitness.hangs(now + 1100ms));
}

TEST_F(FitnessTest, StagedChunks_DoNotShowThatTheDiskAnswers) {
  fitness.write_given(1, false, now);
  fitness.written(1, now + 1ms);
  EXPECT_FALSE(fitness.answers(now + 1ms));
}

TEST_F(FitnessTest, ManyTimesSlowerThanThePeers_ForHalfAMinute_IsSlow_AndWellAgainAsLongAfter) {
  seconds_pass(25, 300ms, 1000);
  EXPECT_FALSE(fitness.disk_slow());
  seconds_pass(10, 300ms, 1000);
  EXPECT_TRUE(fitness.disk_slow());
  EXPECT_FALSE(fitness.fit(now));
  EXPECT_TRUE(fitness.report(now).slow);
  seconds_pass(20, 2ms, 1000);
  EXPECT_TRUE(fitness.disk_slow());
  seconds_pass(40, 2ms, 1000);
  EXPECT_FALSE(fitness.disk_slow());
}

TEST_F(FitnessTest, AsSlowAsThePeers_IsNotSlow) {
  seconds_pass(60, 300ms, 200'000);
  EXPECT_FALSE(fitness.disk_slow());
}

TEST_F(FitnessTest, ManyTimesSlowerButFast_IsNotSlow) {
  seconds_pass(60, 15ms, 100);
  EXPECT_FALSE(fitness.disk_slow());
}

TEST_F(FitnessTest, WithoutPeers_NothingIsSlow) {
  for (int second = 0; second < 60; ++second) {
    fitness.write_given(++write, true, now);
    fitness.written(write, now + 400ms);
    now += 1s;
    fitness.judge(now);
  }
  EXPECT_FALSE(fitness.disk_slow());
}

TEST_F(FitnessTest, TurnsThatComeLateMostOfTheTime_AreNoticed_AndForgotten) {
  for (int turn = 0; turn < 10; ++turn) {
    fitness.ticked(now, now + 900ms);
    now += 1s;
  }
  EXPECT_TRUE(fitness.late());
  for (int turn = 0; turn < 600; ++turn) {
    fitness.ticked(now, now + 1ms);
    now += 100ms;
  }
  EXPECT_FALSE(fitness.late());
}

TEST_F(FitnessTest, TimeInWhichTheProcessDidNotRun_IsNotTheDisks) {
  seconds_pass(10, 1ms, 1000);
  fitness.write_given(++write, true, now);
  fitness.judge(now + 500ms);  // slower than the others so far
  const TimePoint due = now + 600ms;
  now = due + 4min;
  fitness.ticked(due, now);
  EXPECT_FALSE(fitness.hangs(now));
  fitness.written(write, now + 1ms);
  for (std::uint8_t peer = 1; peer <= 2; ++peer) fitness.heard(id(peer), {false, false, 1000, 1000}, now);
  fitness.judge(now + 1ms);
  EXPECT_FALSE(fitness.disk_slow());
  EXPECT_LT(fitness.write_time(now + 1ms), 1s);
}

TEST_F(FitnessTest, SlowDiskThatNobodyUsesAnyMore_IsWellAgainWhenItsProbesAreQuick) {
  seconds_pass(60, 400ms, 1000);
  ASSERT_TRUE(fitness.disk_slow());
  // The others have nothing to write and report nothing.
  for (int probe = 0; probe < 24; ++probe) {
    now += 5s;
    fitness.write_given(++write, true, now);
    fitness.written(write, now + 1ms);
    for (int second = 0; second < 5; ++second) fitness.judge(now + second * 1s);
  }
  EXPECT_FALSE(fitness.disk_slow());
}

TEST_F(FitnessTest, OneLongFreeze_IsNoHabit) {
  fitness.ticked(now, now);
  fitness.ticked(now, now + 20s);
  EXPECT_FALSE(fitness.late());
}

TEST_F(FitnessTest, WhatAPeerSaid_CountsForASecond) {
  fitness.heard(id(1), {false, false, 300'000, 500}, now);
  fitness.heard(id(2), {true, false, 1'200'000, 500}, now);
  fitness.heard(id(3), {}, now);
  EXPECT_TRUE(fitness.fit(id(1), now));
  EXPECT_TRUE(fitness.unfit(id(2), now));
  EXPECT_FALSE(fitness.fit(id(3), now)) << "nobody knows";
  EXPECT_FALSE(fitness.unfit(id(3), now));
  EXPECT_TRUE(fitness.fit(id(1), now + 600ms));
  EXPECT_FALSE(fitness.fit(id(1), now + 700ms)) << "its last answer is a second old";
  EXPECT_FALSE(fitness.unfit(id(2), now + 1s));
}

TEST_F(FitnessTest, PeerWhoseDiskAnsweredLastBeforeTheOwnOneHung_IsNoBetter) {
  fitness.write_given(1, true, now);
  now += 1s;
  ASSERT_TRUE(fitness.hangs(now));
  fitness.heard(id(1), {false, false, 1'000'000, 500}, now - 50ms);
  EXPECT_FALSE(fitness.answers(id(1), now));
  fitness.heard(id(1), {false, false, 900'000, 500}, now);
  EXPECT_TRUE(fitness.answers(id(1), now));
}

}  // namespace
}  // namespace ringfs::dht::test
