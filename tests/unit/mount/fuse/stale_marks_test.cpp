// Who is refused while a name may lead to an inode that is elsewhere by now.
#include "mount/fuse/stale_marks.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <future>

#include "mount/fuse/name_notifier.hpp"

namespace ringfs::mount {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class StaleMarksTest : public testing::Test {
 protected:
  static constexpr fs::InodeNumber child = 7, other_child = 8;
  static constexpr pid_t thread = 100, other_thread = 101;
  const StaleMarks::Name name{1, "name"}, other_name{1, "other"};
  const Clock::time_point start{std::chrono::hours(1)};

  bool refuses(pid_t id, Clock::duration after) { return marks_.refuses(child, id, start + after).has_value(); }
  void look_up(std::optional<fs::InodeNumber> found, Clock::duration after) {
    marks_.looked_up(name, found, thread, start + after);
  }
  StaleMarks marks_;
  void SetUp() override { marks_.mark(name, child, start + 1s, start); }
};

TEST_F(StaleMarksTest, Thread_ThatHasNotAskedForTheName_IsRefused) {
  EXPECT_TRUE(refuses(thread, 200ms));
  EXPECT_TRUE(refuses(other_thread, 200ms)) << "each thread by itself";
  EXPECT_FALSE(marks_.refuses(other_child, thread, start + 200ms));
}

TEST_F(StaleMarksTest, Refusal_ComesWhenTheChangeHasProbablyHappened) {
  EXPECT_EQ(marks_.refuses(child, thread, start + 1ms), start + StaleMarks::change_time);
  EXPECT_EQ(marks_.refuses(child, other_thread, start + 200ms), start + 200ms);
}

TEST_F(StaleMarksTest, Thread_ThatFoundTheChildAnew_Passes) {
  EXPECT_TRUE(refuses(thread, 200ms));
  look_up(child, 201ms);
  EXPECT_FALSE(refuses(thread, 202ms));
  EXPECT_FALSE(refuses(thread, 900ms));
  EXPECT_TRUE(refuses(other_thread, 900ms));
}

TEST_F(StaleMarksTest, JustAfterTheMark_PassingEnds) {
  look_up(child, 1ms);
  EXPECT_FALSE(refuses(thread, 2ms));
  EXPECT_TRUE(refuses(thread, 3ms + StaleMarks::call_pause)) << "an older answer may have installed the name again";
}

TEST_F(StaleMarksTest, Thread_ThatFoundAnother_IsRefused) {
  look_up(other_child, 200ms);
  EXPECT_TRUE(refuses(thread, 201ms));
}

TEST_F(StaleMarksTest, ThreadWhosePathHasNoName_PassesAtItsSecondTryOnly) {
  EXPECT_TRUE(refuses(thread, 200ms));
  EXPECT_FALSE(refuses(thread, 201ms));
  EXPECT_TRUE(refuses(thread, 202ms));
}

TEST_F(StaleMarksTest, Child_FoundByAnotherName_IsPassedInThatCallOnly) {
  marks_.looked_up(other_name, child, thread, start + 200ms);
  EXPECT_FALSE(refuses(thread, 201ms));
  EXPECT_FALSE(refuses(thread, 202ms));
  EXPECT_TRUE(refuses(thread, 201ms + StaleMarks::name_pause));
}

TEST_F(StaleMarksTest, ChangeOfTheName_IsRefusedUntilItsThreadHasAskedForIt) {
  EXPECT_TRUE(marks_.refuses(name, thread, start + 200ms));
  look_up(std::nullopt, 201ms);
  EXPECT_FALSE(marks_.refuses(name, thread, start + 202ms));
  EXPECT_FALSE(marks_.refuses(other_name, thread, start + 202ms));
}

TEST_F(StaleMarksTest, Mark_EndsWithTheKernelsTime) {
  EXPECT_TRUE(marks_.marked(child, start + 1s));
  EXPECT_FALSE(marks_.marked(child, start + 1s + StaleMarks::answer_age));
  EXPECT_FALSE(refuses(thread, 1100ms));
}

TEST_F(StaleMarksTest, Mark_EndsSomeTimeAfterTheKernelWasTold) {
  marks_.told(name, start + 5ms);
  EXPECT_TRUE(marks_.marked(child, start + 6ms));
  EXPECT_FALSE(marks_.marked(child, start + 5ms + StaleMarks::answer_age));
}

TEST_F(StaleMarksTest, MarkedAgain_EveryThreadIsRefusedAnew) {
  look_up(child, 200ms);
  marks_.mark(name, child, start + 2s, start + 300ms);
  EXPECT_TRUE(refuses(thread, 500ms));
}

TEST_F(StaleMarksTest, Renamed_TheMarkFollowsTheChild) {
  marks_.moved(name, other_name);
  EXPECT_FALSE(marks_.refuses(name, thread, start + 200ms));
  EXPECT_TRUE(marks_.refuses(other_name, thread, start + 200ms));
  EXPECT_TRUE(marks_.marked(child, start + 200ms));
}

TEST_F(StaleMarksTest, Exchanged_EachMarkFollowsItsChild) {
  marks_.mark(other_name, other_child, start + 100ms, start);
  marks_.exchanged(name, other_name);
  marks_.told(name, start);  // the other child's name now
  EXPECT_FALSE(marks_.marked(other_child, start + 300ms));
  EXPECT_TRUE(marks_.marked(child, start + 300ms));
}

TEST_F(StaleMarksTest, TwoChildrenOfOneName_AreBothMarked) {
  marks_.mark(name, other_child, start + 1s, start);
  EXPECT_TRUE(marks_.marked(child, start + 10ms));
  EXPECT_TRUE(marks_.marked(other_child, start + 10ms));
  look_up(child, 200ms);
  EXPECT_FALSE(refuses(thread, 201ms));
}

TEST_F(StaleMarksTest, EndedMarks_GiveTheirRoomBack) {
  for (std::uint64_t i = 0; i < 2 * StaleMarks::most_marks; ++i) {
    const Clock::time_point now = start + i * 1ms;
    marks_.mark({2, std::to_string(i)}, 1000 + i, now + 10ms, now);
  }
  EXPECT_FALSE(marks_.full());
}

// ---- NameNotifier ----------------------------------------------------------------------------------

TEST(NameNotifier, HeldDirectory_DelaysNoOther) {
  std::promise<void> held;
  std::shared_future<void> until = held.get_future().share();
  NameNotifier notifier;
  notifier.start([until](fs::InodeNumber directory, const std::string&) {
    if (directory == 1) until.wait();
    return 0;
  });
  std::promise<int> first, second, other;
  notifier.expire(1, "a", [&](int error) { first.set_value(error); });
  notifier.expire(1, "b", [&](int error) { second.set_value(error); });
  notifier.expire(2, "c", [&](int error) { other.set_value(error); });
  EXPECT_EQ(other.get_future().get(), 0);
  EXPECT_FALSE(notifier.idle());
  held.set_value();
  EXPECT_EQ(first.get_future().get(), 0);
  EXPECT_EQ(second.get_future().get(), 0);
}

TEST(NameNotifier, Closed_AnswersWhoWaitsAndWhoComes) {
  std::promise<void> held;
  std::shared_future<void> until = held.get_future().share();
  NameNotifier notifier;
  notifier.start([until](fs::InodeNumber, const std::string&) {
    until.wait();
    return 0;
  });
  std::promise<int> under_way, waiting, late;
  notifier.expire(1, "a", [&](int error) { under_way.set_value(error); });
  notifier.expire(1, "b", [&](int error) { waiting.set_value(error); });
  notifier.close();
  notifier.expire(1, "c", [&](int error) { late.set_value(error); });
  EXPECT_EQ(late.get_future().get(), ENOTCONN);
  EXPECT_EQ(waiting.get_future().get(), ENOTCONN);
  held.set_value();
  // Told, or answered before a thread took it.
  EXPECT_NE(under_way.get_future().wait_for(10s), std::future_status::timeout);
}

}  // namespace
}  // namespace ringfs::mount
