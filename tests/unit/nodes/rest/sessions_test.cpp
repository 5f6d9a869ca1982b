// Sessions of browsers: how long they last and which of them go.
#include "nodes/rest/sessions.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ringfs::nodes {
namespace {

constexpr TimePoint start{std::chrono::hours(1)};

TEST(BrowserSessions, Cookie_IsKnownForTwelveHours) {
  BrowserSessions sessions;
  const std::string cookie = sessions.open("token", start).value();
  EXPECT_EQ(cookie.size(), 64U);
  EXPECT_EQ(sessions.token_of(cookie, start), "token");
  EXPECT_EQ(sessions.token_of(cookie, start + session_life - Duration(1)), "token");
  EXPECT_FALSE(sessions.token_of(cookie, start + session_life));
}

TEST(BrowserSessions, OtherCookies_AreNotKnown) {
  BrowserSessions sessions;
  const std::string cookie = sessions.open("token", start).value();
  for (const std::string& other : {std::string(), cookie.substr(1), cookie + "0", std::string(64, '0')}) {
    EXPECT_FALSE(sessions.token_of(other, start)) << other;
  }
}

TEST(BrowserSessions, Closed_IsOver) {
  BrowserSessions sessions;
  const std::string cookie = sessions.open("token", start).value();
  const std::string other = sessions.open("token", start).value();
  EXPECT_NE(cookie, other);
  sessions.close(cookie);
  sessions.close("none");
  EXPECT_FALSE(sessions.token_of(cookie, start));
  EXPECT_TRUE(sessions.token_of(other, start));
}

TEST(BrowserSessions, TooMany_TheOldestGoes) {
  BrowserSessions sessions;
  const std::string oldest = sessions.open("token 0", start).value();
  const std::string second = sessions.open("token 1", start).value();
  for (std::size_t i = 2; i <= BrowserSessions::max_sessions; ++i) {
    ASSERT_TRUE(sessions.open("token " + std::to_string(i), start));
  }
  EXPECT_EQ(sessions.size(), BrowserSessions::max_sessions);
  EXPECT_FALSE(sessions.token_of(oldest, start));
  EXPECT_TRUE(sessions.token_of(second, start));
}

TEST(BrowserSessions, OneTokenWithMany_EndsOnlyItsOwn) {
  BrowserSessions sessions;
  const std::string anothers = sessions.open("another", start).value();
  const std::string first = sessions.open("token", start).value();
  std::string last;
  for (std::size_t i = 0; i < 2 * BrowserSessions::max_sessions; ++i) last = sessions.open("token", start).value();
  EXPECT_EQ(sessions.size(), BrowserSessions::max_of_a_token + 1);
  EXPECT_TRUE(sessions.token_of(anothers, start));
  EXPECT_FALSE(sessions.token_of(first, start));
  EXPECT_TRUE(sessions.token_of(last, start));
}

TEST(BrowserSessions, ThoseThatAreOver_TakeNoRoom) {
  BrowserSessions sessions;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(sessions.open("token", start));
  ASSERT_TRUE(sessions.open("token", start + session_life));
  EXPECT_EQ(sessions.size(), 1U);
}

}  // namespace
}  // namespace ringfs::nodes
