// Identities, tokens, keys and certificates.
#include <gtest/gtest.h>

#include "dht/base/random.hpp"
#include "dht/net/trust/certificate.hpp"

namespace ringfs::dht {
namespace {

constexpr Stamp now{1'790'000'000'000'000};  // in September 2026

Uuid some_uuid(std::uint8_t last) {
  Uuid uuid;
  uuid.bytes[0] = 1;
  uuid.bytes[15] = last;
  return uuid;
}

TEST(Identity, Uri_OfNodeAndClient_ReadsBack) {
  const Identity node = node_identity(some_uuid(1), some_uuid(2));
  EXPECT_EQ(node.uri(), "ringfs://" + some_uuid(1).text() + "/node/" + some_uuid(2).text());
  EXPECT_EQ(parse_identity(node.uri()).value(), node);
  const Identity client = client_identity(some_uuid(1), "laptop-3.example_x");
  EXPECT_EQ(parse_identity(client.uri()).value(), client);
}

TEST(Identity, Uri_ThatIsNone_IsRefused) {
  const std::string ring = "ringfs://" + some_uuid(1).text();
  for (const std::string& uri :
       {std::string(), std::string("ringfs://"), ring, ring + "/", ring + "/node/", ring + "/node/x",
        ring + "/node/" + some_uuid(2).text() + "/", ring + "/client/", ring + "/client/a/b", ring + "/client/-x",
        ring + "/client/" + std::string(65, 'a'), ring + "/admin/x", "spiffe://" + ring.substr(9) + "/client/a",
        ring + std::string("/client/a\0b", 11)}) {
    EXPECT_FALSE(parse_identity(uri)) << uri;
  }
}

TEST(AccessRole, Names_ReadBackAndOthersAreRefused) {
  for (AccessRole role : {AccessRole::reader, AccessRole::writer, AccessRole::admin, AccessRole::node}) {
    EXPECT_EQ(parse_access_role(to_string(role)).value(), role);
  }
  EXPECT_FALSE(parse_access_role("root"));
}

TEST(Token, Text_ReadsBack) {
  KeyHash authority{};
  authority[0] = 0xff;
  authority[31] = 1;
  const Token token = make_token(authority).value();
  const std::string text = token.text();
  EXPECT_EQ(text.size(), 8U + 52 + 1 + 52);
  const Token again = parse_token(" " + text + "\n").value();
  EXPECT_EQ(again.authority, authority);
  EXPECT_EQ(again.secret, token.secret);
  EXPECT_EQ(again.secret_hash(), token.secret_hash());
  EXPECT_NE(make_token(authority).value().secret, token.secret);
}

TEST(Token, Text_WithAnyCharacterChanged_IsNoTokenOrAnotherOne) {
  const Token token = make_token(KeyHash{}).value();
  const std::string text = token.text();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = other[i] == 'q' ? 'r' : 'q';
    Result<Token> read = parse_token(other);
    if (read) {
      EXPECT_FALSE(read->secret == token.secret && read->authority == token.authority) << i;
      EXPECT_EQ(read->text(), other);
    } else {
      EXPECT_EQ(read.error().context.find(text.substr(60)), std::string::npos) << "words repeat the secret";
    }
    EXPECT_FALSE(parse_token(text.substr(0, i))) << "cut short at " << i;
  }
  EXPECT_FALSE(parse_token(text + "a"));
  EXPECT_FALSE(parse_token(""));
}

class Certificates : public testing::Test {
 protected:
  const Uuid ring = some_uuid(1);
  const Authority authority = make_authority(ring, now).value();
  const PrivateKey key = PrivateKey::generate().value();
  const std::string request = make_request(key).value();

  Certificate issued(const Identity& identity, Stamp at = now) const {
    return issue(authority, request, {.identity = identity, .names = {"10.0.0.1", "::1", "a.example"}, .now = at})
        .value();
  }
  tl::expected<Identity, Refusal> verified(const Certificate& leaf, Stamp at = now, bool expiry_counts = true) const {
    return verify(leaf, {}, {authority.certificate}, {.ring = ring, .now = at, .expiry_counts = expiry_counts});
  }
};

TEST_F(Certificates, Issued_NamesItsHolderAndIsTaken) {
  const Identity node = node_identity(ring, some_uuid(2));
  const Certificate certificate = Certificate::from_pem(issued(node).pem()).value();
  EXPECT_EQ(certificate.identity(), node);
  EXPECT_EQ(certificate.key_hash(), key.public_hash());
  EXPECT_EQ(request_key_hash(request).value(), key.public_hash());
  EXPECT_FALSE(certificate.is_authority());
  EXPECT_TRUE(authority.certificate.is_authority());
  EXPECT_EQ(verified(certificate).value(), node);
  EXPECT_EQ(certificate.not_before(), now + -backdating);
  EXPECT_EQ(certificate.not_after(), now + certificate_life);
}

TEST_F(Certificates, Times_HaveTheirOwnRefusals) {
  const Certificate certificate = issued(client_identity(ring, "laptop"));
  EXPECT_TRUE(verified(certificate, now + -std::chrono::minutes(5))) << "a clock that is a little behind";
  EXPECT_EQ(verified(certificate, now + -std::chrono::hours(48)).error(), Refusal::not_yet_valid);
  const Stamp later = now + certificate_life + std::chrono::seconds(1);
  EXPECT_EQ(verified(certificate, later).error(), Refusal::expired);
  EXPECT_TRUE(verified(certificate, later, false)) << "between members it only calls for a renewal";
}

TEST_F(Certificates, OfAnotherAuthorityOrRing_AreRefused) {
  const Certificate certificate = issued(client_identity(ring, "laptop"));
  const Authority other = make_authority(ring, now).value();
  EXPECT_EQ(verify(certificate, {}, {other.certificate}, {.ring = ring, .now = now}).error(),
            Refusal::foreign_authority);
  EXPECT_EQ(verify(certificate, {}, {}, {.ring = ring, .now = now}).error(), Refusal::foreign_authority);
  EXPECT_TRUE(verify(certificate, {}, {other.certificate, authority.certificate}, {.ring = ring, .now = now}));
  EXPECT_EQ(verify(certificate, {}, {authority.certificate}, {.ring = some_uuid(9), .now = now}).error(),
            Refusal::foreign_ring);
  EXPECT_EQ(verified(authority.certificate).error(), Refusal::no_identity);
}

TEST_F(Certificates, Holder_CannotSignOthers) {
  const Certificate holder = issued(node_identity(ring, some_uuid(2)));
  const Authority false_one{.certificate = holder, .key = key};
  const Certificate forged =
      issue(false_one, request, {.identity = node_identity(ring, some_uuid(3)), .names = {}, .now = now}).value();
  EXPECT_EQ(verify(forged, {holder}, {authority.certificate}, {.ring = ring, .now = now}).error(),
            Refusal::foreign_authority);
}

TEST_F(Certificates, KeysAndAuthorities_ReadBack) {
  const PrivateKey again = PrivateKey::from_pem(key.pem()).value();
  EXPECT_EQ(again.public_hash(), key.public_hash());
  const Authority read = authority_from_pem(authority.certificate.pem(), authority.key.pem()).value();
  EXPECT_TRUE(verify(issue(read, request, {.identity = client_identity(ring, "x"), .names = {}, .now = now}).value(),
                     {}, {authority.certificate}, {.ring = ring, .now = now}));
  EXPECT_FALSE(authority_from_pem(authority.certificate.pem(), key.pem())) << "of two authorities";
}

TEST_F(Certificates, NonsenseAndDamage_AreRefused) {
  EXPECT_FALSE(Certificate::from_pem(""));
  EXPECT_FALSE(Certificate::from_pem("-----BEGIN CERTIFICATE-----\n"));
  EXPECT_FALSE(Certificate::from_pem(key.pem()));
  EXPECT_FALSE(PrivateKey::from_pem(request));
  EXPECT_FALSE(PrivateKey::from_pem(std::string(max_pem_bytes + 1, 'x')));
  EXPECT_FALSE(request_key_hash(authority.certificate.pem()));
  std::string damaged = request;  // another key under the same proof
  damaged[120] = damaged[120] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(request_key_hash(damaged));
  std::string many;
  for (int i = 0; i < 5; ++i) many += authority.certificate.pem();
  EXPECT_FALSE(Certificate::chain_from_pem(many));
}

}  // namespace
}  // namespace ringfs::dht
