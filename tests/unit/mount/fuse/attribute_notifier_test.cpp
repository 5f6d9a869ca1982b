// Taking attributes back from a kernel that knows an inode, does not know it, or knows it a moment later.
#include "mount/fuse/attribute_notifier.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <future>

#include "mount/fuse/known_inodes.hpp"
#include "mount/fuse/loop_watch.hpp"

namespace ringfs::mount {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class AttributeNotifierTest : public testing::Test {
 protected:
  // Waits for the answer.
  void recall(Clock::time_point until) {
    std::promise<void> told;
    notifier_.recall({{7, until}}, [&] { told.set_value(); });
    told.get_future().wait();
  }

  std::atomic<int> calls_ = 0;
  std::atomic<int> unknown_ = 0;  // so many calls do not find the inode
  AttributeNotifier notifier_;

  void SetUp() override {
    notifier_.start([this](fs::InodeNumber inode) {
      EXPECT_EQ(inode, 7U);
      ++calls_;
      return unknown_-- > 0 ? ENOENT : 0;
    });
  }
};

TEST_F(AttributeNotifierTest, KnownInode_IsToldOnce) {
  recall(Clock::now() + 10s);
  EXPECT_EQ(calls_, 1);
}

TEST_F(AttributeNotifierTest, InodeThatComesBack_IsToldAgain) {
  unknown_ = 3;
  recall(Clock::now() + 10s);
  EXPECT_EQ(calls_, 4);
}

TEST_F(AttributeNotifierTest, ForgottenInode_IsTriedUntilNoAnswerCanBeOnItsWay) {
  unknown_ = 1'000'000;
  const auto until = Clock::now() + 20ms;
  recall(until);
  EXPECT_GE(Clock::now(), until);
  EXPECT_GT(calls_, 1);
}

TEST_F(AttributeNotifierTest, Closed_AnswersWhoWaitsAndWhoComes) {
  unknown_ = 1'000'000;
  std::promise<void> waiting, late;
  notifier_.recall({{7, Clock::now() + 10min}}, [&] { waiting.set_value(); });
  notifier_.close();
  notifier_.recall({{7, Clock::now() + 10min}}, [&] { late.set_value(); });
  late.get_future().wait();
  notifier_.stop();
  waiting.get_future().wait();
}

TEST(KnownInodes, Inode_IsCertainlyKnownFromItsFirstRequestOn) {
  KnownInodes known;
  EXPECT_TRUE(known.certain(fs::root_inode));
  known.asked(7);
  EXPECT_FALSE(known.certain(7)) << "no answer has named it";
  known.named(7, Clock::now());
  EXPECT_FALSE(known.certain(7));
  known.asked(7);
  EXPECT_TRUE(known.certain(7));
}

TEST(KnownInodes, Inode_IsForgottenWithItsLastLookup) {
  KnownInodes known;
  known.named(7, Clock::now());
  known.named(7, Clock::now());
  known.asked(7);
  known.forget(7, 1);
  EXPECT_TRUE(known.certain(7));
  known.forget(7, 1);
  EXPECT_FALSE(known.certain(7));
  EXPECT_FALSE(known.last_named(7));
  EXPECT_EQ(known.size(), 0U);
}

TEST(LoopWatch, Suspend_IsWhenTheBootClockRanAlone) {
  LoopWatch watch;
  EXPECT_FALSE(watch.slept(100s, 900s)) << "the first look";
  EXPECT_FALSE(watch.slept(200s, 1000s));
  EXPECT_TRUE(watch.slept(201s, 1011s));
  EXPECT_FALSE(watch.slept(202s, 1012s));
}

}  // namespace
}  // namespace ringfs::mount
