// Tokens, clients and authorities as an operator changes them.
#include "dht/net/client/trust_admin.hpp"

#include <gtest/gtest.h>

#include "tests/unit/net/client/trusted_ring.hpp"

namespace ringfs::dht {
namespace {

constexpr Stamp start{1'790'000'000'000'000};

class TrustAdminTest : public testing::Test {
 protected:
  void SetUp() override { ring_.found(); }

  Result<Token> create(NewToken token) { return ring_.create_token(std::move(token)); }
  Status revoke(const std::string& id) { return ring_.run(ring_.admin.revoke_token(id, ring_.limit())); }
  std::vector<AuthorityView> authorities() { return ring_.run(ring_.admin.authorities(ring_.limit())).value(); }
  Status begin_rotation() { return ring_.run(ring_.admin.begin_rotation(ring_.ring, ring_.limit())); }
  Status finish_rotation(bool now) { return ring_.run(ring_.admin.finish_rotation(now, ring_.limit())); }
  void put_row(const std::string& key, const std::string& sort, const std::string& value) {
    CommitRequest commit;
    commit.mutations.push_back(put(key, sort, SharedBytes(value)));
    ASSERT_TRUE(ring_.run(ring_.store.commit(std::move(commit), ring_.limit())));
  }

  TrustedRing ring_{start};
};

TEST_F(TrustAdminTest, Token_IsListedWithWhatItIsFor_AndItsSecretIsNowhere) {
  const Result<Token> made = create(
      {.rest = false, .role = AccessRole::writer, .life = std::chrono::hours(2), .uses = 3, .note = "for the lab"});
  ASSERT_TRUE(made) << made.error().text();
  const Token token = *made;
  EXPECT_EQ(token.authority, ring_.authority.certificate.key_hash());
  const std::vector<TokenView> listed = ring_.tokens();
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].id, hash_text(token.secret_hash()).substr(0, 8));
  EXPECT_FALSE(listed[0].rest);
  EXPECT_EQ(listed[0].role, AccessRole::writer);
  EXPECT_EQ(listed[0].created, start);
  EXPECT_EQ(listed[0].expires, start + std::chrono::hours(2));
  EXPECT_EQ(listed[0].uses_left, 3U);
  EXPECT_EQ(listed[0].note, "for the lab");
  const std::string secret(token.secret.begin(), token.secret.end());
  for (const auto& [id, partition] : ring_.rows->partitions) {
    for (const auto& [row, stored] : partition.rows.all())
      EXPECT_EQ((row.sort + stored.value.str()).find(secret), std::string::npos) << row.key;
  }
}

// An answer that was lost is asked for again, of another node perhaps.
TEST_F(TrustAdminTest, TokenAskedForAgain_IsTheSame) {
  NewToken wanted{.rest = false, .role = AccessRole::node, .life = std::chrono::hours(1), .uses = 1, .note = "mine"};
  wanted.secret_hash[5] = 7;
  const auto ask = [&](const NewToken& one) { return ring_.run(ring_.admin.create_token(one, ring_.limit())); };
  ASSERT_TRUE(ask(wanted));
  ring_.now = start + std::chrono::seconds(20);
  const Result<KeyHash> again = ask(wanted);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(*again, ring_.authority.certificate.key_hash());
  ASSERT_EQ(ring_.tokens().size(), 1U);
  EXPECT_EQ(ring_.tokens()[0].created, start);
  NewToken other = wanted;
  other.role = AccessRole::reader;
  EXPECT_EQ(ask(other).error().code, ErrorCode::exists) << "another token with the same secret";
  EXPECT_EQ(ring_.tokens()[0].role, AccessRole::node);
}

TEST_F(TrustAdminTest, TokenAskedForAtOnce_IsOne) {
  NewToken wanted;
  wanted.secret_hash[5] = 7;
  Begun<Result<KeyHash>> first = ring_.time.begin(ring_.admin.create_token(wanted, ring_.limit()));
  Begun<Result<KeyHash>> second = ring_.time.begin(ring_.admin.create_token(wanted, ring_.limit()));
  ring_.time.run_until_idle();
  ASSERT_TRUE(first.ended() && second.ended());
  EXPECT_TRUE(first.result()) << first.result().error().text();
  EXPECT_TRUE(second.result()) << second.result().error().text();
  EXPECT_EQ(ring_.tokens().size(), 1U);
}

TEST_F(TrustAdminTest, TokenWhoseAnswerWasLost_IsTheSame) {
  NewToken wanted;
  wanted.secret_hash[5] = 7;
  ring_.store.fail_commits(1, ErrorCode::timeout, true);
  EXPECT_EQ(ring_.run(ring_.admin.create_token(wanted, ring_.limit())).error().code, ErrorCode::timeout);
  EXPECT_TRUE(ring_.run(ring_.admin.create_token(wanted, ring_.limit())));
  EXPECT_EQ(ring_.tokens().size(), 1U);
}

TEST_F(TrustAdminTest, RestToken_HasNoUses) {
  ASSERT_TRUE(create({.rest = true, .role = AccessRole::reader, .life = std::chrono::hours(1), .uses = 1, .note = {}}));
  EXPECT_TRUE(ring_.tokens().at(0).rest);
  EXPECT_EQ(ring_.tokens().at(0).uses_left, std::nullopt);
}

TEST_F(TrustAdminTest, TokenOutOfBounds_IsRefused) {
  const NewToken good{.rest = false, .role = AccessRole::node, .life = std::chrono::hours(1), .uses = 1, .note = {}};
  ASSERT_TRUE(create(good));
  using Change = std::function<void(NewToken&)>;
  const std::vector<std::pair<ErrorCode, Change>> changes{
      {ErrorCode::out_of_range, [](NewToken& it) { it.life = Duration(0); }},
      {ErrorCode::out_of_range, [](NewToken& it) { it.life = max_token_life + Duration(1); }},
      {ErrorCode::out_of_range, [](NewToken& it) { it.uses = 0; }},
      {ErrorCode::out_of_range, [](NewToken& it) { it.uses = without_uses; }},
      {ErrorCode::out_of_range, [](NewToken& it) { it.note = std::string(max_token_note_bytes + 1, 'n'); }},
      {ErrorCode::invalid_argument, [](NewToken& it) { it.note = "a\nb"; }},
      {ErrorCode::invalid_argument, [](NewToken& it) { it.role = AccessRole{0}; }},
      {ErrorCode::invalid_argument, [](NewToken& it) { it.rest = true; }},
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    NewToken token = good;
    changes[i].second(token);
    const Result<Token> created = create(token);
    ASSERT_FALSE(created) << i;
    EXPECT_EQ(created.error().code, changes[i].first) << i << ": " << created.error().text();
  }
  EXPECT_EQ(ring_.tokens().size(), 1U);
}

TEST_F(TrustAdminTest, ExpiredTokens_GoWhenOneIsCreated) {
  ring_.token(AccessRole::reader);
  ring_.now = start + std::chrono::hours(1);
  EXPECT_EQ(ring_.tokens().size(), 1U);
  const Token second = ring_.token(AccessRole::node);
  ASSERT_EQ(ring_.tokens().size(), 1U);
  EXPECT_EQ(ring_.tokens()[0].id, hash_text(second.secret_hash()).substr(0, 8));
}

TEST_F(TrustAdminTest, OneTokenTooMany_IsRefusedUntilSomeExpire) {
  const TokenRow row{.kind = TokenRow::Kind::join,
                     .role = AccessRole::reader,
                     .created = start,
                     .expires = start + std::chrono::hours(1),
                     .uses_left = 1,
                     .note = {}};
  CommitRequest commit;
  for (std::uint32_t i = 0; i < max_tokens; ++i) {
    KeyHash hash{};
    hash[0] = static_cast<std::uint8_t>(i >> 8);
    hash[1] = static_cast<std::uint8_t>(i & 0xff);
    commit.mutations.push_back(ringfs::put(token_row_address(hash), SharedBytes(encode(row))));
  }
  ASSERT_TRUE(ring_.run(ring_.store.commit(std::move(commit), ring_.limit())));
  EXPECT_EQ(create({}).error().code, ErrorCode::out_of_range);
  EXPECT_EQ(ring_.tokens().size(), max_tokens);
  ring_.now = start + std::chrono::hours(1);
  EXPECT_TRUE(create({}));
  EXPECT_EQ(ring_.tokens().size(), 1U);
}

TEST_F(TrustAdminTest, RevokedToken_IsGone_AndOthersStay) {
  const std::string first = hash_text(ring_.token(AccessRole::node).secret_hash());
  const std::string second = hash_text(ring_.token(AccessRole::node).secret_hash());
  ASSERT_NE(first.substr(0, 8), second.substr(0, 8));
  ASSERT_TRUE(revoke(first.substr(0, 8)));
  ASSERT_EQ(ring_.tokens().size(), 1U);
  EXPECT_EQ(revoke(first.substr(0, 8)).error().code, ErrorCode::not_found);
  EXPECT_EQ(revoke(second.substr(0, 7)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(revoke(second + "0").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(revoke("xyzxyzxyz").error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(revoke(second)) << "all digits";
  EXPECT_TRUE(ring_.tokens().empty());
}

TEST_F(TrustAdminTest, SeveralTokensWithTheSameDigits_NeedMore) {
  const TokenRow row{.kind = TokenRow::Kind::join,
                     .role = AccessRole::reader,
                     .created = start,
                     .expires = start,
                     .uses_left = 1,
                     .note = {}};
  KeyHash hash{};
  put_row(std::string(tokens_key), token_row_address(hash).sort, encode(row));
  hash[31] = 1;
  put_row(std::string(tokens_key), token_row_address(hash).sort, encode(row));
  EXPECT_EQ(revoke("00000000").error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(revoke(hash_text(hash)));
  EXPECT_TRUE(revoke("00000000"));
}

TEST_F(TrustAdminTest, DamagedToken_IsNamed_AndCanBeRevoked) {
  ring_.token(AccessRole::reader);
  put_row(std::string(tokens_key), token_row_address(KeyHash{}).sort, "damage");
  const auto listed = ring_.run(ring_.admin.tokens(ring_.limit()));
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code, ErrorCode::corrupt);
  EXPECT_NE(listed.error().context.find("00000000"), std::string::npos);
  ASSERT_TRUE(revoke("00000000"));
  EXPECT_EQ(ring_.tokens().size(), 1U);
}

TEST_F(TrustAdminTest, Authority_IsFoundedOnce) {
  const std::string hash = hash_text(ring_.authority.certificate.key_hash());
  const MembersTable table = ring_.table();
  ASSERT_EQ(table.authorities.size(), 1U);
  EXPECT_EQ(table.authorities.at(hash), ring_.authority.certificate.pem());
  EXPECT_EQ(table.version, 2U);
  ring_.found();
  EXPECT_EQ(ring_.table().version, 2U) << "the same one again changes nothing";
  const Authority other = make_authority(ring_.ring, start).value();
  EXPECT_EQ(ring_.run(ring_.admin.found_authority(other, ring_.limit())).error().code, ErrorCode::exists);
  ASSERT_EQ(authorities().size(), 1U);
  EXPECT_EQ(authorities()[0].key_hash, hash);
  EXPECT_TRUE(authorities()[0].current);
  EXPECT_EQ(authorities()[0].not_before, ring_.authority.certificate.not_before());
  EXPECT_EQ(authorities()[0].not_after, ring_.authority.certificate.not_after());
  EXPECT_TRUE(ring_.is_clean());
}

TEST(TrustAdminWithoutAuthority, TokensAndRotations_AreNotSupported) {
  TrustedRing ring(start);
  EXPECT_EQ(ring.run(ring.admin.create_token({}, ring.limit())).error().code, ErrorCode::not_supported);
  EXPECT_EQ(ring.run(ring.admin.begin_rotation(ring.ring, ring.limit())).error().code, ErrorCode::not_supported);
  EXPECT_EQ(ring.run(ring.admin.finish_rotation(true, ring.limit())).error().code, ErrorCode::not_supported);
  EXPECT_TRUE(ring.run(ring.admin.authorities(ring.limit())).value().empty());
}

TEST_F(TrustAdminTest, Rotation_HasTwoAuthoritiesUntilItIsFinished) {
  const std::string former = authorities().at(0).key_hash;
  EXPECT_EQ(finish_rotation(true).error().code, ErrorCode::not_found) << "none has begun";
  ring_.now = start + std::chrono::hours(1);
  ASSERT_TRUE(begin_rotation());
  std::vector<AuthorityView> both = authorities();
  ASSERT_EQ(both.size(), 2U);
  const std::string fresh = both[0].current ? both[0].key_hash : both[1].key_hash;
  EXPECT_NE(both[0].current, both[1].current);
  EXPECT_NE(fresh, former);
  EXPECT_EQ(ring_.table().authorities.size(), 2U);
  EXPECT_EQ(hash_text(ring_.token(AccessRole::node).authority), fresh);
  EXPECT_EQ(begin_rotation().error().code, ErrorCode::busy);

  EXPECT_EQ(finish_rotation(false).error().code, ErrorCode::busy) << "its certificates are still valid";
  ring_.now = ring_.now + certificate_life;
  ASSERT_TRUE(finish_rotation(false));
  ASSERT_EQ(authorities().size(), 1U);
  EXPECT_EQ(authorities()[0].key_hash, fresh);
  EXPECT_TRUE(authorities()[0].current);
  ASSERT_EQ(ring_.table().authorities.size(), 1U);
  EXPECT_TRUE(ring_.table().authorities.contains(fresh));
  EXPECT_TRUE(ring_.is_clean());
}

TEST_F(TrustAdminTest, RotationFinishedAtOnce_DropsTheFormerOne) {
  const std::string former = authorities().at(0).key_hash;
  ASSERT_TRUE(begin_rotation());
  ASSERT_TRUE(finish_rotation(true));
  ASSERT_EQ(authorities().size(), 1U);
  EXPECT_NE(authorities()[0].key_hash, former);
  EXPECT_FALSE(ring_.table().authorities.contains(former));
}

// Whoever has the disk of a removed node knows the authority's key, until there is another one.
TEST_F(TrustAdminTest, RemovedNode_AdvisesToRotate_UntilThatIsDone) {
  const PrivateKey key = PrivateKey::generate().value();
  ASSERT_TRUE(ring_.admit(node_request(key, ring_.token(AccessRole::node), uuid_of(2))));
  EXPECT_TRUE(authority_advice(ring_.table()).empty());
  ring_.set_state(uuid_of(2), MemberState::leaving);
  EXPECT_TRUE(authority_advice(ring_.table()).empty());
  ring_.set_state(uuid_of(2), MemberState::removed);
  std::vector<std::string> advice = authority_advice(ring_.table());
  ASSERT_EQ(advice.size(), 1U);
  EXPECT_NE(advice[0].find("`ringfs authority rotate`"), std::string::npos) << advice[0];
  ASSERT_TRUE(begin_rotation());
  EXPECT_TRUE(authority_advice(ring_.table()).empty());
  EXPECT_EQ(ring_.table().find(uuid_of(2))->state, MemberState::removed);
  // One that is removed afterwards knows the new one.
  ASSERT_TRUE(ring_.admit(node_request(key, ring_.token(AccessRole::node), uuid_of(3))));
  ring_.set_state(uuid_of(3), MemberState::removed);
  EXPECT_EQ(authority_advice(ring_.table()).size(), 1U);
}

// An empty node took the place of one whose disk was lost, which nobody has removed yet.
TEST_F(TrustAdminTest, DeadNodeWhoseAddressAnotherHas_IsToBeRemovedFirst) {
  for (std::uint8_t number : std::initializer_list<std::uint8_t>{2, 3}) {
    const PrivateKey key = PrivateKey::generate().value();
    ASSERT_TRUE(ring_.admit(node_request(key, ring_.token(AccessRole::node), uuid_of(number))));
    if (number == 2) {
      ring_.set_state(uuid_of(2), MemberState::dead);
      EXPECT_TRUE(authority_advice(ring_.table()).empty()) << "it may come back";
    }
  }
  const std::vector<std::string> advice = authority_advice(ring_.table());
  ASSERT_EQ(advice.size(), 1U);
  EXPECT_NE(advice[0].find("remove " + uuid_of(2).text() + " --force"), std::string::npos) << advice[0];
  ring_.set_state(uuid_of(2), MemberState::removed);
  ASSERT_TRUE(begin_rotation());
  EXPECT_TRUE(authority_advice(ring_.table()).empty());
}

TEST_F(TrustAdminTest, RotationsAtOnce_OneBegins) {
  Begun<Status> first = ring_.time.begin(ring_.admin.begin_rotation(ring_.ring, ring_.limit()));
  Begun<Status> second = ring_.time.begin(ring_.admin.begin_rotation(ring_.ring, ring_.limit()));
  ring_.time.run_until_idle();
  ASSERT_TRUE(first.ended() && second.ended());
  EXPECT_NE(first.result().has_value(), second.result().has_value());
  EXPECT_EQ(authorities().size(), 2U);
  EXPECT_EQ(ring_.table().authorities.size(), 2U);
  EXPECT_TRUE(ring_.is_clean());
}

TEST_F(TrustAdminTest, Client_IsRevokedAndStaysInTheList) {
  const PrivateKey key = PrivateKey::generate().value();
  ASSERT_TRUE(ring_.admit(client_request(key, ring_.token(AccessRole::reader), "laptop")));
  const std::uint64_t version = ring_.table().version;
  ASSERT_TRUE(ring_.run(ring_.admin.revoke_client("laptop", ring_.limit())));
  const std::vector<Client> clients = ring_.run(ring_.admin.clients(ring_.limit())).value();
  ASSERT_EQ(clients.size(), 1U);
  EXPECT_EQ(clients[0].name, "laptop");
  EXPECT_TRUE(clients[0].revoked);
  EXPECT_EQ(ring_.table().version, version + 1) << "heartbeats carry it";
  EXPECT_TRUE(ring_.run(ring_.admin.revoke_client("laptop", ring_.limit()))) << "again";
  EXPECT_EQ(ring_.run(ring_.admin.revoke_client("phone", ring_.limit())).error().code, ErrorCode::not_found);
}

TEST(OperatorsClient, IsAddedWithARole_AndRevokedAndAddedAgain) {
  TrustedRing ring(start);
  const auto add = [&ring](std::string name, AccessRole role) {
    return ring.run(ring.admin.add_client(std::move(name), role, ring.limit()));
  };
  ASSERT_TRUE(add("laptop", AccessRole::reader));
  Client laptop{.name = "laptop", .role = AccessRole::reader, .key = {}, .revoked = false};
  EXPECT_EQ(ring.table().clients, std::vector{laptop});
  ASSERT_TRUE(ring.run(ring.admin.revoke_client("laptop", ring.limit())));
  ASSERT_TRUE(add("laptop", AccessRole::admin));
  laptop.role = AccessRole::admin;
  EXPECT_EQ(ring.table().clients, std::vector{laptop});
  const std::uint64_t version = ring.table().version;
  EXPECT_TRUE(add("laptop", AccessRole::admin));
  EXPECT_EQ(ring.table().version, version);
  for (const Status& refused : {add("a name", AccessRole::reader), add("b", AccessRole::node)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  }
}

TEST(FirstAuthority, OfARingWithoutOne_IsMadeOnce) {
  TrustedRing ring(start);
  const auto create = [&ring] { return ring.run(ring.admin.create_authority(ring.ring, ring.limit())); };
  NewToken token;
  token.role = AccessRole::node;
  const Result<KeyHash> too_early = ring.run(ring.admin.create_token(token, ring.limit()));
  ASSERT_FALSE(too_early);
  EXPECT_EQ(too_early.error().code, ErrorCode::not_supported);
  EXPECT_NE(too_early.error().context.find("ringfs authority create"), std::string::npos);

  ASSERT_TRUE(create());
  const RingAuthorities made = ring.run(read_authorities(ring.store, ring.limit())).value();
  ASSERT_NE(made.signing(), nullptr);
  EXPECT_EQ(made.all.size(), 1U);
  const MembersTable table = ring.table();
  ASSERT_EQ(table.authorities.size(), 1U) << "newcomers and members learn it from there";
  EXPECT_EQ(table.authorities.begin()->first, made.current);

  EXPECT_TRUE(create());
  EXPECT_EQ(ring.run(read_authorities(ring.store, ring.limit()))->current, made.current);
  EXPECT_EQ(ring.table(), table);
  EXPECT_TRUE(ring.run(ring.admin.create_token(token, ring.limit())));
  EXPECT_TRUE(ring.is_clean());
}

TEST(FirstAuthority, TwoAtOnce_MakeOne) {
  TrustedRing ring(start);
  MemoryObjectStore second_store(ring.time, ring.rows, 2);
  TrustAdmin second(second_store, [&ring] { return ring.now; });
  Begun<Status> left = ring.time.begin(ring.admin.create_authority(ring.ring, ring.limit()));
  Begun<Status> right = ring.time.begin(second.create_authority(ring.ring, ring.limit()));
  ring.time.run_until_idle();
  ASSERT_TRUE(left.ended() && right.ended());
  EXPECT_TRUE(left.result() && right.result());
  EXPECT_EQ(ring.run(read_authorities(ring.store, ring.limit()))->all.size(), 1U);
  EXPECT_EQ(ring.table().authorities.size(), 1U);
  EXPECT_TRUE(ring.is_clean());
}

}  // namespace
}  // namespace ringfs::dht
