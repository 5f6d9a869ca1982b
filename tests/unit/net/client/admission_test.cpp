// Who gets a certificate, who is refused in which words, and that a token is used as often as it may be.
#include "dht/net/client/admission.hpp"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include "tests/unit/net/client/trusted_ring.hpp"

namespace ringfs::dht {
namespace {

constexpr Stamp start{1'790'000'000'000'000};
constexpr Duration hour = std::chrono::hours(1);
constexpr Duration day = std::chrono::hours(24);

PrivateKey fresh_key() { return PrivateKey::generate().value(); }

class AdmissionTest : public testing::Test {
 protected:
  void SetUp() override { ring_.found(); }

  Certificate certificate_of(const Result<JoinAnswer>& answer) const {
    RINGFS_CHECK(answer.has_value());
    return Certificate::from_pem(answer->certificate).value();
  }
  void expect_refused(const Result<JoinAnswer>& answer, ErrorCode code, const std::string& words) {
    ASSERT_FALSE(answer) << words;
    EXPECT_EQ(answer.error().code, code) << answer.error().text();
    EXPECT_NE(answer.error().context.find(words), std::string::npos) << answer.error().text();
  }
  // The same, and nothing has changed.
  void expect_refused(const JoinRequest& request, ErrorCode code, const std::string& words) {
    const MembersTable before = ring_.table();
    expect_refused(ring_.admit(request), code, words);
    EXPECT_EQ(ring_.table(), before) << words;
    EXPECT_TRUE(ring_.is_clean()) << words;
  }
  std::optional<std::uint32_t> uses_left() { return ring_.tokens().at(0).uses_left; }

  TrustedRing ring_{start};
};

TEST_F(AdmissionTest, TheRowsOfAnAdmission_LieInTwoPartitions) {
  EXPECT_NE(ring_.store.partition_of_key(std::string(members_key)),
            ring_.store.partition_of_key(std::string(tokens_key)))
      << "otherwise these tests say nothing of transactions";
}

TEST_F(AdmissionTest, Node_JoinsWithItsKeyAndGetsACertificate) {
  const PrivateKey key = fresh_key();
  const std::uint64_t version = ring_.table().version;
  const Result<JoinAnswer> answer = ring_.admit(node_request(key, ring_.token(AccessRole::node), uuid_of(2)));
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->ring, ring_.ring);
  EXPECT_EQ(answer->role, AccessRole::node);
  ASSERT_EQ(answer->authorities.size(), 1U);
  EXPECT_EQ(answer->authorities[0], ring_.authority.certificate.pem());
  const Certificate certificate = certificate_of(answer);
  EXPECT_EQ(verify(certificate, {}, {ring_.authority.certificate}, {.ring = ring_.ring, .now = start}).value(),
            node_identity(ring_.ring, uuid_of(2)));
  EXPECT_EQ(certificate.key_hash(), key.public_hash());
  // What curl looks for.
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "10.0.0.2", 0), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-2.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "other.example", 0, 0, nullptr), 0);

  const MembersTable table = ring_.table();
  EXPECT_EQ(table.version, version + 1);
  const Member* member = table.find(uuid_of(2));
  ASSERT_NE(member, nullptr);
  EXPECT_EQ(member->state, MemberState::joining);
  EXPECT_EQ(member->key, key.public_hash());
  EXPECT_EQ(member->address, "10.0.0.2:4001");
  EXPECT_EQ(member->rest_address, "node-2.example:8001");
  EXPECT_FALSE(member->tokens.empty());
  EXPECT_EQ(uses_left(), 0U);
  EXPECT_TRUE(ring_.is_clean());
}

TEST_F(AdmissionTest, Client_GetsTheRoleOfItsToken) {
  for (AccessRole role : {AccessRole::reader, AccessRole::writer, AccessRole::admin}) {
    const PrivateKey key = fresh_key();
    const std::string name = "client-" + std::string(to_string(role));
    const Result<JoinAnswer> answer = ring_.admit(client_request(key, ring_.token(role), name));
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->role, role);
    EXPECT_EQ(answer->name, name);
    EXPECT_EQ(certificate_of(answer).identity(), client_identity(ring_.ring, name));
    const MembersTable table = ring_.table();
    const Client* client = table.find_client(name);
    ASSERT_NE(client, nullptr);
    EXPECT_EQ(*client, (Client{.name = name, .role = role, .key = key.public_hash(), .revoked = false}));
  }
}

TEST_F(AdmissionTest, RingOfOnePartition_AdmitsAsWell) {
  TrustedRing small(start, 0);
  small.found();
  ASSERT_TRUE(small.admit(client_request(fresh_key(), small.token(AccessRole::reader), "laptop")));
  EXPECT_EQ(small.tokens().at(0).uses_left, 0U);
  EXPECT_TRUE(small.is_clean());
}

// ---- Refusals ------------------------------------------------------------------------------------------------------

TEST_F(AdmissionTest, Tokens_ThatLetNobodyIn_AreRefusedInTheirOwnWords) {
  const PrivateKey key = fresh_key();
  const Token clients = ring_.token(AccessRole::admin);
  const Token nodes = ring_.token(AccessRole::node);
  const Token rest = ring_.token({.rest = true, .role = AccessRole::admin, .life = hour, .uses = 1, .note = {}});
  const Token unknown = make_token(ring_.authority.certificate.key_hash()).value();
  const Token revoked = ring_.token(AccessRole::reader);
  ASSERT_TRUE(ring_.run(ring_.admin.revoke_token(hash_text(revoked.secret_hash()), ring_.limit())));
  TrustedRing other(start);
  other.found();
  const Token foreign = other.token(AccessRole::reader);
  Token changed = clients;
  changed.secret[31] ^= 1;
  struct Case {
    JoinRequest request;
    std::string words;
  };
  const std::vector<Case> cases{
      {client_request(key, unknown, "laptop"), "does not know this token"},
      {client_request(key, foreign, "laptop"), "does not know this token"},
      {client_request(key, revoked, "laptop"), "does not know this token"},
      {client_request(key, changed, "laptop"), "does not know this token"},
      {client_request(key, nodes, "laptop"), "lets nodes in, not clients"},
      {client_request(key, rest, "laptop"), "for REST requests"},
      {node_request(key, rest, uuid_of(2)), "for REST requests"},
      {node_request(key, clients, uuid_of(2)), "lets clients in, not nodes"},
      {client_request(key, std::nullopt, "laptop"), "needs the present certificate"},
  };
  for (const Case& one : cases) expect_refused(one.request, ErrorCode::access_denied, one.words);
  ring_.now = start + hour;
  expect_refused(client_request(key, clients, "laptop"), ErrorCode::access_denied, "has expired");
  expect_refused(node_request(key, nodes, uuid_of(2)), ErrorCode::access_denied, "has expired");
}

TEST_F(AdmissionTest, UsedUpToken_IsRefused) {
  const Token token = ring_.token(AccessRole::reader, 2);
  ASSERT_TRUE(ring_.admit(client_request(fresh_key(), token, "first")));
  ASSERT_TRUE(ring_.admit(client_request(fresh_key(), token, "second")));
  EXPECT_EQ(uses_left(), 0U);
  expect_refused(client_request(fresh_key(), token, "third"), ErrorCode::access_denied, "as often as it may be used");
}

TEST_F(AdmissionTest, Requests_ThatNobodyShouldSend_AreRefusedWithoutAskingTheRing) {
  const Token token = ring_.token(AccessRole::node);
  const PrivateKey key = fresh_key();
  using Change = std::function<void(JoinRequest&)>;
  const std::vector<std::pair<std::string, Change>> changes{
      {"no uuid", [](JoinRequest& it) { it.node = {}; }},
      {"no address", [](JoinRequest& it) { it.address.clear(); }},
      {"an address without a port", [](JoinRequest& it) { it.address = "10.0.0.2"; }},
      {"a host that is no name", [](JoinRequest& it) { it.address = std::string("a\0b:1", 5); }},
      {"a host with a star", [](JoinRequest& it) { it.rest_address = "*.example:1"; }},
      {"a REST address without a port", [](JoinRequest& it) { it.rest_address = "10.0.0.2"; }},
      {"a request that is none", [](JoinRequest& it) { it.request = "junk"; }},
      {"a name that is none",
       [](JoinRequest& it) {
         it.kind = Identity::Kind::client;
         it.name = "../laptop";
       }},
      {"no name", [](JoinRequest& it) { it.kind = Identity::Kind::client; }},
  };
  const std::size_t before = ring_.store.operations();
  for (const auto& [what, change] : changes) {
    JoinRequest request = node_request(key, token, uuid_of(2));
    change(request);
    const Result<JoinAnswer> answer = ring_.admit(request);
    ASSERT_FALSE(answer) << what;
    EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument) << what << ": " << answer.error().text();
  }
  EXPECT_EQ(ring_.store.operations(), before);
}

TEST_F(AdmissionTest, WrongToken_CostsOneRead) {
  const Token unknown = make_token(ring_.authority.certificate.key_hash()).value();
  const std::size_t before = ring_.store.operations();
  ASSERT_FALSE(ring_.admit(client_request(fresh_key(), unknown, "laptop")));
  EXPECT_EQ(ring_.store.operations(), before + 1);
}

TEST(AdmissionWithoutAuthority, IsNotSupported) {
  TrustedRing ring(start);
  CommitRequest commit;
  const Token token = make_token(KeyHash{}).value();
  const TokenRow row{.kind = TokenRow::Kind::join,
                     .role = AccessRole::reader,
                     .created = start,
                     .expires = start + hour,
                     .uses_left = 1,
                     .note = {}};
  commit.mutations.push_back(ringfs::put(token_row_address(token.secret_hash()), SharedBytes(encode(row))));
  ASSERT_TRUE(ring.run(ring.store.commit(std::move(commit), ring.limit())));
  const Result<JoinAnswer> answer = ring.admit(client_request(fresh_key(), token, "laptop"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::not_supported);
  EXPECT_EQ(ring.tokens().at(0).uses_left, 1U);
}

// ---- Names, uuids and keys -----------------------------------------------------------------------------------------

TEST_F(AdmissionTest, NameOfAnotherKey_IsTaken_AndTheTokenKept) {
  const Token token = ring_.token(AccessRole::reader, 2);
  ASSERT_TRUE(ring_.admit(client_request(fresh_key(), token, "laptop")));
  expect_refused(client_request(fresh_key(), token, "laptop"), ErrorCode::exists,
                 "another client with the name laptop");
  EXPECT_EQ(uses_left(), 1U);
}

TEST_F(AdmissionTest, TakenNames_AreNotToldWithoutAGoodToken) {
  const Token token = ring_.token(AccessRole::reader, 1);
  ASSERT_TRUE(ring_.admit(client_request(fresh_key(), token, "laptop")));
  expect_refused(client_request(fresh_key(), token, "laptop"), ErrorCode::access_denied, "as often as");
}

TEST_F(AdmissionTest, UuidOfAnotherKey_IsTaken_UntilTheNodeWasRemoved) {
  const Token token = ring_.token(AccessRole::node, 3);
  ASSERT_TRUE(ring_.admit(node_request(fresh_key(), token, uuid_of(2))));
  const PrivateKey other = fresh_key();
  for (MemberState state : {MemberState::joining, MemberState::up, MemberState::dead}) {
    ring_.set_state(uuid_of(2), state);
    expect_refused(node_request(other, token, uuid_of(2)), ErrorCode::exists, "with another key");
  }
  ring_.set_state(uuid_of(2), MemberState::leaving);
  expect_refused(node_request(other, token, uuid_of(2)), ErrorCode::exists, "with another key");
  EXPECT_EQ(uses_left(), 2U);
  ring_.set_state(uuid_of(2), MemberState::removed);
  ASSERT_TRUE(ring_.admit(node_request(other, token, uuid_of(2))));
  EXPECT_EQ(ring_.table().find(uuid_of(2))->key, other.public_hash());
  EXPECT_EQ(ring_.table().find(uuid_of(2))->state, MemberState::joining);
}

TEST_F(AdmissionTest, MemberOfBefore_GetsItsFirstKey_AndStaysWhatItIs) {
  const PrivateKey key = fresh_key();
  ASSERT_EQ(ring_.table().find(uuid_of(100))->key, std::nullopt);
  const std::vector<Position> tokens = ring_.table().find(uuid_of(100))->tokens;
  ASSERT_TRUE(ring_.admit(node_request(key, ring_.token(AccessRole::node), uuid_of(100))));
  const MembersTable table = ring_.table();
  EXPECT_EQ(table.find(uuid_of(100))->key, key.public_hash());
  EXPECT_EQ(table.find(uuid_of(100))->state, MemberState::up);
  EXPECT_EQ(table.find(uuid_of(100))->tokens, tokens) << "no data moves";
  EXPECT_EQ(table.find(uuid_of(100))->address, "10.0.0.2:4001");
}

TEST_F(AdmissionTest, SameKeyAgain_GetsACertificateWithoutAnotherUse) {
  const Token nodes = ring_.token(AccessRole::node);
  const PrivateKey key = fresh_key();
  const JoinRequest node = node_request(key, nodes, uuid_of(2));
  ASSERT_TRUE(ring_.admit(node));
  const MembersTable table = ring_.table();
  ring_.now = start + 2 * hour;  // when the token has expired, too
  const Result<JoinAnswer> again = ring_.admit(node);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(certificate_of(again).key_hash(), key.public_hash());
  EXPECT_EQ(ring_.table(), table);

  const Token clients = ring_.token(AccessRole::writer);
  const JoinRequest client = client_request(key, clients, "laptop");
  ASSERT_TRUE(ring_.admit(client));
  ASSERT_TRUE(ring_.admit(client));
  EXPECT_EQ(uses_left(), 0U);
}

TEST_F(AdmissionTest, AnswerLostAtAnyStep_TheSameKeyIsAdmittedWithOneUse) {
  for (std::size_t step = 0;; ++step) {
    TrustedRing ring(start);
    ring.found();
    const Token token = ring.token(AccessRole::node);
    const JoinRequest request = node_request(fresh_key(), token, uuid_of(2));
    ring.store.fail_after(step);
    const bool answered = ring.admit(request).has_value();
    ring.store.revive();
    ring.time.advance(std::chrono::seconds(30));
    // The first one that meets what is left of a dead coordinator may have to wait for it.
    Result<JoinAnswer> again = fail(ErrorCode::internal);
    for (int tries = 0; tries < 3 && !again; ++tries) again = ring.admit(request);
    ASSERT_TRUE(again) << step << ": " << again.error().text();
    EXPECT_EQ(ring.tokens().at(0).uses_left, 0U) << step;
    EXPECT_NE(ring.table().find(uuid_of(2)), nullptr) << step;
    const Result<JoinAnswer> other = ring.admit(node_request(fresh_key(), token, uuid_of(3)));
    EXPECT_FALSE(other) << step;
    if (answered) {
      EXPECT_GT(step, 8U) << "some steps were tried";
      break;
    }
    ASSERT_LT(step, 100U);
  }
}

TEST_F(AdmissionTest, ClientWithATokenOfAnotherRole_ChangesItsRole) {
  const PrivateKey key = fresh_key();
  ASSERT_TRUE(ring_.admit(client_request(key, ring_.token(AccessRole::reader), "laptop")));
  ASSERT_TRUE(ring_.run(ring_.admin.revoke_token(ring_.tokens().at(0).id, ring_.limit())));
  const Result<JoinAnswer> answer = ring_.admit(client_request(key, ring_.token(AccessRole::writer), "laptop"));
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->role, AccessRole::writer);
  EXPECT_EQ(uses_left(), 0U) << "that is a use";
}

TEST_F(AdmissionTest, RevokedClient_NeedsAnotherKeyAndAToken) {
  const Token token = ring_.token(AccessRole::reader, 5);
  const PrivateKey key = fresh_key();
  ASSERT_TRUE(ring_.admit(client_request(key, token, "laptop")));
  ASSERT_TRUE(ring_.run(ring_.admin.revoke_client("laptop", ring_.limit())));
  expect_refused(client_request(key, token, "laptop"), ErrorCode::access_denied, "was revoked");
  expect_refused(client_request(key, token, "other"), ErrorCode::access_denied, "was revoked");
  EXPECT_EQ(uses_left(), 4U);
  const PrivateKey fresh = fresh_key();
  ASSERT_TRUE(ring_.admit(client_request(fresh, token, "laptop")));
  EXPECT_EQ(ring_.table().find_client("laptop")->key, fresh.public_hash());
  EXPECT_FALSE(ring_.table().find_client("laptop")->revoked);
}

TEST_F(AdmissionTest, RemovedNode_NeedsAnotherUse) {
  const Token token = ring_.token(AccessRole::node, 1);
  const JoinRequest request = node_request(fresh_key(), token, uuid_of(2));
  ASSERT_TRUE(ring_.admit(request));
  ring_.set_state(uuid_of(2), MemberState::removed);
  expect_refused(request, ErrorCode::access_denied, "as often as");
  EXPECT_EQ(ring_.table().find(uuid_of(2))->state, MemberState::removed);
}

TEST_F(AdmissionTest, LeavingNode_IsBusy) {
  const Token token = ring_.token(AccessRole::node, 2);
  const JoinRequest request = node_request(fresh_key(), token, uuid_of(2));
  ASSERT_TRUE(ring_.admit(request));
  ring_.set_state(uuid_of(2), MemberState::leaving);
  expect_refused(request, ErrorCode::busy, "is being removed");
  EXPECT_EQ(uses_left(), 1U);
}

TEST_F(AdmissionTest, FullListOfClients_ForgetsARevokedOne) {
  for (std::size_t end : {max_clients / 2, max_clients}) {  // more than a batch has
    ring_.edit([end](MembersTable& table) -> Status {
      for (std::size_t i = table.clients.size(); i < end; ++i) {
        Client client;
        client.name = "c" + std::to_string(10'000 + i);
        client.key[0] = 1;
        client.revoked = i == 7;
        table.clients.push_back(client);
      }
      return {};
    });
  }
  const Token token = ring_.token(AccessRole::reader, 3);
  ASSERT_TRUE(ring_.admit(client_request(fresh_key(), token, "laptop")));
  EXPECT_EQ(ring_.table().clients.size(), max_clients);
  EXPECT_EQ(ring_.table().find_client("c10007"), nullptr);
  EXPECT_NE(ring_.table().find_client("laptop"), nullptr);
  expect_refused(client_request(fresh_key(), token, "phone"), ErrorCode::out_of_range, "4096 clients");
  EXPECT_EQ(uses_left(), 2U);
}

// ---- At once -------------------------------------------------------------------------------------------------------

TEST_F(AdmissionTest, TwoForOneUse_HaveOneWinner) {
  const Token token = ring_.token(AccessRole::reader);
  MemoryObjectStore second_store(ring_.time, ring_.rows, 2);
  Admission second(
      second_store, [this] { return ring_.now; }, ring_.ring);
  const JoinRequest one = client_request(fresh_key(), token, "one"), two = client_request(fresh_key(), token, "two");
  Begun<Result<JoinAnswer>> left = ring_.time.begin(ring_.admission.admit(one, std::nullopt, ring_.limit()));
  Begun<Result<JoinAnswer>> right = ring_.time.begin(second.admit(two, std::nullopt, ring_.limit()));
  ring_.time.run_until_idle();
  ASSERT_TRUE(left.ended() && right.ended());
  ASSERT_NE(left.result().has_value(), right.result().has_value());
  const Error& refusal = left.result() ? right.result().error() : left.result().error();
  EXPECT_NE(refusal.context.find("as often as"), std::string::npos) << refusal.text();
  EXPECT_EQ(ring_.table().clients.size(), 1U);
  EXPECT_EQ(uses_left(), 0U);
  EXPECT_TRUE(ring_.is_clean());
}

TEST_F(AdmissionTest, ManyAtOnce_AreAllAdmitted) {
  const Token token = ring_.token(AccessRole::node, 8);
  ring_.store.set_latency(std::chrono::milliseconds(1));
  std::vector<Begun<Result<JoinAnswer>>> begun;
  for (std::uint8_t i = 1; i <= 6; ++i) {
    begun.push_back(ring_.time.begin(
        ring_.admission.admit(node_request(fresh_key(), token, uuid_of(i)), std::nullopt, ring_.limit())));
  }
  ring_.time.run_until_idle();
  for (const auto& one : begun) {
    ASSERT_TRUE(one.ended());
    EXPECT_TRUE(one.result()) << one.result().error().text();
  }
  EXPECT_EQ(ring_.table().members.size(), 7U);
  EXPECT_EQ(uses_left(), 2U);
  EXPECT_TRUE(ring_.is_clean());
}

// ---- Members of a ring that was made without an authority
// ------------------------------------------------------------

class EnrolTest : public AdmissionTest {
 protected:
  Result<JoinAnswer> enrol(const PrivateKey& key, const Uuid& node) {
    JoinRequest request = node_request(key, {}, node);
    return ring_.run(ring_.admission.enrol(request, ring_.limit()));
  }
  const Uuid member = uuid_of(100);  // of TrustedRing
};

TEST_F(EnrolTest, Member_GetsACertificateAndItsKeyIsInTheTable) {
  const PrivateKey key = fresh_key();
  const MembersTable before = ring_.table();
  ASSERT_EQ(before.find(member)->key, std::nullopt);
  const Result<JoinAnswer> answer = enrol(key, member);
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->ring, ring_.ring);
  EXPECT_EQ(
      verify(certificate_of(answer), {}, {ring_.authority.certificate}, {.ring = ring_.ring, .now = start}).value(),
      node_identity(ring_.ring, member));
  MembersTable expected = before;
  ++expected.version;
  expected.members.front().key = key.public_hash();
  EXPECT_EQ(ring_.table(), expected) << "its address changes when it announces it";
}

TEST_F(EnrolTest, SameKeyAgain_ChangesNothing_AndAnotherOneTakesItsPlace) {
  const PrivateKey key = fresh_key(), other = fresh_key();
  ASSERT_TRUE(enrol(key, member));
  const MembersTable once = ring_.table();
  EXPECT_TRUE(enrol(key, member));
  EXPECT_EQ(ring_.table(), once);
  EXPECT_TRUE(enrol(other, member));
  EXPECT_EQ(ring_.table().find(member)->key, other.public_hash());
}

TEST_F(EnrolTest, WhoIsNoMember_IsRefused) {
  ring_.set_state(member, MemberState::removed);
  expect_refused(enrol(fresh_key(), member), ErrorCode::removed, "was removed");
  expect_refused(enrol(fresh_key(), uuid_of(7)), ErrorCode::not_found, "is not a member");
}

TEST(EnrolWithoutAuthority, IsNotSupported_AndLeavesTheTableAlone) {
  TrustedRing ring(start);
  const MembersTable before = ring.table();
  JoinRequest request = node_request(fresh_key(), {}, uuid_of(100));
  const Result<JoinAnswer> answer = ring.run(ring.admission.enrol(request, ring.limit()));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::not_supported);
  EXPECT_EQ(ring.table(), before);
}

TEST_F(AdmissionTest, RingWithoutQuorum_IsUnavailable) {
  const Token token = ring_.token(AccessRole::reader);
  const JoinRequest request = client_request(fresh_key(), token, "laptop");
  for (ErrorCode code : {ErrorCode::timeout, ErrorCode::unreachable}) {
    ring_.store.fail_reads(1, code);
    expect_refused(ring_.admit(request), ErrorCode::unavailable, "no quorum");
    ring_.store.fail_reads(0, code);
    ring_.store.fail_commits(1, code);
    expect_refused(ring_.admit(request), ErrorCode::unavailable, "no quorum");
    ring_.store.fail_commits(0, code);
  }
  ring_.time.advance(std::chrono::seconds(30));
  EXPECT_TRUE(ring_.admit(request));
}

// ---- Renewals ------------------------------------------------------------------------------------------------------

class RenewalTest : public AdmissionTest {
 protected:
  void SetUp() override {
    AdmissionTest::SetUp();
    client_ = certificate_of(ring_.admit(client_request(client_key_, ring_.token(AccessRole::writer), "laptop")));
    node_ = certificate_of(ring_.admit(node_request(node_key_, ring_.token(AccessRole::node), uuid_of(2))));
  }
  Result<JoinAnswer> renew_client() {
    return ring_.admit(client_request(client_key_, std::nullopt, "laptop"), client_);
  }
  Result<JoinAnswer> renew_node() { return ring_.admit(node_request(node_key_, std::nullopt, uuid_of(2)), node_); }

  const PrivateKey client_key_ = fresh_key(), node_key_ = fresh_key();
  std::optional<Certificate> client_, node_;
};

TEST_F(RenewalTest, OfMembersAndClients_SignsTheSameKeyAnewAndChangesNothing) {
  const MembersTable table = ring_.table();
  ring_.now = start + 60 * day;
  for (const Result<JoinAnswer>& answer : {renew_client(), renew_node()}) {
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(certificate_of(answer).not_after(), ring_.now + certificate_life);
    EXPECT_EQ(certificate_of(answer).not_before(), ring_.now + -backdating);
  }
  EXPECT_EQ(certificate_of(renew_client()).key_hash(), client_key_.public_hash());
  EXPECT_EQ(certificate_of(renew_node()).key_hash(), node_key_.public_hash());
  EXPECT_EQ(renew_client()->role, AccessRole::writer);
  EXPECT_EQ(renew_node()->role, AccessRole::node);
  EXPECT_EQ(ring_.table(), table);
}

TEST_F(RenewalTest, AfterTheEnd_NodesAlwaysAndClientsForAYear) {
  ring_.now = start + certificate_life + 364 * day;
  EXPECT_TRUE(renew_client());
  EXPECT_TRUE(renew_node());
  ring_.now = start + certificate_life + 366 * day;
  expect_refused(renew_client(), ErrorCode::access_denied, "needs a new token");
  EXPECT_TRUE(renew_node()) << "as long as it is a member";
}

TEST_F(RenewalTest, AfterARotation_TheNewAuthoritySigns) {
  ASSERT_TRUE(ring_.run(ring_.admin.begin_rotation(ring_.ring, ring_.limit())));
  const Result<JoinAnswer> answer = renew_node();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->authorities.size(), 2U) << "both are trusted";
  EXPECT_FALSE(verify(certificate_of(answer), {}, {ring_.authority.certificate}, {.ring = ring_.ring, .now = start}));
  ASSERT_TRUE(ring_.run(ring_.admin.finish_rotation(true, ring_.limit())));
  const Result<JoinAnswer> last = renew_client();
  ASSERT_TRUE(last) << "its key is still in the table";
  EXPECT_EQ(last->authorities.size(), 1U);
}

TEST_F(RenewalTest, WhoIsNoLongerIn_IsRefused) {
  ASSERT_TRUE(ring_.run(ring_.admin.revoke_client("laptop", ring_.limit())));
  expect_refused(renew_client(), ErrorCode::access_denied, "client laptop was revoked");
  for (MemberState state : {MemberState::up, MemberState::leaving, MemberState::dead}) {
    ring_.set_state(uuid_of(2), state);
    EXPECT_TRUE(renew_node()) << to_string(state);
  }
  ring_.set_state(uuid_of(2), MemberState::removed);
  expect_refused(renew_node(), ErrorCode::access_denied, "was removed from the ring");
}

TEST_F(RenewalTest, OfAnotherOne_IsRefused) {
  const JoinRequest client = client_request(client_key_, std::nullopt, "laptop");
  expect_refused(ring_.admit(client, node_), ErrorCode::access_denied, "is not that of client laptop");
  expect_refused(ring_.admit(client_request(client_key_, std::nullopt, "phone"), client_), ErrorCode::access_denied,
                 "is not that of client phone");
  expect_refused(ring_.admit(client_request(fresh_key(), std::nullopt, "laptop"), client_), ErrorCode::access_denied,
                 "for the key that it has");
  expect_refused(ring_.admit(node_request(node_key_, std::nullopt, uuid_of(3)), node_), ErrorCode::access_denied,
                 "is not that of node");
  // Of another ring whose authority it may be by accident.
  const Certificate foreign = issue(ring_.authority, client.request,
                                    {.identity = client_identity(uuid_of(9), "laptop"), .names = {}, .now = start})
                                  .value();
  expect_refused(ring_.admit(client, foreign), ErrorCode::access_denied, "is not that of client laptop");
}

TEST_F(RenewalTest, OfAKeyThatTheTableDoesNotHave_IsRefused) {
  const PrivateKey other = fresh_key();
  auto certificate = [&](const Identity& identity) {
    return issue(ring_.authority, make_request(other).value(), {.identity = identity, .names = {}, .now = start})
        .value();
  };
  expect_refused(
      ring_.admit(client_request(other, std::nullopt, "laptop"), certificate(client_identity(ring_.ring, "laptop"))),
      ErrorCode::access_denied, "no such key of client laptop");
  expect_refused(
      ring_.admit(client_request(other, std::nullopt, "phone"), certificate(client_identity(ring_.ring, "phone"))),
      ErrorCode::access_denied, "no such key of client phone");
  expect_refused(
      ring_.admit(node_request(other, std::nullopt, uuid_of(2)), certificate(node_identity(ring_.ring, uuid_of(2)))),
      ErrorCode::access_denied, "no such key of node");
}

}  // namespace
}  // namespace ringfs::dht
