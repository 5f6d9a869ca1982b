// Which questions about trust are answered, by who issues the ring's certificates.
#include "nodes/daemon/trust_desk.hpp"

#include <gtest/gtest.h>

#include "tests/unit/net/client/trusted_ring.hpp"

namespace ringfs::nodes {
namespace {

class TrustIssuerTest : public testing::Test {
 protected:
  Result<std::string> ask(dht::Issuer issuer, std::string question, AccessRole role = AccessRole::admin) {
    TrustDesk desk(
        ring_.store, [this] { return ring_.now; }, ring_.ring, issuer);
    return ring_.run(desk.answer(std::move(question), role, ring_.limit()));
  }
  void expect_refused(const Result<std::string>& answer, ErrorCode code, const std::string& words) {
    ASSERT_FALSE(answer) << words;
    EXPECT_EQ(answer.error().code, code) << answer.error().text();
    EXPECT_NE(answer.error().context.find(words), std::string::npos) << answer.error().text();
  }

  dht::TrustedRing ring_{Stamp{1'790'000'000'000'000}};
  const std::string add_ = R"({"do": "client_add", "name": "laptop", "role": "writer"})";
  const std::string create_ = R"({"do": "authority_create"})";
  const std::string token_ = R"({"do": "token_create", "role": "node", "seconds": 60, "uses": 1, )"
                             R"("secret_hash": ")" +
                             std::string(64, 'a') + R"("})";
};

TEST_F(TrustIssuerTest, RingWithItsOwnAuthority_HasTokensAndNoNamedClients) {
  expect_refused(ask(dht::Issuer::ring, token_), ErrorCode::not_supported, "ringfs authority create");
  EXPECT_EQ(ask(dht::Issuer::ring, create_), "{}");
  EXPECT_TRUE(ask(dht::Issuer::ring, token_));
  expect_refused(ask(dht::Issuer::ring, add_), ErrorCode::not_supported, "get in with a token");
  EXPECT_TRUE(ring_.table().clients.empty());
}

TEST_F(TrustIssuerTest, RingOfAnOperatorsAuthority_HasNamedClientsAndNeitherTokensNorAnAuthority) {
  for (const std::string& question :
       {token_, create_, std::string(R"({"do": "authority_rotate"})"), std::string(R"({"do": "authority_show"})")})
    expect_refused(ask(dht::Issuer::operators, question), ErrorCode::not_supported, "operator's own authority");
  EXPECT_TRUE(ring_.table().authorities.empty());
  EXPECT_EQ(ask(dht::Issuer::operators, add_), "{}");
  ASSERT_EQ(ring_.table().clients.size(), 1U);
  EXPECT_EQ(ring_.table().clients.front().role, AccessRole::writer);
}

TEST_F(TrustIssuerTest, WhoIsNoAdmin_IsRefused_AndWrongFieldsAreNamed) {
  expect_refused(ask(dht::Issuer::operators, add_, AccessRole::writer), ErrorCode::access_denied, "the role admin");
  expect_refused(ask(dht::Issuer::operators, R"({"do": "client_add", "name": "laptop"})"), ErrorCode::invalid_argument,
                 "'role'");
  expect_refused(ask(dht::Issuer::operators, R"({"do": "client_add", "role": "reader"})"), ErrorCode::invalid_argument,
                 "'name'");
}

}  // namespace
}  // namespace ringfs::nodes
