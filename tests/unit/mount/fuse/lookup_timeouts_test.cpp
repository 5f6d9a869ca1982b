// Lookups that timed out a moment ago.
#include "mount/fuse/lookup_timeouts.hpp"

#include <gtest/gtest.h>

namespace ringfs::mount {
namespace {

const LookupTimeouts::TimePoint start{};
const LookupOf lookup{17, fs::InodeNumber{1}, "file"};

TEST(LookupTimeouts, Repeat_IsAnsweredOnce) {
  LookupTimeouts timeouts;
  EXPECT_FALSE(timeouts.take(lookup, start));
  timeouts.add(lookup, start);
  EXPECT_TRUE(timeouts.take(lookup, start));
  EXPECT_FALSE(timeouts.take(lookup, start));
}

TEST(LookupTimeouts, AnotherThreadDirectoryOrName_Asks) {
  LookupTimeouts timeouts;
  timeouts.add(lookup, start);
  EXPECT_FALSE(timeouts.take({18, lookup.directory, lookup.name}, start));
  EXPECT_FALSE(timeouts.take({lookup.thread, fs::InodeNumber{2}, lookup.name}, start));
  EXPECT_FALSE(timeouts.take({lookup.thread, lookup.directory, "other"}, start));
  EXPECT_TRUE(timeouts.take(lookup, start));
}

TEST(LookupTimeouts, AfterAWhile_Asks) {
  LookupTimeouts timeouts;
  timeouts.add(lookup, start);
  EXPECT_FALSE(timeouts.take(lookup, start + LookupTimeouts::valid_for + std::chrono::milliseconds(1)));
}

TEST(LookupTimeouts, TooMany_ForgetTheOldest) {
  LookupTimeouts timeouts;
  for (int i = 0; i <= static_cast<int>(LookupTimeouts::most); ++i) {
    timeouts.add({i, lookup.directory, lookup.name}, start);
  }
  EXPECT_FALSE(timeouts.take({0, lookup.directory, lookup.name}, start));
  EXPECT_TRUE(timeouts.take({1, lookup.directory, lookup.name}, start));
}

}  // namespace
}  // namespace ringfs::mount
