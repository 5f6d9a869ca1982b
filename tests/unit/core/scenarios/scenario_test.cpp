// One test for each file in raft/, members/ and chord/, and tests of the runner itself.
//
// With RINGFS_REWRITE_SCENARIOS in the environment the files get the traces that they gave.
#include "tests/unit/core/scenarios/scenario.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/core/scenarios/chord_driver.hpp"
#include "tests/unit/core/scenarios/raft_driver.hpp"

namespace ringfs::dht::test {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::unique_ptr<ScenarioDriver> driver_for(const fs::path& path) {
  if (path.parent_path().filename() == "chord") return std::make_unique<ChordDriver>();
  return std::make_unique<RaftDriver>();
}

class ScenarioFile : public ::testing::Test {
 public:
  explicit ScenarioFile(fs::path path) : path_(std::move(path)) {}
  void TestBody() override {
    const std::string before = read_file(path_);
    const ScenarioResult result = run_scenario(path_.string(), before, *driver_for(path_));
    ASSERT_EQ(result.error, "") << result.text;
    if (std::getenv("RINGFS_REWRITE_SCENARIOS") != nullptr) {
      if (result.text != before) std::ofstream(path_) << result.text;
    } else {
      EXPECT_EQ(first_difference(path_.string(), before, result.text), "");
    }
  }

 private:
  fs::path path_;
};

// The suite is RaftScenario, MembersScenario or ChordScenario, the test is called as the file.
const bool registered = [] {
  std::set<fs::path> files;
  for (const auto& file : fs::recursive_directory_iterator(RINGFS_SCENARIOS)) {
    if (file.path().extension() == ".txt") files.insert(file.path());
  }
  for (const fs::path& path : files) {
    std::string suite = path.parent_path().filename().string() + "Scenario";
    suite[0] = static_cast<char>(std::toupper(suite[0]));
    ::testing::RegisterTest(suite.c_str(), path.stem().c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [path]() -> ::testing::Test* { return new ScenarioFile(path); });
  }
  return true;
}();

// ---- The runner ------------------------------------------------------------------------------------

ScenarioResult run_raft(const std::string& text) {
  RaftDriver driver;
  return run_scenario("x.txt", text, driver);
}
ScenarioResult run_chord(const std::string& text) {
  ChordDriver driver;
  return run_scenario("x.txt", text, driver);
}

TEST(ScenarioRunner, Files_AreFoundInEveryFolder) {
  EXPECT_TRUE(registered);
  for (const char* folder : {"raft", "members", "chord"}) {
    EXPECT_FALSE(fs::is_empty(fs::path(RINGFS_SCENARIOS) / folder)) << folder;
  }
}

TEST(ScenarioRunner, UnknownCommand_FailsWithFileAndLine) {
  EXPECT_EQ(run_raft("# a comment\n\nring 3\nwiggle S1\n").error, "x.txt:4: no such command: wiggle");
  EXPECT_EQ(run_chord("ring 8 21 32\nwiggle N8\n").error, "x.txt:2: no such command: wiggle");
}

TEST(ScenarioRunner, BadArguments_FailWithFileAndLine) {
  auto raft = [](const std::string& command) { return run_raft("ring 3\n" + command + "\n").error; };
  EXPECT_EQ(raft("timeout"), "x.txt:2: 'timeout' needs more arguments");
  EXPECT_EQ(raft("timeout S9"), "x.txt:2: no such node: S9");
  EXPECT_EQ(raft("timeout one"), "x.txt:2: no such node: one");
  EXPECT_EQ(raft("timeout S1 S2"), "x.txt:2: 'timeout' does not take 'S2'");
  EXPECT_EQ(raft("run 5"), "x.txt:2: a time in ms or s is expected, not '5'");
  EXPECT_EQ(raft("run 5min"), "x.txt:2: a time in ms or s is expected, not '5min'");
  EXPECT_EQ(raft("deliver Pigeon"), "x.txt:2: no such message or node: Pigeon");
  EXPECT_EQ(raft("ring 3"), "x.txt:2: there is a ring already");
  EXPECT_EQ(raft("start S1"), "x.txt:2: S1 is running");
  EXPECT_EQ(raft("run until somebody"), "x.txt:2: 'leads' is expected behind 'somebody'");
  EXPECT_EQ(raft("run until S1 is fine"), "x.txt:2: no such state: fine");
  EXPECT_EQ(raft("run until"), "x.txt:2: 'run' needs more arguments");
  EXPECT_EQ(raft("state S1 fine"), "x.txt:2: no such state: fine");
  EXPECT_EQ(raft("join S5"), "x.txt:2: the next node has the next number");
  EXPECT_EQ(raft("show Pigeon"), "x.txt:2: no such message: Pigeon");
  EXPECT_EQ(run_raft("timeout S1\n").error, "x.txt:1: there is no ring yet");
  EXPECT_EQ(run_raft("ring 3 fault=no_such\n").error, "x.txt:1: no such option: fault=no_such");
  EXPECT_EQ(run_raft("ring 9\n").error, "x.txt:1: a ring has 1 to 7 nodes");
  EXPECT_EQ(run_chord("ring 8 64\n").error, "x.txt:1: positions are 0 to 63");
  EXPECT_EQ(run_chord("run 5s\n").error, "x.txt:1: there is no ring yet");
  EXPECT_EQ(run_chord("ring 8 21\ncrash N9\n").error, "x.txt:2: no such node: N9");
}

TEST(ScenarioRunner, FileWithoutACommand_Fails) {
  EXPECT_EQ(run_raft("").error, "x.txt: no command");
  EXPECT_EQ(run_raft("# a figure\n").error, "x.txt: no command");
}

TEST(ScenarioRunner, CrashedNode_CannotBeAsked) {
  EXPECT_EQ(run_raft("ring 3\ncrash S1\nput S1 x 1\n").error, "x.txt:3: S1 is not running");
}

TEST(ScenarioRunner, Trace_ReplacesWhatWasThereAndKeepsTheRest) {
  const std::string text = "# why\n\nring 1\n    old\n    lines\n\n# then\nquiet\n";
  EXPECT_EQ(run_raft(text).text, "# why\n\nring 1\n\n# then\nquiet\n");
}

TEST(ScenarioRunner, OtherTrace_IsNoticedWithBothLines) {
  EXPECT_EQ(first_difference("x.txt", "a\n    b\n", "a\n    b\n"), "");
  EXPECT_EQ(first_difference("x.txt", "a\n    b\n", "a\n    c\n"),
            "x.txt:2: the trace is another one\n  file:     b\n  now:      c");
  EXPECT_EQ(first_difference("x.txt", "a\n", "a\n    c\n"),
            "x.txt:2: the trace is another one\n  file: <end of file>\n  now:      c");
}

TEST(ScenarioRunner, GuardSwitchedOffAndNothingBreaks_Fails) {
  EXPECT_EQ(run_raft("ring 3 fault=ignore_lease\n").error, "x.txt: nothing broke without the guard");
}

}  // namespace
}  // namespace ringfs::dht::test
