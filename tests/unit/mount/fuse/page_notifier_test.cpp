// What the kernel is told about a file's pages when changes come faster than it takes them.
#include "mount/fuse/page_notifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace ringfs::mount {
namespace {

using testing::ElementsAre;

fs::PageChange drop(std::uint64_t from, std::optional<std::uint64_t> until = std::nullopt) {
  fs::PageChange change;
  change.inode = 7;
  change.from = from;
  change.until = until;
  return change;
}

fs::PageChange tail(std::uint64_t offset, const std::string& bytes) {
  fs::PageChange change;
  change.inode = 7;
  change.tail = fs::PageChange::Tail{offset, SharedBytes(bytes)};
  return change;
}

fs::PageChange both(fs::PageChange change, std::uint64_t offset, const std::string& bytes) {
  change.tail = tail(offset, bytes).tail;
  return change;
}

std::string text(const fs::PageChange& change) {
  std::string text;
  if (change.from)
    text += "drop " + std::to_string(*change.from) + "-" + (change.until ? std::to_string(*change.until) : "");
  if (change.from && change.tail) text += ", ";
  if (change.tail) text += "put " + change.tail->bytes.str() + " at " + std::to_string(change.tail->offset);
  return text;
}

// Of changes that wait together.
std::string told(std::vector<fs::PageChange> changes) {
  PendingPages pending{changes.front(), std::nullopt};
  for (std::size_t i = 1; i < changes.size(); ++i) pending.add(changes[i]);
  return text(pending.change) + (pending.then ? "; " + text(*pending.then) : "");
}

TEST(PendingPages, TwoRanges_AreDroppedAsTheLeastRangeWithBoth) {
  EXPECT_EQ(told({drop(8192, 12288), drop(0, 4096)}), "drop 0-12288");
  EXPECT_EQ(told({drop(0, 4096), drop(8192, 12288)}), "drop 0-12288");
  EXPECT_EQ(told({drop(0, 20480), drop(4096, 8192)}), "drop 0-20480");
}

TEST(PendingPages, RangeWithoutAnEnd_HasNoneTogetherWithAnother) {
  EXPECT_EQ(told({drop(8192), drop(0, 4096)}), "drop 0-");
  EXPECT_EQ(told({drop(0, 4096), drop(8192)}), "drop 0-");
}

TEST(PendingPages, BytesAndARange_AreBothTold) {
  EXPECT_EQ(told({drop(4096, 8192), tail(8192, "new")}), "drop 4096-8192, put new at 8192");
  EXPECT_EQ(told({tail(8192, "old"), tail(8192, "newer")}), "put newer at 8192");
  EXPECT_EQ(told({both(drop(4096), 8192, "old"), both(drop(0, 4096), 8192, "newer")}), "drop 0-, put newer at 8192");
}

// A change that drops pages and has no bytes means that other mounts changed them: bytes of a former change must not
// come into a page after it.
TEST(PendingPages, BytesOfBefore_AreDroppedWithTheirPage) {
  EXPECT_EQ(told({tail(0, "old"), drop(0)}), "put old at 0; drop 0-");
  EXPECT_EQ(told({both(drop(4096), 4096, "old"), drop(8192), drop(0, 4096)}), "drop 4096-, put old at 4096; drop 0-");
  EXPECT_EQ(told({both(drop(4096, 8192), 4096, "old"), drop(0, 4096), tail(4096, "newer")}),
            "drop 0-8192, put newer at 4096");
}

class PageNotifierTest : public testing::Test {
 protected:
  PageNotifierTest() {
    notifier.start([this](const fs::PageChange& change) {
      {
        const std::lock_guard lock(mutex);
        told.push_back(std::to_string(change.inode) + ": " + text(change));
      }
      if (change.inode == 7 && !std::exchange(blocked, true)) {
        begun.set_value();
        release.get_future().wait();
      }
    });
  }
  void change(fs::PageChange change, fs::InodeNumber inode = 7) {
    change.inode = inode;
    done.emplace_back();
    notifier.change(std::move(change), [&one = done.back()] { one.set_value(); });
  }
  static bool is_done(std::promise<void>& one) {
    return one.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  }
  std::vector<std::string> all_told() {
    const std::lock_guard lock(mutex);
    return told;
  }

  std::mutex mutex;
  std::vector<std::string> told;
  bool blocked = false;  // the first change of file 7 waits in the kernel until `release`
  std::promise<void> begun, release;
  std::deque<std::promise<void>> done;
  PageNotifier notifier;  // the last member: its threads use the others
};

TEST_F(PageNotifierTest, ChangesBehindOneThatWaits_AreOneAndAllAreAnswered) {
  change(drop(0, 4096));
  begun.get_future().wait();
  change(drop(16384, 20480));
  change(drop(8192, 12288));
  change(tail(20480, "end"));
  change(drop(0), 8);  // another file's does not wait for it
  EXPECT_TRUE(is_done(done[4]));
  EXPECT_THAT(all_told(), ElementsAre("7: drop 0-4096", "8: drop 0-"));
  EXPECT_FALSE(notifier.idle());
  release.set_value();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(is_done(done[i])) << i;
  EXPECT_THAT(all_told(), ElementsAre("7: drop 0-4096", "8: drop 0-", "7: drop 8192-20480, put end at 20480"));
}

TEST_F(PageNotifierTest, Close_AnswersWhatWaitsAndTellsNothingMore) {
  change(drop(0, 4096));
  begun.get_future().wait();
  change(drop(8192));
  notifier.close();
  EXPECT_TRUE(is_done(done[1]));
  change(drop(12288));
  EXPECT_TRUE(is_done(done[2]));
  EXPECT_FALSE(notifier.idle());
  release.set_value();
  EXPECT_TRUE(is_done(done[0]));
  notifier.stop();
  EXPECT_TRUE(notifier.idle());
  EXPECT_THAT(all_told(), ElementsAre("7: drop 0-4096"));
}

}  // namespace
}  // namespace ringfs::mount
