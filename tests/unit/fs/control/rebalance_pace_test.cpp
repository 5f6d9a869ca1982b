// The rate at which data moves, and the time that is left.
#include "fs/control/rebalance_pace.hpp"

#include <gtest/gtest.h>

namespace ringfs::fs {
namespace {

using namespace std::chrono_literals;

const TimePoint start{std::chrono::hours(1)};

TEST(RebalancePace, FirstLook_KnowsNothing) {
  RebalancePace pace;
  EXPECT_EQ(pace.rate(1000, 8, start), 0U);
  EXPECT_FALSE(pace.remaining());
}

TEST(RebalancePace, NextLook_HasTheRateAndTheTimeThatIsLeft) {
  RebalancePace pace;
  pace.rate(1000, 8, start);
  EXPECT_EQ(pace.rate(5000, 6, start + 2s), 2000U);
  EXPECT_EQ(pace.remaining(), Duration(6s));
  EXPECT_EQ(pace.rate(9000, 5, start + 2100ms), 2000U) << "too soon to tell anything new";
  EXPECT_EQ(pace.rate(5000, 0, start + 4s), 0U);
  EXPECT_EQ(pace.remaining(), Duration(0));
}

TEST(RebalancePace, NothingSettled_OldLooksAndRestartedNodes_SayNothing) {
  RebalancePace pace;
  pace.rate(1000, 8, start);
  pace.rate(2000, 8, start + 1s);
  EXPECT_FALSE(pace.remaining());
  EXPECT_EQ(pace.rate(9000, 2, start + 2min), 0U);
  EXPECT_EQ(pace.rate(100, 1, start + 2min + 1s), 0U) << "a node that began anew counts from 0";
  EXPECT_FALSE(pace.remaining());
}

}  // namespace
}  // namespace ringfs::fs
