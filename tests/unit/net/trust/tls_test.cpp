// TLS connections between two strings: who is let in, and in which words the others are refused.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "dht/net/trust/tls_engine.hpp"

namespace ringfs::dht {
namespace {

using State = TlsEngine::Step::State;

constexpr Stamp now{1'790'000'000'000'000};

Uuid some_uuid(std::uint8_t last) {
  Uuid uuid;
  uuid.bytes[0] = 1;
  uuid.bytes[15] = last;
  return uuid;
}

class Tls : public testing::Test {
 protected:
  const Uuid ring = some_uuid(1);
  const Authority authority = make_authority(ring, now).value();

  Credentials credentials(const Identity& identity, const Authority& signer) const {
    PrivateKey key = PrivateKey::generate().value();
    Certificate own = issue(signer, make_request(key).value(), {.identity = identity, .names = {}, .now = now}).value();
    return {.key = std::move(key), .chain = {own, signer.certificate}};
  }
  std::shared_ptr<const TlsContext> context(const std::optional<Credentials>& shown,
                                            const std::string& protocol = "ringfs/1") const {
    return TlsContext::make(shown, protocol).value();
  }
  TlsEngine::Check check() const {
    return [this](const Certificate& leaf, const std::vector<Certificate>& chain) -> Status {
      auto identity = verify(leaf, chain, {authority.certificate}, {.ring = ring, .now = now});
      if (!identity) return fail(ErrorCode::access_denied, std::string(to_string(identity.error())));
      return {};
    };
  }
  Identity node(std::uint8_t number) const { return node_identity(ring, some_uuid(number)); }

  // Lets both go on until neither has anything more to say.
  static void exchange(TlsEngine& left, TlsEngine& right) {
    for (int i = 0; i < 10; ++i) {
      left.handshake();
      right.received(std::exchange(left.outgoing(), {}));
      right.handshake();
      left.received(std::exchange(right.outgoing(), {}));
    }
  }
  static std::string read_all(TlsEngine& engine) {
    std::string all;
    std::string piece(10'000, '\0');
    for (;;) {
      TlsEngine::Step step = engine.read(piece.data(), piece.size());
      if (step.state != State::done) return all;
      all.append(piece, 0, step.bytes);
    }
  }
};

TEST_F(Tls, TwoNodes_KnowEachOtherAndBytesGoBothWays) {
  TlsEngine client(context(credentials(node(2), authority)), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  exchange(client, server);
  ASSERT_TRUE(client.established() && server.established());
  EXPECT_EQ(server.peer()->identity(), node(2));
  EXPECT_EQ(client.peer()->identity(), node(3));
  EXPECT_FALSE(server.refusal());
  const std::string question(200'000, 'q');
  for (std::string_view rest = question; !rest.empty();) {
    TlsEngine::Step step = client.write(rest);
    ASSERT_EQ(step.state, State::done);
    rest.remove_prefix(step.bytes);
  }
  EXPECT_EQ(client.outgoing().find("qqqq"), std::string::npos);
  server.received(std::exchange(client.outgoing(), {}));
  EXPECT_EQ(read_all(server), question);
  ASSERT_EQ(server.write("answer").state, State::done);
  client.received(std::exchange(server.outgoing(), {}));
  EXPECT_EQ(read_all(client), "answer");
  server.close();
  client.received(std::exchange(server.outgoing(), {}));
  char byte = 0;
  EXPECT_EQ(client.read(&byte, 1).state, State::closed);
}

TEST_F(Tls, ByteByByte_Works) {
  TlsEngine client(context(credentials(node(2), authority)), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  for (int round = 0; round < 10 && !(client.established() && server.established()); ++round) {
    client.handshake();
    for (char byte : std::exchange(client.outgoing(), {})) {
      server.received({&byte, 1});
      server.handshake();
    }
    for (char byte : std::exchange(server.outgoing(), {})) {
      client.received({&byte, 1});
      client.handshake();
    }
  }
  EXPECT_TRUE(client.established() && server.established());
}

TEST_F(Tls, ClientWithoutCertificate_IsEstablishedAndKnownAsNobody) {
  TlsEngine client(context({}), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  exchange(client, server);
  ASSERT_TRUE(client.established() && server.established());
  EXPECT_FALSE(server.peer());
}

TEST_F(Tls, ClientOfAnotherAuthority_IsTold) {
  const Authority other = make_authority(ring, now).value();
  TlsEngine client(context(credentials(node(2), other)), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  exchange(client, server);
  ASSERT_TRUE(server.established()) << "so that it can say why";
  ASSERT_TRUE(server.refusal());
  EXPECT_EQ(server.refusal()->context, to_string(Refusal::foreign_authority));
}

TEST_F(Tls, ServerOfAnotherAuthority_LearnsNothingOfTheClient) {
  const Authority other = make_authority(ring, now).value();
  TlsEngine client(context(credentials(node(2), authority)), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), other)), TlsEngine::Side::server, check());
  exchange(client, server);
  EXPECT_FALSE(client.established());
  EXPECT_EQ(client.handshake().state, State::failed);
  EXPECT_EQ(client.failure().context, to_string(Refusal::foreign_authority));
  EXPECT_FALSE(server.peer());
  EXPECT_EQ(server.handshake().state, State::failed);
}

TEST_F(Tls, OtherProtocolInside_IsRefused) {
  TlsEngine client(context(credentials(node(2), authority), "http/1.1"), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  exchange(client, server);
  EXPECT_EQ(server.handshake().state, State::failed);
  EXPECT_EQ(client.handshake().state, State::failed);
  EXPECT_EQ(client.failure().code, ErrorCode::version_mismatch);
}

TEST_F(Tls, OlderVersions_AreRefused) {
  std::shared_ptr<const TlsContext> old = context(credentials(node(2), authority));
  SSL_CTX_set_min_proto_version(old->get(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(old->get(), TLS1_2_VERSION);
  TlsEngine client(old, TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  exchange(client, server);
  EXPECT_EQ(server.handshake().state, State::failed);
  EXPECT_EQ(server.failure().context, "the other end speaks an older TLS than 1.3");
}

TEST_F(Tls, PlainText_IsRefusedInWords) {
  for (const char* text : {"RNG1\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
    server.received({text, 24});
    EXPECT_EQ(server.handshake().state, State::failed);
    EXPECT_EQ(server.failure().code, ErrorCode::version_mismatch) << server.failure().text();
  }
  TlsEngine client(context({}), TlsEngine::Side::client, check());
  client.handshake();
  client.received({"RNG1\1\5\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24});
  EXPECT_EQ(client.handshake().state, State::failed);
  EXPECT_EQ(client.failure().context, "the other end does not speak TLS");
}

TEST_F(Tls, ChangedRecord_EndsTheConnection) {
  TlsEngine client(context(credentials(node(2), authority)), TlsEngine::Side::client, check());
  TlsEngine server(context(credentials(node(3), authority)), TlsEngine::Side::server, check());
  exchange(client, server);
  ASSERT_EQ(client.write("words").state, State::done);
  std::string bytes = std::exchange(client.outgoing(), {});
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  server.received(bytes);
  std::string into(100, '\0');
  EXPECT_EQ(server.read(into.data(), into.size()).state, State::failed);
  EXPECT_EQ(server.failure().code, ErrorCode::corrupt);
}

TEST_F(Tls, KeyOfAnotherCertificate_MakesNoContext) {
  Credentials mixed = credentials(node(2), authority);
  mixed.key = PrivateKey::generate().value();
  EXPECT_FALSE(TlsContext::make(mixed, ""));
}

}  // namespace
}  // namespace ringfs::dht
