// Which role a token has, and how often the ring is asked about it.
#include "nodes/rest/bearer_tokens.hpp"

#include <gtest/gtest.h>

#include "tests/unit/nodes/rest/rest_tokens.hpp"

namespace ringfs::nodes {
namespace {

class BearerTokensTest : public testing::Test {
 protected:
  dht::Token make(const std::string& row) { return new_token(time, store, row); }
  Result<AccessRole> role(const dht::Token& token) { return time.run(tokens.role_of(hash_of(token))); }

  boost::asio::io_context loop;
  VirtualTime time{loop};
  MemoryObjectStore store{time, std::make_shared<MemoryRing>()};
  BearerTokens tokens{store, rest_token};
};

TEST_F(BearerTokensTest, KnownToken_HasItsRole) {
  const dht::Token token = make("rest writer " + in_2100);
  const dht::Token other = make("rest reader " + in_2100);
  EXPECT_EQ(role(token), AccessRole::writer);
  EXPECT_EQ(role(other), AccessRole::reader);
}

TEST_F(BearerTokensTest, Others_AreDeniedInWords) {
  const dht::Token join = make("join writer " + in_2100);
  const dht::Token broken = make("what is this");
  const dht::Token expired = make("rest writer 1600000000000000");
  const dht::Token foreign = dht::make_token({}).value();
  for (const dht::Token& token : {join, broken, foreign}) {
    Result<AccessRole> denied = role(token);
    ASSERT_FALSE(denied);
    EXPECT_EQ(denied.error().code, ErrorCode::access_denied);
    EXPECT_EQ(denied.error().context, "this ring has no such token for REST");
    time.advance(std::chrono::seconds(1));
  }
  EXPECT_EQ(role(expired).error().context, "the token has expired");
}

TEST_F(BearerTokensTest, ManyRequests_CostOneReadASecond) {
  const dht::Token token = make("rest writer " + in_2100);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(role(token));
  EXPECT_EQ(store.reads(), 1U);
  time.advance(BearerTokens::kept_for);
  EXPECT_TRUE(role(token));
  EXPECT_EQ(store.reads(), 2U);
}

TEST_F(BearerTokensTest, NewToken_CountsAtOnce) {
  EXPECT_TRUE(role(make("rest writer " + in_2100)));
  const dht::Token token = make("rest reader " + in_2100);
  time.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(role(token), AccessRole::reader);
}

TEST_F(BearerTokensTest, RevokedToken_EndsWithinASecond) {
  const dht::Token token = make("rest writer " + in_2100);
  EXPECT_TRUE(role(token));
  keep_token(time, store, token, "");
  time.advance(BearerTokens::kept_for);
  EXPECT_FALSE(role(token));
}

TEST_F(BearerTokensTest, KnownToken_ExpiresWhileItIsKept) {
  const dht::Token token = make("rest writer " + std::to_string(store.clock().stamp.microseconds + 300'000));
  EXPECT_TRUE(role(token));
  time.advance(std::chrono::milliseconds(400));
  EXPECT_FALSE(role(token));
  EXPECT_EQ(store.reads(), 1U);
}

TEST_F(BearerTokensTest, ManyStrangersAtOnce_CostOneRead) {
  const dht::Token foreign = dht::make_token({}).value();
  store.hold();
  std::vector<Begun<Result<AccessRole>>> begun;
  for (int i = 0; i < 50; ++i) begun.push_back(time.begin(tokens.role_of(hash_of(foreign))));
  EXPECT_EQ(store.held(), 1U);
  store.release_all();
  time.settle();
  for (const auto& one : begun) EXPECT_TRUE(one.ended());
  EXPECT_EQ(store.reads(), 1U);
}

TEST_F(BearerTokensTest, RingThatCannotBeAsked_LetsNobodyIn) {
  const dht::Token token = make("rest writer " + in_2100);
  EXPECT_TRUE(role(token));
  time.advance(BearerTokens::kept_for);
  store.fail_reads(1, ErrorCode::timeout);
  Result<AccessRole> unknown = role(token);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::timeout);
  time.advance(std::chrono::seconds(1));
  EXPECT_EQ(role(token), AccessRole::writer);
}

TEST_F(BearerTokensTest, MoreRowsThanARead_AreReadInPages) {
  const dht::Token token = make("rest writer " + in_2100);
  for (std::size_t i = 1; i < BearerTokens::max_ring_tokens; ++i) make("rest reader " + in_2100);
  EXPECT_EQ(role(token), AccessRole::writer);
  EXPECT_EQ(store.reads(), 2U);
  make("rest reader " + in_2100);
  time.advance(std::chrono::seconds(1));
  EXPECT_EQ(role(token).error().code, ErrorCode::too_large);
}

}  // namespace
}  // namespace ringfs::nodes
