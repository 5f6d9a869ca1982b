// The coverage table notices a row that never happened, and has a row for every death of a coordinator.
#include "tests/sim/checks/coverage.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ringfs::sim {
namespace {

constexpr unsigned many_nodes = 50;

Coverage everything_once() {
  Coverage coverage;
  for (const CoverageSection& section : required_coverage()) {
    for (const CoverageRow& row : section.rows) coverage[row.what] = 1;
  }
  return coverage;
}

TEST(Coverage, EveryRowHappened_NothingIsMissing) {
  EXPECT_TRUE(missing_coverage(everything_once(), many_nodes).empty());
}

TEST(Coverage, RowAtZeroOrNeverCounted_IsMissing) {
  Coverage coverage = everything_once();
  coverage["fault: kill"] = 0;
  coverage.erase("event: transfer");
  std::vector<std::string> missing = missing_coverage(coverage, many_nodes);
  std::sort(missing.begin(), missing.end());
  EXPECT_EQ(missing, (std::vector<std::string>{"event: transfer", "fault: kill"}));
}

TEST(Coverage, RowThatNeedsAMajority_IsNotWantedOfTwoNodes) {
  Coverage coverage = everything_once();
  coverage.erase("raft: snapshot installed");
  EXPECT_TRUE(missing_coverage(coverage, 2).empty());
  EXPECT_EQ(missing_coverage(coverage, 3), std::vector<std::string>{"raft: snapshot installed"});
}

TEST(Coverage, Rows_AreNamedOnce) {
  std::set<std::string> names;
  for (const CoverageSection& section : required_coverage()) {
    for (const CoverageRow& row : section.rows) EXPECT_TRUE(names.insert(row.what).second) << row.what;
  }
}

}  // namespace
}  // namespace ringfs::sim
