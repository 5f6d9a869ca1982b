#include "dht/net/background_writer.hpp"

#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <vector>

namespace ringfs {
namespace {

// What was written; a line "stop" does not return before release().
struct Disk {
  void write(std::string_view line) {
    if (line == "stop\n") {
      reached.set_value();
      released.wait();
    }
    const std::lock_guard lock(mutex);
    lines.emplace_back(line);
  }
  std::vector<std::string> written() {
    const std::lock_guard lock(mutex);
    return lines;
  }
  std::promise<void> reached, release;
  std::shared_future<void> released = release.get_future().share();
  std::mutex mutex;
  std::vector<std::string> lines;
};

TEST(BackgroundWriter, Lines_AreWrittenInTheirOrder) {
  auto disk = std::make_shared<Disk>();
  {
    BackgroundWriter writer([disk](std::string_view line) { disk->write(line); });
    for (int i = 0; i < 1000; ++i) writer.add(std::to_string(i) + "\n");
    EXPECT_TRUE(writer.drained_within(std::chrono::seconds(20)));
    EXPECT_EQ(disk->written().size(), 1000U);
    writer.add("last\n");
  }
  ASSERT_EQ(disk->written().size(), 1001U);  // the end waited for it
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(disk->lines[static_cast<std::size_t>(i)], std::to_string(i) + "\n");
}

TEST(BackgroundWriter, DiskThatHangs_HoldsUpNobodyAndLosesTheOldestLines) {
  auto disk = std::make_shared<Disk>();
  {
    BackgroundWriter writer([disk](std::string_view line) { disk->write(line); });
    writer.add("stop\n");
    disk->reached.get_future().wait();
    const std::string line = std::string(99, 'x') + "\n";
    for (std::size_t i = 0; i < 2 * max_waiting_log_bytes / line.size(); ++i) writer.add(line);
    writer.add("newest\n");
    EXPECT_FALSE(writer.drained_within(std::chrono::milliseconds(1)));
    disk->release.set_value();
    EXPECT_TRUE(writer.drained_within(std::chrono::seconds(20)));
  }
  const std::vector<std::string> written = disk->written();
  EXPECT_LE(written.size(), max_waiting_log_bytes / 100 + 3);
  EXPECT_NE(written.at(1).find("event=log_lines_lost count="), std::string::npos) << written.at(1);
  EXPECT_EQ(written.back(), "newest\n");
}

TEST(BackgroundWriter, End_WhileTheDiskHangs_IsReached) {
  auto disk = std::make_shared<Disk>();
  {
    BackgroundWriter writer([disk](std::string_view line) { disk->write(line); });
    writer.add("stop\n");
    disk->reached.get_future().wait();
  }
  disk->release.set_value();
}

}  // namespace
}  // namespace ringfs
