// What a path's percent-encoding stands for.
#include "dht/base/percent.hpp"

#include <gtest/gtest.h>

namespace ringfs {
namespace {

TEST(PercentDecode, EscapedBytes_OfEveryKind_StandForThemselves) {
  EXPECT_EQ(percent_decode("a%2Fb%2f%ff+").value(), "a/b/\xff+");
  EXPECT_EQ(percent_decode("%00").value(), std::string(1, '\0'));
  EXPECT_EQ(percent_decode("").value(), "");
}

TEST(PercentDecode, APercentSignWithoutTwoDigits_IsInvalid) {
  for (const char* malformed : {"%", "%4", "a%", "%4g", "%g4", "%-1", "%+1", "% 1", "%%41"}) {
    Result<std::string> decoded = percent_decode(malformed);
    ASSERT_FALSE(decoded) << malformed;
    EXPECT_EQ(decoded.error().code, ErrorCode::invalid_argument) << malformed;
  }
}

}  // namespace
}  // namespace ringfs
