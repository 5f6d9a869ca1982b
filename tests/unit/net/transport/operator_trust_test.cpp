// Certificates of an operator's own authority: what is taken, and in which words everything else is refused.
#include "dht/net/transport/operator_trust.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "dht/net/transport/system_clock.hpp"
#include "tests/support/scratch_directory.hpp"

namespace ringfs::dht {
namespace {

constexpr Duration day = std::chrono::hours(24);

Uuid uuid_of(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes[15] = number;
  return uuid;
}

class OperatorFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    write(files.authorities, authority.certificate.pem());
    write_key(key);
    write_certificate(node_identity(ring, node));
  }

  static void write(const std::string& file, const std::string& text) {
    std::ofstream(file, std::ios::trunc) << text;
    ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  }
  void write_key(const PrivateKey& one) { write(files.key, one.pem()); }
  void write_certificate(const Identity& identity) { write_certificate(identity, authority, wall_time()); }
  void write_certificate(const Identity& identity, const Authority& signer, Stamp issued) {
    write(files.certificate,
          issue(signer, make_request(key).value(), {.identity = identity, .names = {}, .now = issued, .life = 10 * day})
              .value()
              .pem());
  }
  void expect_refused(ErrorCode code, const std::vector<std::string>& words) {
    const Result<StoredCredentials> loaded = load_operator_files(files, expected, wall_time());
    ASSERT_FALSE(loaded) << words.front();
    EXPECT_EQ(loaded.error().code, code) << loaded.error().text();
    for (const std::string& word : words)
      EXPECT_NE(loaded.error().context.find(word), std::string::npos) << word << " in: " << loaded.error().context;
  }

  ScratchDirectory scratch{"operator"};
  const Uuid ring = uuid_of(1), node = uuid_of(2);
  const Authority authority = make_authority(ring, wall_time()).value();
  const PrivateKey key = PrivateKey::generate().value();
  OperatorFiles files{.authorities = (scratch / "ca.pem").string(),
                      .certificate = (scratch / "node.pem").string(),
                      .key = (scratch / "node.key").string()};
  ExpectedHolder expected{.kind = Identity::Kind::node, .ring = ring, .node = node};
};

TEST_F(OperatorFilesTest, Good_AreTaken) {
  const Result<StoredCredentials> loaded = load_operator_files(files, expected, wall_time());
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(loaded->identity, node_identity(ring, node));
  EXPECT_EQ(loaded->own.key.public_hash(), key.public_hash());
  EXPECT_EQ(loaded->authorities.size(), 1U);
}

TEST_F(OperatorFilesTest, KeyThatDoesNotFit_IsNamed) {
  write_key(PrivateKey::generate().value());
  expect_refused(ErrorCode::invalid_argument, {files.certificate, "its key is not the one in " + files.key});
}

TEST_F(OperatorFilesTest, KeyThatOthersRead_IsRefused) {
  ASSERT_EQ(::chmod(files.key.c_str(), 0640), 0);
  expect_refused(ErrorCode::access_denied, {files.key, "other users may read this key"});
}

TEST_F(OperatorFilesTest, MissingFiles_AreNamed) {
  const OperatorFiles all = files;
  for (std::string OperatorFiles::*file :
       {&OperatorFiles::authorities, &OperatorFiles::certificate, &OperatorFiles::key}) {
    files = all;
    files.*file += ".missing";
    expect_refused(ErrorCode::not_found, {files.*file, "no such file"});
  }
}

TEST_F(OperatorFilesTest, WhatIsNoPem_IsNamed) {
  const OperatorFiles all = files;
  for (std::string OperatorFiles::*file :
       {&OperatorFiles::authorities, &OperatorFiles::certificate, &OperatorFiles::key}) {
    files = all;
    files.*file += ".other";
    write(files.*file, "nonsense");
    expect_refused(ErrorCode::corrupt, {files.*file});
  }
}

TEST_F(OperatorFilesTest, CertificateOfSomebodyElse_IsRefusedWithTheUriThatItNeeds) {
  const std::string uri = node_identity(ring, node).uri();
  write_certificate(node_identity(uuid_of(9), node));
  expect_refused(ErrorCode::invalid_argument, {"it is for the ring " + uuid_of(9).text(), uri});
  write_certificate(node_identity(ring, uuid_of(9)));
  expect_refused(ErrorCode::invalid_argument, {"it is for the node " + uuid_of(9).text(), uri});
  write_certificate(client_identity(ring, "laptop"));
  expect_refused(ErrorCode::invalid_argument, {client_identity(ring, "laptop").uri(), uri});
}

TEST_F(OperatorFilesTest, CertificateWithoutUri_IsRefusedWithTheUriThatItNeeds) {
  // An authority has none.
  write_key(authority.key);
  write(files.certificate, authority.certificate.pem());
  expect_refused(ErrorCode::invalid_argument, {"it has no URI of RingFS", node_identity(ring, node).uri()});
}

TEST_F(OperatorFilesTest, Times_AreEnforced) {
  write_certificate(node_identity(ring, node), authority, wall_time() + -12 * day);
  expect_refused(ErrorCode::invalid_argument, {files.certificate, "it expired at 20"});
  write_certificate(node_identity(ring, node), authority, wall_time() + 3 * day);
  expect_refused(ErrorCode::invalid_argument, {files.certificate, "it is not valid before 20", "clock"});
}

TEST_F(OperatorFilesTest, OtherAuthority_IsNamed) {
  write_certificate(node_identity(ring, node), make_authority(ring, wall_time()).value(), wall_time());
  expect_refused(ErrorCode::invalid_argument, {files.certificate, "no authority in " + files.authorities});
}

TEST_F(OperatorFilesTest, SomeButNotAll_AreRefused) {
  EXPECT_TRUE(files.check("--tls-"));
  EXPECT_TRUE(OperatorFiles().check("--tls-"));
  files.key.clear();
  const Status checked = files.check("--tls-");
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().context.find("--tls-key"), std::string::npos);
}

TEST_F(OperatorFilesTest, ReplacedFiles_AreTakenUp_AndBadOnesAreNot) {
  Result<OperatorTrust> trust = OperatorTrust::make(files, expected);
  ASSERT_TRUE(trust) << trust.error().text();
  const std::shared_ptr<const TlsContext> first = trust->trust()->context();
  trust->look();
  EXPECT_EQ(trust->trust()->context(), first) << "nothing has changed";
  write_certificate(node_identity(ring, uuid_of(9)));
  trust->look();
  EXPECT_EQ(trust->trust()->context(), first) << "it is of another node";
  write_certificate(node_identity(ring, node));
  trust->look();
  EXPECT_NE(trust->trust()->context(), first);
  EXPECT_FALSE(trust->trust()->renewal_is_due()) << "the operator renews";
}

// ---- Whom its holders take
// -------------------------------------------------------------------------------------------

class OperatorsRing : public OperatorFilesTest {
 protected:
  void SetUp() override {
    OperatorFilesTest::SetUp();
    trust = OperatorTrust::make(files, expected).value().trust();
    trust->set_clock([this] { return now; });
    trust->set_table([this] { return has_table ? &table : nullptr; });
    table.clients = {{.name = "in", .role = AccessRole::writer, .key = {}, .revoked = false},
                     {.name = "out", .role = AccessRole::writer, .key = {}, .revoked = true}};
    Member removed;
    removed.id = uuid_of(7);
    removed.state = MemberState::removed;
    table.members = {removed};
  }

  Certificate certificate_of(const Identity& identity, const Authority* signer = nullptr) {
    return issue(signer == nullptr ? authority : *signer, make_request(PrivateKey::generate().value()).value(),
                 {.identity = identity, .names = {}, .now = wall_time(), .life = 10 * day})
        .value();
  }
  tl::expected<KnownPeer, Denial> known(const Identity& identity, const Authority* signer = nullptr) {
    return trust->known(certificate_of(identity, signer), {});
  }
  void expect_unknown(const tl::expected<KnownPeer, Denial>& peer, const std::string& words) {
    ASSERT_FALSE(peer) << words;
    EXPECT_NE(peer.error().context.find(words), std::string::npos) << peer.error().text();
  }

  std::shared_ptr<RingTrust> trust;
  MembersTable table;
  bool has_table = true;
  Stamp now = wall_time();
};

TEST_F(OperatorsRing, Nodes_AreTakenByTheSignature_UnlessTheyWereRemoved) {
  const auto newcomer = known(node_identity(ring, uuid_of(5)));
  ASSERT_TRUE(newcomer) << newcomer.error().text();
  EXPECT_EQ(newcomer->role, AccessRole::node);
  expect_unknown(known(node_identity(ring, uuid_of(7))), "was removed");
  expect_unknown(known(node_identity(uuid_of(9), uuid_of(5))), "another ring");
  const Authority other = make_authority(ring, wall_time()).value();
  expect_unknown(known(node_identity(ring, uuid_of(5)), &other), "another authority");
  EXPECT_TRUE(trust->check_node(certificate_of(node_identity(ring, uuid_of(5))), {}));
  EXPECT_FALSE(trust->check_node(certificate_of(node_identity(ring, uuid_of(7))), {}));
  EXPECT_FALSE(trust->check_node(certificate_of(client_identity(ring, "in")), {})) << "a client is no node";
}

TEST_F(OperatorsRing, Clients_HaveTheRoleOfTheTable_AndUnknownNamesNone) {
  EXPECT_EQ(known(client_identity(ring, "in"))->role, AccessRole::writer);
  expect_unknown(known(client_identity(ring, "out")), "was revoked");
  expect_unknown(known(client_identity(ring, "nobody")), "is not known to this ring");
  has_table = false;
  expect_unknown(known(client_identity(ring, "in")), "does not know the ring's clients yet");
  EXPECT_TRUE(known(node_identity(ring, uuid_of(5)))) << "it waits to be told of its ring by a node";
}

TEST_F(OperatorsRing, Expiry_CountsForEverybody_AndOnOpenConnections) {
  const Certificate member = certificate_of(node_identity(ring, uuid_of(5)));
  EXPECT_FALSE(trust->has_ended(member));
  now = now + 11 * day;
  EXPECT_TRUE(trust->has_ended(member));
  expect_unknown(trust->known(member, {}), "has expired");
  expect_unknown(known(client_identity(ring, "in")), "has expired");
}

}  // namespace
}  // namespace ringfs::dht
