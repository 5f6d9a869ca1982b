// Newcomers and holders of certificates against servers over TLS on loopback.
#include "dht/net/transport/join_ring.hpp"

#include <gtest/gtest.h>

#include "dht/net/sockets/listener.hpp"
#include "dht/net/transport/frame_connection.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/transport/tls_stream.hpp"
#include "tests/unit/net/client/trusted_ring.hpp"

namespace ringfs::dht {
namespace {

using Handler = std::function<Result<JoinAnswer>(const JoinRequest&, const std::optional<Certificate>&)>;

// Answers one join frame a connection, as a node does.
class JoinServer {
 public:
  JoinServer(boost::asio::io_context& loop, std::optional<Credentials> credentials, Handler handler)
      : loop_(loop),
        flusher_(loop.get_executor()),
        context_(TlsContext::make(credentials, rpc_tls_protocol).value()),
        handler_(std::move(handler)),
        listener_(listen_on(loop, "127.0.0.1:0", true).value()) {
    accept();
  }
  ~JoinServer() {
    for (auto& session : sessions_) session->connection->close();
  }

  const std::string& address() const { return listener_.address; }
  bool plain = false;                  // speaks without TLS
  std::optional<std::string> instead;  // of an answer: these bytes
  std::vector<JoinRequest> requests;
  bool silent = false;

 private:
  struct Session : FrameConnection::Owner {
    explicit Session(JoinServer& owner) : server(owner) {}
    void frame_received(FrameConnection&, ReceivedFrame frame) override { server.answer(*this, frame); }
    void connection_closed(FrameConnection&, const Error&) override {}
    JoinServer& server;
    TlsStream* stream = nullptr;
    std::shared_ptr<FrameConnection> connection;
  };

  void accept() {
    listener_.acceptor.async_accept([this](boost::system::error_code error, boost::asio::ip::tcp::socket socket) {
      if (error) return;
      begin(Socket(std::move(socket)));
      accept();
    });
  }

  void begin(Socket socket) {
    sessions_.push_back(std::make_unique<Session>(*this));
    Session& session = *sessions_.back();
    std::unique_ptr<Stream> stream;
    if (plain) {
      stream = make_plain_stream(std::move(socket));
    } else {
      auto taken = [](const Certificate&, const std::vector<Certificate>&) -> Status { return {}; };
      auto engine = std::make_unique<TlsEngine>(context_, TlsEngine::Side::server, taken);
      auto tls = std::make_unique<TlsStream>(std::move(socket), std::move(engine));
      session.stream = tls.get();
      stream = std::move(tls);
    }
    session.connection = std::make_shared<FrameConnection>(std::move(stream), session, flusher_);
    session.connection->start();
  }

  void answer(Session& session, const ReceivedFrame& frame) {
    EXPECT_EQ(frame.header.kind, FrameKind::join);
    Result<JoinRequest> request = decode_join_request(frame);
    ASSERT_TRUE(request) << request.error().text();
    requests.push_back(*request);
    if (silent) return;
    if (instead) {
      session.connection->send(FrameKind::join_answer, 0, {.message = *instead, .payload = {}});
      return;
    }
    Result<JoinAnswer> given = handler_(*request, session.stream->tls()->peer());
    if (given) {
      session.connection->send(FrameKind::join_answer, 0, encode(*given));
    } else {
      session.connection->send(FrameKind::error, 0, encode(given.error()));
    }
    session.connection->close_after_flush();
  }

  boost::asio::io_context& loop_;
  Flusher flusher_;
  std::shared_ptr<const TlsContext> context_;
  Handler handler_;
  Listener listener_;
  std::vector<std::unique_ptr<Session>> sessions_;
};

class JoinRingTest : public testing::Test {
 protected:
  JoinRingTest() { ring_.found(); }

  Credentials credentials(const Identity& identity, const Authority& signer, Stamp at) const {
    PrivateKey key = PrivateKey::generate().value();
    Certificate own = issue(signer, make_request(key).value(), {.identity = identity, .names = {}, .now = at}).value();
    return {.key = std::move(key), .chain = {own, signer.certificate}};
  }
  Credentials of_node() const {
    return credentials(node_identity(ring_.ring, uuid_of(100)), ring_.authority, ring_.now);
  }
  // A server that lets in whom the ring lets in.
  Handler by_the_ring() {
    return [this](const JoinRequest& request, const std::optional<Certificate>& shown) {
      return ring_.admit(request, shown);
    };
  }
  JoinServer& serve(std::optional<Credentials> shown, Handler handler) {
    servers_.push_back(std::make_unique<JoinServer>(loop_, std::move(shown), std::move(handler)));
    return *servers_.back();
  }
  JoinServer& serve() { return serve(of_node(), by_the_ring()); }
  Handler refusing(Error why) {
    return [why](const JoinRequest&, const std::optional<Certificate>&) -> Result<JoinAnswer> {
      return tl::unexpected(why);
    };
  }

  JoinOrder order(std::vector<std::string> addresses, const Token& token) const {
    return {.addresses = std::move(addresses),
            .token = token,
            .kind = Identity::Kind::client,
            .node = {},
            .name = "laptop",
            .key = key_,
            .address = {},
            .rest_address = {}};
  }
  Result<JoinAnswer> run(Task<Result<JoinAnswer>> task) {
    std::optional<Result<JoinAnswer>> result;
    boost::asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr failure, Result<JoinAnswer> value) {
      RINGFS_CHECK(failure == nullptr);
      result = std::move(value);
    });
    const TimePoint end = boot_time() + std::chrono::seconds(30);
    while (!result && boot_time() < end) {
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(20));
    }
    RINGFS_CHECK(result.has_value());
    return *result;
  }
  Result<JoinAnswer> join(JoinOrder wanted, Duration limit = std::chrono::seconds(20)) {
    return run(join_ring(loop_.get_executor(), std::move(wanted), boot_time() + limit));
  }
  void expect_failure(const Result<JoinAnswer>& answer, ErrorCode code, const std::string& words) {
    ASSERT_FALSE(answer) << words;
    EXPECT_EQ(answer.error().code, code) << answer.error().text();
    EXPECT_NE(answer.error().context.find(words), std::string::npos) << answer.error().text();
  }

  boost::asio::io_context loop_;
  TrustedRing ring_{wall_time()};
  const PrivateKey key_ = PrivateKey::generate().value();
  std::vector<std::unique_ptr<JoinServer>> servers_;
};

TEST_F(JoinRingTest, Newcomer_GetsCredentialsAndRenewsThem) {
  JoinServer& server = serve();
  Result<JoinAnswer> answer = join(order({server.address()}, ring_.token(AccessRole::writer)));
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->role, AccessRole::writer);
  const Identity identity = client_identity(ring_.ring, "laptop");
  Result<StoredCredentials> stored = credentials_of(*answer, key_, identity);
  ASSERT_TRUE(stored) << stored.error().text();
  EXPECT_EQ(stored->own.chain.size(), 2U);
  EXPECT_EQ(stored->own.chain[0].identity(), identity);

  const RenewalOrder renewal{
      .addresses = {server.address()}, .credentials = *stored, .address = {}, .rest_address = {}};
  Result<JoinAnswer> renewed = run(renew(loop_.get_executor(), renewal, boot_time() + std::chrono::seconds(20)));
  ASSERT_TRUE(renewed) << renewed.error().text();
  EXPECT_TRUE(credentials_of(*renewed, key_, identity));
  EXPECT_TRUE(server.requests.back().secret.empty());
}

TEST_F(JoinRingTest, Node_JoinsAndItsChainLetsOthersCheckIt) {
  JoinServer& server = serve();
  JoinOrder wanted = order({server.address()}, ring_.token(AccessRole::node, 2));
  wanted.kind = Identity::Kind::node;
  wanted.node = uuid_of(2);
  wanted.name.clear();
  wanted.address = wanted.rest_address = "10.0.0.2:4001";
  Result<JoinAnswer> answer = join(wanted);
  ASSERT_TRUE(answer) << answer.error().text();
  ASSERT_NE(ring_.table().find(uuid_of(2)), nullptr);
  // The next one joins at the node that has just joined.
  Result<StoredCredentials> stored = credentials_of(*answer, key_, node_identity(ring_.ring, uuid_of(2)));
  ASSERT_TRUE(stored) << stored.error().text();
  JoinServer& second = serve(stored->own, by_the_ring());
  EXPECT_TRUE(join(order({second.address()}, ring_.token(AccessRole::reader))));
}

TEST_F(JoinRingTest, Refusals_AreToldWithTheAddress) {
  JoinServer& server = serve();
  const Token unknown = make_token(ring_.authority.certificate.key_hash()).value();
  JoinServer& other = serve();
  expect_failure(join(order({server.address(), other.address()}, unknown)), ErrorCode::access_denied,
                 server.address() + ": the ring does not know this token");
  EXPECT_TRUE(other.requests.empty()) << "it would say the same";
}

TEST_F(JoinRingTest, ServerOfAnotherRing_NeverSeesTheSecret) {
  const Authority strange = make_authority(ring_.ring, ring_.now).value();
  const Token token = ring_.token(AccessRole::reader);
  const Identity node = node_identity(ring_.ring, uuid_of(100));
  Credentials without_chain = of_node();
  without_chain.chain.pop_back();
  // A chain that only claims the pinned authority: another one signed the certificate.
  Credentials claims = credentials(node, strange, ring_.now);
  claims.chain[1] = ring_.authority.certificate;
  struct Case {
    Credentials shown;
    ErrorCode code;
    std::string words;
  };
  const std::vector<Case> cases{
      {credentials(node, strange, ring_.now), ErrorCode::foreign_ring, "another ring than the token"},
      {without_chain, ErrorCode::foreign_ring, "another ring than the token"},
      {claims, ErrorCode::foreign_ring, "signed by another authority"},
      {credentials(client_identity(ring_.ring, "thief"), ring_.authority, ring_.now), ErrorCode::access_denied,
       "not of a node"},
      {credentials(node, ring_.authority, ring_.now + std::chrono::hours(48)), ErrorCode::access_denied,
       "one of the two clocks is wrong"},
  };
  for (const Case& one : cases) {
    JoinServer& server = serve(one.shown, by_the_ring());
    expect_failure(join(order({server.address()}, token)), one.code, one.words);
    EXPECT_TRUE(server.requests.empty()) << one.words;
  }
  EXPECT_EQ(ring_.tokens().at(0).uses_left, 1U);
}

TEST_F(JoinRingTest, ServerWithAnExpiredCertificate_IsTaken) {
  JoinServer& server = serve(credentials(node_identity(ring_.ring, uuid_of(100)), ring_.authority,
                                         ring_.now + -(certificate_life + std::chrono::hours(1))),
                             by_the_ring());
  EXPECT_TRUE(join(order({server.address()}, ring_.token(AccessRole::reader))));
}

TEST_F(JoinRingTest, NextAddress_IsAskedWhenTheFirstIsNoHelp) {
  const Token token = ring_.token(AccessRole::reader, 9);
  const Authority strange = make_authority(ring_.ring, ring_.now).value();
  JoinServer& foreign = serve(credentials(node_identity(ring_.ring, uuid_of(1)), strange, ring_.now), by_the_ring());
  JoinServer& without_quorum = serve(of_node(), refusing({ErrorCode::unavailable, "no quorum"}));
  JoinServer& plain = serve();
  plain.plain = true;
  const std::string nobody = serve().address();
  servers_.pop_back();
  JoinServer& good = serve();
  for (const std::string& first :
       {foreign.address(), without_quorum.address(), plain.address(), nobody, std::string("nonsense")}) {
    const Result<JoinAnswer> answer = join(order({first, good.address()}, token));
    EXPECT_TRUE(answer) << first << ": " << answer.error().text();
  }
}

TEST_F(JoinRingTest, AllAddressesFail_AllAreNamed) {
  const std::string nobody = serve().address();
  servers_.pop_back();
  JoinServer& without_quorum = serve(of_node(), refusing({ErrorCode::unavailable, "no quorum"}));
  const Result<JoinAnswer> answer = join(order({nobody, without_quorum.address()}, ring_.token(AccessRole::reader)));
  expect_failure(answer, ErrorCode::unavailable, nobody + ": ");
  expect_failure(answer, ErrorCode::unavailable, without_quorum.address() + ": no quorum");
  expect_failure(join(order({nobody}, ring_.token(AccessRole::reader))), ErrorCode::connection_refused, nobody);
  expect_failure(join(order({}, ring_.token(AccessRole::reader))), ErrorCode::invalid_argument, "no address");
}

TEST_F(JoinRingTest, PlainServer_DoesNotSpeakTls) {
  JoinServer& server = serve();
  server.plain = true;
  const Result<JoinAnswer> answer = join(order({server.address()}, ring_.token(AccessRole::reader)));
  ASSERT_FALSE(answer);
  EXPECT_TRUE(server.requests.empty());
}

TEST_F(JoinRingTest, SilentServer_IsLeftAtTheDeadline) {
  JoinServer& server = serve();
  server.silent = true;
  const TimePoint before = boot_time();
  expect_failure(join(order({server.address()}, ring_.token(AccessRole::reader)), std::chrono::milliseconds(300)),
                 ErrorCode::timeout, server.address() + ": no answer in time");
  EXPECT_GE(boot_time() - before, std::chrono::milliseconds(300));
}

TEST_F(JoinRingTest, NoTimeLeft_IsATimeout) {
  JoinServer& server = serve();
  expect_failure(join(order({server.address()}, ring_.token(AccessRole::reader)), Duration(0)), ErrorCode::timeout,
                 server.address());
  EXPECT_TRUE(server.requests.empty());
}

TEST_F(JoinRingTest, AnswersThatAreWrong_AreCorrupt) {
  const Token token = ring_.token(AccessRole::reader, 9);
  JoinServer& junk = serve();
  junk.instead = "\xff\xff";
  expect_failure(join(order({junk.address()}, token)), ErrorCode::corrupt, junk.address());
  using Change = std::function<void(JoinAnswer&)>;
  const PrivateKey thief = PrivateKey::generate().value();
  const Authority strange = make_authority(ring_.ring, ring_.now).value();
  auto signed_for = [&](const PrivateKey& key, const Identity& identity) {
    return issue(ring_.authority, make_request(key).value(), {.identity = identity, .names = {}, .now = ring_.now})
        .value()
        .pem();
  };
  const std::vector<std::pair<std::string, Change>> changes{
      {"for another key",
       [&](JoinAnswer& it) { it.certificate = signed_for(thief, client_identity(ring_.ring, "laptop")); }},
      {"of somebody else",
       [&](JoinAnswer& it) { it.certificate = signed_for(key_, client_identity(ring_.ring, "phone")); }},
      {"of somebody else", [&](JoinAnswer& it) { it.ring = uuid_of(9); }},
      {"none of its authorities", [&](JoinAnswer& it) { it.authorities = {strange.certificate.pem()}; }},
      {"not a certificate", [&](JoinAnswer& it) { it.certificate = "junk"; }},
      {"not a certificate", [&](JoinAnswer& it) { it.authorities.push_back("junk"); }},
  };
  for (const auto& [words, change] : changes) {
    JoinServer& server = serve(of_node(), [&](const JoinRequest& request, const std::optional<Certificate>& shown) {
      Result<JoinAnswer> answer = ring_.admit(request, shown);
      if (answer) change(*answer);
      return answer;
    });
    expect_failure(join(order({server.address()}, token)), ErrorCode::corrupt, words);
  }
}

TEST_F(JoinRingTest, ClocksFiveMinutesApart_Work_AndTwoDaysApartIsTold) {
  const Token token = ring_.token(AccessRole::reader, 9);
  JoinServer& server = serve();
  ring_.now = ring_.now + std::chrono::minutes(5);
  EXPECT_TRUE(join(order({server.address()}, token)));
  ring_.now = ring_.now + std::chrono::hours(48);
  const Token later = ring_.token(AccessRole::reader, 9);
  expect_failure(join(order({server.address()}, later)), ErrorCode::access_denied, "one of the two clocks is wrong");
}

TEST_F(JoinRingTest, Renewal_TakesNoServerOfAnotherRing) {
  JoinServer& server = serve();
  Result<JoinAnswer> answer = join(order({server.address()}, ring_.token(AccessRole::reader)));
  ASSERT_TRUE(answer);
  Result<StoredCredentials> stored = credentials_of(*answer, key_, client_identity(ring_.ring, "laptop"));
  ASSERT_TRUE(stored);
  const Authority strange = make_authority(ring_.ring, ring_.now).value();
  JoinServer& foreign = serve(credentials(node_identity(ring_.ring, uuid_of(1)), strange, ring_.now), by_the_ring());
  const RenewalOrder renewal{
      .addresses = {foreign.address()}, .credentials = *stored, .address = {}, .rest_address = {}};
  expect_failure(run(renew(loop_.get_executor(), renewal, boot_time() + std::chrono::seconds(20))),
                 ErrorCode::foreign_ring, "signed by another authority");
  EXPECT_TRUE(foreign.requests.empty());
}

}  // namespace
}  // namespace ringfs::dht
