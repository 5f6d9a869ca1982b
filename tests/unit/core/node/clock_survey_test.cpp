// Which clocks count as wrong.
#include "dht/core/node/clock_survey.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht {
namespace {

using namespace std::chrono_literals;

std::vector<ClockReading> readings(std::vector<Duration> offsets, Duration round_trip = 1ms) {
  std::vector<ClockReading> result;
  for (std::size_t i = 0; i < offsets.size(); ++i)
    result.push_back({std::string(1, static_cast<char>('A' + i)), offsets[i], round_trip});
  return result;
}

TEST(ClockSurvey, AllAgree_SaysNothing) {
  EXPECT_TRUE(wrong_clocks(readings({0s, 1s, 4s})).empty());
  EXPECT_TRUE(wrong_clocks(readings({7h})).empty()) << "one alone";
  EXPECT_TRUE(wrong_clocks({}).empty());
}

TEST(ClockSurvey, OneOfThreeIsWrong_IsNamed) {
  const auto ahead = wrong_clocks(readings({0s, 0s, 6h}));
  ASSERT_EQ(ahead.size(), 1U);
  EXPECT_NE(ahead[0].find("node C is wrong: 6 h 0 min ahead of"), std::string::npos) << ahead[0];
  const auto behind = wrong_clocks(readings({-1'700'000'000s, 0s, 0s}));
  ASSERT_EQ(behind.size(), 1U);
  EXPECT_NE(behind[0].find("node A is wrong: 19675 d behind"), std::string::npos) << behind[0];
}

TEST(ClockSurvey, TwoDisagree_NobodyIsBlamed) {
  const auto said = wrong_clocks(readings({0s, 90s}));
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("differ by up to 1 min 30 s (B is ahead of A)"), std::string::npos) << said[0];
}

TEST(ClockSurvey, AnAnswerThatTookLong_IsUncertain) {
  EXPECT_TRUE(wrong_clocks(readings({0s, 0s, -6s}, 2s)).empty());
  EXPECT_FALSE(wrong_clocks(readings({0s, 0s, -6s})).empty());
}

}  // namespace
}  // namespace ringfs::dht
