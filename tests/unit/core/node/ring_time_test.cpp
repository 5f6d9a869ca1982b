// What the members agree on, and how a log's time follows it.
#include "dht/core/node/ring_time.hpp"

#include <gtest/gtest.h>

#include "dht/core/raft/log_clock.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

class RingTimeTest : public ::testing::Test {
 protected:
  explicit RingTimeTest(std::size_t members = 3) : errors_(members) {
    for (unsigned i = 0; i < members; ++i) members_.push_back(node_id(i));
  }

  Stamp right() const { return Stamp{1'700'000'000'000'000} + now_.time_since_epoch(); }
  Clock clock(std::size_t node) const { return {now_, right() + errors_[node]}; }
  // Node 0 hears the others every 100 ms.
  void run(Duration duration, std::set<unsigned> silent = {}) {
    for (Duration passed{0}; passed < duration; passed += 100ms) {
      now_ += 100ms;
      for (unsigned i = 1; i < members_.size(); ++i) {
        if (!silent.contains(i)) time_->heard(node_id(i), clock(i).stamp, now_);
      }
      time_->update(clock(0), members_, node_id(0));
    }
  }
  void start() { time_.emplace(clock(0)); }
  Duration error() const { return time_->at(now_) - right(); }

  TimePoint now_{1h};
  std::vector<Uuid> members_;
  std::vector<Duration> errors_;
  std::optional<RingTime> time_;
};

TEST_F(RingTimeTest, Median_OneOfThreeIsWrong_TheOthersCount) {
  for (const Duration wrong : {Duration(3h), Duration(-3h), Duration(-1'700'000'000s)}) {
    for (std::size_t node : {0, 1}) {
      errors_.assign(3, 0s);
      errors_[node] = wrong;
      start();
      run(1s);
      EXPECT_EQ(error(), 0s);
      ASSERT_TRUE(time_->own_error());
      EXPECT_EQ(*time_->own_error(), node == 0 ? wrong : 0s);
    }
  }
}

TEST_F(RingTimeTest, Start_UntilAMajorityWasHeard_IsTheOwnClock) {
  errors_[0] = 3h;
  start();
  run(1s, {1, 2});
  EXPECT_EQ(error(), 3h);
  EXPECT_FALSE(time_->own_error());
  run(1s);
  EXPECT_EQ(error(), 0s);
}

TEST_F(RingTimeTest, OneIsAwayAndOneIsWrong_TimeIsCarriedOn) {
  errors_[1] = -3h;
  start();
  run(10min, {2});
  EXPECT_EQ(error(), 0s) << "of two that differ none is a majority";
  EXPECT_FALSE(time_->own_error());
}

TEST_F(RingTimeTest, Slew_AMajorityMovesALittle_FollowsByATenth) {
  start();
  run(20s);
  errors_ = {0s, 10s, 10s};
  run(1s);
  EXPECT_GT(error(), 0ms);
  EXPECT_LE(error(), 110ms);
  run(40s);
  EXPECT_LE(error(), 4200ms);
  EXPECT_GE(error(), 3000ms);
  run(3min);
  EXPECT_EQ(error(), 10s);
  errors_ = {0s, 0s, 0s};
  run(11s);  // until their former samples are too old
  EXPECT_GE(error(), 9s);
  run(3min);
  EXPECT_EQ(error(), 0s);
}

TEST_F(RingTimeTest, Step_OnlyAfterAMajorityHasAgreedForLong) {
  errors_.assign(3, -1'700'000'000s);  // all were at 1970
  start();
  run(20s);
  errors_ = {-1'700'000'000s, 0s, 0s};
  run(step_timeout - 30s);
  EXPECT_LT(error(), Duration(-1'600'000'000s));
  run(1min);
  EXPECT_EQ(error(), 0s);
}

TEST_F(RingTimeTest, Step_NoMajorityAgrees_NeverComes) {
  start();
  run(20s);
  errors_ = {0s, 1h, 2h};
  run(30min);
  EXPECT_LE(error(), 3min + 5s) << "a tenth of the time that passed";
}

TEST_F(RingTimeTest, AfterASuspend_MeasuresAgain) {
  start();
  run(20s);
  errors_ = {0s, 40s, 40s};  // the others have agreed while this one was suspended
  now_ += 8h;
  time_->update(clock(0), members_, node_id(0));
  EXPECT_EQ(error(), 0s) << "nobody was heard yet";
  run(1s);
  EXPECT_EQ(error(), 40s);
}

TEST_F(RingTimeTest, Delay_LateMessagesDoNotPullItBack) {
  start();
  run(20s);
  for (int i = 0; i < 100; ++i) {
    now_ += 100ms;
    for (unsigned node : {1U, 2U}) {
      // Alternately at once and three seconds late.
      const Duration late = i % 2 == 0 ? Duration(0s) : Duration(3s);
      time_->heard(node_id(node), Stamp{clock(node).stamp.microseconds - late.count()}, now_);
    }
    time_->update(clock(0), members_, node_id(0));
    EXPECT_EQ(error(), 0s);
  }
}

TEST_F(RingTimeTest, Nonsense_IsClampedOrIgnored) {
  start();
  time_->heard(node_id(1), Stamp{}, now_);
  run(1s);
  time_->heard(node_id(1), Stamp{std::numeric_limits<std::int64_t>::max()}, now_);
  time_->heard(node_id(2), Stamp{std::numeric_limits<std::int64_t>::min()}, now_);
  run(1s, {1, 2});
  EXPECT_EQ(error(), 0s);
}

class TwoMembers : public RingTimeTest {
 protected:
  TwoMembers() : RingTimeTest(2) {}
};

TEST_F(TwoMembers, TheSlowerCounts) {
  for (const std::vector<Duration>& errors : {std::vector<Duration>{0s, 1h}, {1h, 0s}}) {
    errors_ = errors;
    start();
    run(1s);
    EXPECT_EQ(error(), 0s);
  }
}

TEST(LogClockTest, FollowsTheRingsTime_WithinATenthOfTheBootClock) {
  const TimePoint start{1h};
  const Stamp first{1'700'000'000'000'000};
  LogClock clock(first, start);
  EXPECT_EQ(clock.next(first + 10s, start + 10s), first + 10s);
  EXPECT_EQ(clock.next(first + 3h, start + 10s), first + 11s) << "ahead";
  EXPECT_EQ(clock.next(Stamp{1}, start + 10s), first + 9s) << "at 1970";
  EXPECT_EQ(clock.next(first, start), first);
  clock.entered(first + 11s, start + 10s);
  EXPECT_EQ(clock.next(first + 3h, start + 20s), first + 22s);
}

// A leader's log time was three minutes ahead of what the next leader, which had restarted, knew; its last entries were
// not committed. Entries of the next leader are not three minutes old then.
TEST(LogClockTest, OvertakenTail_IsForgotten) {
  const TimePoint start{1h};
  const Stamp first{1'700'000'000'000'000};
  LogClock clock(first, start);
  clock.entered(first + 180s, start + 180s);
  clock.entered(first + 1s, start + 181s);
  EXPECT_EQ(clock.last(), first + 1s);
  EXPECT_EQ(clock.next(first + 3h, start + 191s), first + 12s);
  clock.entered(first + 1s, start + 200s);  // stood still
  EXPECT_EQ(clock.next(first + 3h, start + 210s), first + 12s);
}

TEST(LogClockTest, FarAhead_GoesOnFromThere) {
  const TimePoint start{1h};
  const Stamp last{4'000'000'000'000'000};
  LogClock clock(last, start);
  EXPECT_EQ(clock.next(Stamp{1'700'000'000'000'000}, start + 10s), last + 9s);
  LogClock brim(max_stamp, start);
  EXPECT_EQ(brim.next(Stamp{1}, start + 10s), max_stamp);
}

TEST(LogClockTest, Empty_BeginsWithTheRingsTime) {
  LogClock clock;
  EXPECT_EQ(clock.next(Stamp{77}, TimePoint(1h)), Stamp{77});
  EXPECT_EQ(clock.next(Stamp{-5}, TimePoint(1h)), Stamp{1});
}

// ---- Whole nodes ----------------------------------------------------------------------------------

class WrongClock : public ReadyGroup {
 protected:
  WrongClock() : ReadyGroup("a key") {}
  Stamp last_stamp(unsigned i) { return cluster.machines[i].store.groups.at(partition).log.rbegin()->second.stamp; }
  void put() {
    const OperationId id = cluster.put(leader, "a key", "value");
    cluster.settle();
    ASSERT_TRUE(succeeded(cluster.reply(leader, id)));
    EXPECT_EQ(std::get<BatchResult>(**cluster.reply(leader, id)).outcome, BatchResult::Outcome::applied);
  }
};

TEST_F(WrongClock, LeadersClockJumpsAhead_StampsDoNot) {
  put();
  cluster.run(3s);
  for (const Duration wrong : {Duration(6h), Duration(-6h), Duration(-1'700'000'000s), Duration(0)}) {
    cluster.machines[leader].wall_error = wrong;
    for (int i = 0; i < 12; ++i) {
      cluster.run(1s);
      put();
      EXPECT_LE(last_stamp(leader), cluster.clock.stamp + 1s);
      EXPECT_GE(last_stamp(leader), cluster.clock.stamp + -1s);
    }
  }
  EXPECT_EQ(cluster.machines[leader].events["clock_wrong"], 1U) << "from the first one on, until it is right again";
  EXPECT_EQ(cluster.machines[leader].events["clock_right"], 1U);
  EXPECT_EQ(cluster.machines[(leader + 1) % 3].events["clock_wrong"], 0U);
}

// All were two hours ahead when the ring was made, and are set right.
TEST(LogAheadOfTheRing, MembersChangeAndBatchesGoOn) {
  Cluster cluster(4, 2, false);
  for (Machine& machine : cluster.machines) machine.wall_error = 2h;
  cluster.genesis.first_table.settings["replace_after"] = "3";
  cluster.genesis.first_table.settings["replication"] = "3";
  for (unsigned i = 0; i < 4; ++i) cluster.submit(i, CreateOperation{cluster.genesis});
  cluster.wait_ready(cluster.table_partition());
  cluster.run(5s);
  for (Machine& machine : cluster.machines) machine.wall_error = 0s;
  unsigned victim = 0;
  while (cluster.leader(cluster.table_partition()) == victim) ++victim;
  cluster.crash(victim);
  EXPECT_TRUE(
      cluster.run_until([&] { return cluster.table().find(node_id(victim))->state == MemberState::dead; }, 60s));
}

}  // namespace
}  // namespace ringfs::dht::test
