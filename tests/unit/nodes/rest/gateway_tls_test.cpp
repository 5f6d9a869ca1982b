// The REST gateway over TLS: who is let in, with which role, and how everybody else is refused.
//
// The test's connections come over loopback; the options say that none of it is plain.
#include <openssl/ssl.h>

#include <map>

#include "dht/base/bytes.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/net/trust/tls_engine.hpp"
#include "tests/unit/nodes/rest/gateway_fixture.hpp"
#include "tests/unit/nodes/rest/rest_tokens.hpp"

namespace ringfs::nodes {
namespace {

using boost::asio::ip::tcp;
using dht::client_identity;
using dht::Credentials;
using dht::Identity;
using dht::node_identity;
using dht::TlsContext;
using dht::TlsEngine;
using State = TlsEngine::Step::State;

constexpr Stamp now{1'790'000'000'000'000};
constexpr Duration day = std::chrono::hours(24);

Uuid some_uuid(std::uint8_t last) {
  Uuid uuid;
  uuid.bytes[0] = 1;
  uuid.bytes[15] = last;
  return uuid;
}

// A client: blocking, over the gateway's socket.
class TlsClient {
 public:
  TlsClient(tcp::socket socket, std::shared_ptr<const TlsContext> context)
      : socket_(std::move(socket)),
        engine_(std::move(context), TlsEngine::Side::client, [](const auto&, const auto&) { return Status(); }) {
    while (alive_ && engine_.handshake().state == State::want_input) exchange();
    flush();
  }
  bool established() const { return engine_.established(); }

  void send(std::string_view plain) {
    while (!plain.empty()) {
      const TlsEngine::Step step = engine_.write(plain);
      if (step.state != State::done) return;
      plain.remove_prefix(step.bytes);
      flush();
    }
  }
  // What comes until the gateway says farewell. Without it "cut" is added: a reset, or the end of the socket alone.
  std::string receive() {
    std::string all;
    char bytes[4096];
    for (;;) {
      const TlsEngine::Step step = engine_.read(bytes, sizeof bytes);
      if (step.state == State::done) {
        all.append(bytes, step.bytes);
      } else if (step.state == State::want_input) {
        exchange();
        if (!alive_) return all + "cut";
      } else {
        return all + (step.state == State::closed ? "" : "cut");
      }
    }
  }
  // One response with a body of Content-Length.
  std::string receive_one() {
    std::string all;
    char byte = 0;
    while (!is_whole(all)) {
      const TlsEngine::Step step = engine_.read(&byte, 1);
      if (step.state == State::done) {
        all += byte;
      } else if (step.state == State::want_input && alive_) {
        exchange();
      } else {
        return all + "cut";
      }
    }
    return all;
  }
  tcp::socket& socket() { return socket_; }

 private:
  static bool is_whole(const std::string& text) {
    const std::size_t head = text.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    const std::size_t length = text.find("Content-Length: ");
    const std::size_t body = length < head ? std::stoul(text.substr(length + 16, 12)) : 0;
    return text.size() >= head + 4 + body;
  }
  void flush() {
    std::string out = std::exchange(engine_.outgoing(), {});
    std::string_view rest = out;
    while (!rest.empty()) {
      ssize_t count = ::send(socket_.native_handle(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count <= 0) return;  // the answer may still be there to be read
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  void exchange() {
    flush();
    char bytes[4096];
    const ssize_t count = ::recv(socket_.native_handle(), bytes, sizeof bytes, 0);
    alive_ = count > 0;
    if (alive_) engine_.received({bytes, static_cast<std::size_t>(count)});
  }

  tcp::socket socket_;
  TlsEngine engine_;
  bool alive_ = true;
};

class RestTls : public GatewayFixture {
 protected:
  RestTls() {
    member(1, MemberState::up, node_key);
    member(2, MemberState::removed, removed_key);
    table.clients = {{.name = "admin", .role = AccessRole::admin, .key = admin_key.public_hash()},
                     {.name = "reader", .role = AccessRole::reader, .key = reader_key.public_hash()},
                     {.name = "revoked", .role = AccessRole::admin, .key = revoked_key.public_hash(), .revoked = true},
                     {.name = "writer", .role = AccessRole::writer, .key = writer_key.public_hash()}};
    options.is_plain = [](const auto&) { return false; };
    options.tls = [this] { return context; };
    options.role_of_certificate = [this](const dht::Certificate& leaf, const std::vector<dht::Certificate>& chain) {
      return role_of(leaf, chain);
    };
    options.role_of_bearer = [this](std::string hash) -> Task<Result<AccessRole>> { return token_role(*this, hash); };
  }

  void member(std::uint8_t number, MemberState state, const dht::PrivateKey& key) {
    dht::Member one;
    one.id = some_uuid(number);
    one.state = state;
    one.key = key.public_hash();
    table.members.push_back(one);
  }

  // As docs/security.md has it: the key of a certificate must stand in the members table.
  Result<AccessRole> role_of(const dht::Certificate& leaf, const std::vector<dht::Certificate>& chain) const {
    auto identity = verify(leaf, chain, {authority.certificate}, {.ring = ring_id, .now = now});
    if (!identity) return fail(ErrorCode::access_denied, std::string(to_string(identity.error())));
    if (identity->kind == Identity::Kind::node) {
      const dht::Member* node = table.find(identity->node);
      const bool counts = node != nullptr && node->state != MemberState::removed && node->key == leaf.key_hash();
      if (!counts) return fail(ErrorCode::access_denied, "it is no member of the ring");
      return AccessRole::node;
    }
    const dht::Client* client = table.find_client(identity->name);
    if (client == nullptr || client->key != leaf.key_hash()) {
      return fail(ErrorCode::access_denied, "the ring knows no such client");
    }
    if (client->revoked) return fail(ErrorCode::access_denied, "the client was revoked");
    return client->role;
  }
  static Task<Result<AccessRole>> token_role(RestTls& self, std::string hash) {
    const auto found = self.tokens.find(hash);
    if (found == self.tokens.end()) co_return fail(ErrorCode::access_denied, "this ring has no such token for REST");
    co_return found->second;
  }
  dht::Token token_with(Result<AccessRole> role) {
    const dht::Token token = dht::make_token({}).value();
    tokens[hash_of(token)] = std::move(role);
    return token;
  }
  static std::string bearer(const dht::Token& token) { return "Authorization: Bearer " + token.text() + "\r\n"; }

  static Credentials shown(const Identity& identity, const dht::PrivateKey& key, const dht::Authority& signer,
                           Stamp since = now) {
    dht::Certificate own =
        issue(signer, make_request(key).value(), {.identity = identity, .names = {}, .now = since}).value();
    return {.key = key, .chain = {own, signer.certificate}};
  }
  Credentials client(const std::string& name, const dht::PrivateKey& key, Stamp since = now) const {
    return shown(client_identity(ring_id, name), key, authority, since);
  }
  static std::shared_ptr<const TlsContext> context_with(const std::optional<Credentials>& credentials) {
    return TlsContext::make(credentials, "").value();
  }
  TlsClient dial(const std::optional<Credentials>& credentials = {}) { return {connect(), context_with(credentials)}; }

  // A request on a connection of its own, and everything that came back.
  std::string ask(const std::optional<Credentials>& credentials, const std::string& what,
                  const std::string& headers = {}, const std::string& body = {}) {
    TlsClient socket = dial(credentials);
    const std::string length = body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n";
    socket.send(request(what, "Connection: close\r\n" + length + headers) + body);
    return socket.receive();
  }
  std::string origin() const { return "https://127.0.0.1:" + std::to_string(port); }

  static dht::PrivateKey new_key() { return dht::PrivateKey::generate().value(); }
  const Uuid ring_id = some_uuid(9);
  const dht::Authority authority = dht::make_authority(ring_id, now).value();
  const dht::PrivateKey node_key = new_key(), removed_key = new_key(), admin_key = new_key(), reader_key = new_key(),
                        revoked_key = new_key(), writer_key = new_key();
  std::shared_ptr<const TlsContext> context =
      context_with(shown(node_identity(ring_id, some_uuid(1)), node_key, authority));
  dht::MembersTable table;
  std::map<std::string, Result<AccessRole>> tokens;
  RestOptions options;
};

testing::AssertionResult is(const std::string& answer, int status, const std::string& words = {}) {
  const bool good = answer.starts_with("HTTP/1.1 " + std::to_string(status) + " ") &&
                    answer.find(words) != std::string::npos && !answer.ends_with("cut");
  if (good) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "not " << status << " with '" << words << "': " << answer;
}

TEST_F(RestTls, Certificates_EachIsLetInWithItsRoleOrToldWhyNot) {
  start(options);
  const dht::Authority other = dht::make_authority(ring_id, now).value();
  const Identity writer = client_identity(ring_id, "writer");
  struct Case {
    const char* what;
    std::optional<Credentials> shows;
    int read, write, administer;
    const char* words;  // of the last one
  };
  const Case cases[] = {
      {"nothing", {}, 401, 401, 401, "show a client certificate"},
      {"a reader's", client("reader", reader_key), 404, 403, 403, "this wants the role admin; yours is reader"},
      {"a writer's", client("writer", writer_key), 404, 204, 403, "this wants the role admin; yours is writer"},
      {"an administrator's", client("admin", admin_key), 200, 204, 201, "joining"},
      {"a node's", shown(node_identity(ring_id, some_uuid(1)), node_key, authority), 200, 204, 201, "joining"},
      {"of another authority", shown(writer, writer_key, other), 401, 401, 401, "signed by another authority"},
      {"of another ring", shown(client_identity(some_uuid(8), "writer"), writer_key, authority), 401, 401, 401,
       "belongs to another ring"},
      {"expired", client("writer", writer_key, now + -200 * day), 401, 401, 401, "has expired"},
      {"not yet valid", client("writer", writer_key, now + 3 * day), 401, 401, 401, "is not valid yet"},
      {"a removed node's", shown(node_identity(ring_id, some_uuid(2)), removed_key, authority), 401, 401, 401,
       "no member of the ring"},
      {"a node's under another one's name", shown(node_identity(ring_id, some_uuid(1)), removed_key, authority), 401,
       401, 401, "no member of the ring"},
      {"a revoked client's", client("revoked", revoked_key), 401, 401, 401, "was revoked"},
      {"another key under a client's name", client("admin", reader_key), 401, 401, 401, "no such client"},
      {"the authority's own", Credentials{.key = authority.key, .chain = {authority.certificate}}, 401, 401, 401,
       "names no node or client"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    EXPECT_TRUE(is(ask(one.shows, "GET /v1/kv/k"), one.read));
    EXPECT_TRUE(is(ask(one.shows, "PUT /v1/kv/k", "", "value"), one.write));
    EXPECT_TRUE(is(ask(one.shows, "POST /v1/members", "", R"({"address": "a:1"})"), one.administer, one.words));
  }
  EXPECT_EQ(admin.calls.size(), 2U);
  EXPECT_EQ(refused(dht::RefusalReason::certificate), 3 * 9U);
  EXPECT_EQ(refused(dht::RefusalReason::nobody), 3U);
  EXPECT_EQ(refused(dht::RefusalReason::role), 3U);
}

TEST_F(RestTls, Tokens_EachIsLetInWithItsRoleOrToldWhyNot) {
  const dht::Token reader = token_with(AccessRole::reader), writer = token_with(AccessRole::writer);
  const dht::Token expired = token_with(fail(ErrorCode::access_denied, "the token has expired"));
  const dht::Token unasked = token_with(fail(ErrorCode::timeout, "a name from inside"));
  const dht::Token cut_off = token_with(fail(ErrorCode::unavailable, "this node has not heard from the ring"));
  const dht::Token foreign = dht::make_token(authority.key.public_hash()).value();
  start(options);
  struct Case {
    const char* what;
    std::string header;
    int read, write;
    const char* words;
  };
  const std::string text = writer.text();
  std::string changed = text;
  changed.at(text.size() - 20) = text.at(text.size() - 20) == 'a' ? 'b' : 'a';
  const Case cases[] = {
      {"a reader's", bearer(reader), 404, 403, "this wants the role writer; yours is reader"},
      {"a writer's", bearer(writer), 404, 204, ""},
      {"in small letters", "authorization: bearer " + text + "\r\n", 200, 204, ""},
      {"of another ring", bearer(foreign), 401, 401, "no such token"},
      {"expired", bearer(expired), 401, 401, "expired"},
      {"cut short", "Authorization: Bearer " + text.substr(0, text.size() - 1) + "\r\n", 401, 401, "not a token"},
      {"one letter changed", "Authorization: Bearer " + changed + "\r\n", 401, 401, "no such token"},
      {"none", "Authorization: Bearer \r\n", 401, 401, "takes Bearer"},
      {"another scheme", "Authorization: Basic cmluZzpmcw==\r\n", 401, 401, "takes Bearer"},
      {"the ring cannot be asked", bearer(unasked), 503, 503, "try again"},
      {"the node is cut off", bearer(cut_off), 503, 503, "this node has not heard from the ring"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", one.header), one.read));
    const std::string answer = ask({}, "PUT /v1/kv/k", one.header, "value");
    EXPECT_TRUE(is(answer, one.write, one.words));
    EXPECT_EQ(answer.find("WWW-Authenticate: Bearer realm=\"ringfs\"") != std::string::npos, one.write == 401);
    EXPECT_EQ(answer.find("from inside"), std::string::npos);
  }
  EXPECT_EQ(refused(dht::RefusalReason::cut_off), 2U);
  // A wrong token does not count as nothing, whatever else is shown.
  EXPECT_TRUE(is(ask(client("admin", admin_key), "GET /v1/kv/k", bearer(foreign)), 401));
}

TEST_F(RestTls, Strangers_LearnWhetherItServesAndNothingElse) {
  start(options);
  for (const char* what : {"GET /metrics", "GET /docs", "GET /openapi.json", "GET /v1/ring", "GET /v1/members",
                           "GET /v1/lookup/k", "GET /nothing/here", "DELETE /healthz", "POST /v1/logout"}) {
    EXPECT_TRUE(is(ask({}, what), 401)) << what;
  }
  const std::string health = ask({}, "GET /healthz");
  EXPECT_TRUE(is(health, 200, "{\n  \"health\": \"ok\"\n}\n"));
  for (const char* what : {"GET /healthz", "GET /", "GET /login", "GET /metrics"}) {
    TlsClient socket = dial();
    socket.send(request(what));
    const std::string answer = socket.receive();
    EXPECT_EQ(answer.find(RINGFS_VERSION), std::string::npos) << answer;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  }
  EXPECT_NE(ask(client("reader", reader_key), "GET /metrics").find("Server: ringfs/" RINGFS_VERSION),
            std::string::npos);
}

TEST_F(RestTls, RevokedMeanwhile_EndsOnTheOpenConnection) {
  start(options);
  TlsClient socket = dial(client("writer", writer_key));
  socket.send(request("GET /metrics"));
  EXPECT_TRUE(is(socket.receive_one(), 200));
  on_loop([&] { table.clients.back().revoked = true; });
  socket.send(request("GET /metrics"));
  EXPECT_TRUE(is(socket.receive(), 401, "was revoked"));
}

TEST_F(RestTls, HostAndOriginOfStrangers_AreRefusedWhateverIsShown) {
  options.advertised = "storage.example:3000";
  start(options);
  const std::string host = "127.0.0.1:" + std::to_string(port);
  const auto with = [&](const std::string& headers) {
    TlsClient socket = dial(client("admin", admin_key));
    socket.send("GET /metrics HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n");
    return socket.receive();
  };
  EXPECT_TRUE(is(with("Host: " + host + "\r\n"), 200));
  EXPECT_TRUE(is(with("Host: storage.example:3000\r\n"), 200));
  EXPECT_TRUE(is(with("Host: " + host + "\r\nOrigin: https://" + host + "\r\n"), 200));
  for (const std::string& headers :
       {std::string("Host: evil.example\r\n"), "Host: evil.example:" + std::to_string(port) + "\r\n", std::string(),
        "Host: " + host + "\r\nOrigin: https://evil.example\r\n",
        "Host: " + host + "\r\nOrigin: http://" + host + "\r\n", "Host: " + host + "\r\nOrigin: null\r\n",
        "Host: " + host + "\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: " + host + "\r\nSec-Fetch-Site: same-site\r\n"}) {
    EXPECT_TRUE(is(with(headers), 403)) << headers;
  }
  EXPECT_EQ(refused(dht::RefusalReason::origin), 8U);
}

// ---- Browsers ----

// The cookie that an answer sets; empty: none.
std::string cookie_in(const std::string& answer) {
  const std::string begin = "Set-Cookie: ";
  const std::size_t at = answer.find(begin);
  if (at == std::string::npos) return {};
  return answer.substr(at + begin.size(), answer.find(';', at) - at - begin.size());
}

TEST_F(RestTls, Login_SetsACookieThatCountsAsItsToken) {
  const dht::Token token = token_with(AccessRole::writer);
  start(options);
  const std::string answer = ask({}, "POST /v1/login", "", R"({"token": ")" + token.text() + R"("})");
  EXPECT_TRUE(is(answer, 200, "\"writer\""));
  EXPECT_NE(answer.find("; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict\r\n"), std::string::npos) << answer;
  const std::string cookie = "Cookie: other=1; " + cookie_in(answer) + "; more=2\r\n";
  EXPECT_TRUE(cookie_in(answer).starts_with("__Host-ringfs="));
  EXPECT_EQ(answer.find(token.text()), std::string::npos);
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", cookie), 404));
  EXPECT_TRUE(is(ask({}, "PUT /v1/kv/k", cookie + "Origin: " + origin() + "\r\n", "value"), 204));
  EXPECT_TRUE(is(ask({}, "PUT /v1/kv/k", cookie + "Sec-Fetch-Site: same-origin\r\n", "value"), 204));
  EXPECT_TRUE(is(ask({}, "POST /v1/members", cookie + "Origin: " + origin() + "\r\n", "{}"), 403, "role admin"));
  // A token that is revoked ends its sessions.
  on_loop([&] { tokens.clear(); });
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", cookie), 401, "no such token"));
}

TEST_F(RestTls, ChangesWithACookie_NeedProofOfAnOwnPage) {
  const dht::Token token = token_with(AccessRole::admin);
  start(options);
  const std::string cookie =
      "Cookie: " + cookie_in(ask({}, "POST /v1/login", "", R"({"token": ")" + token.text() + R"("})"));
  for (const std::string& headers :
       {std::string(), std::string("Sec-Fetch-Site: none\r\n"), std::string("Sec-Fetch-Site: cross-site\r\n"),
        std::string("Origin: https://evil.example\r\n"),
        "Origin: https://127.0.0.1:" + std::to_string(port + 1) + "\r\n"}) {
    for (const char* what :
         {"PUT /v1/kv/k", "DELETE /v1/kv/k", "POST /v1/members", "POST /v1/logout", "POST /v1/login"}) {
      EXPECT_TRUE(is(ask({}, what, cookie + "\r\n" + headers, "{}"), 403)) << what << " " << headers;
    }
  }
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", cookie + "\r\n"), 404)) << "nothing was changed";
  EXPECT_TRUE(admin.calls.empty());
  // A token that is shown on purpose is proof enough.
  EXPECT_TRUE(is(ask({}, "PUT /v1/kv/k", cookie + "\r\n" + bearer(token), "{}"), 204));
}

TEST_F(RestTls, Cookies_ForgedOrOver_AreRefused) {
  const dht::Token token = token_with(AccessRole::admin);
  start(options);
  const std::string forged = "Cookie: __Host-ringfs=" + std::string(64, '0') + "\r\n";
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", forged), 401, "the session is over"));
  EXPECT_TRUE(is(ask(client("reader", reader_key), "GET /v1/kv/k", forged), 404)) << "known by the certificate";
  const std::string cookie =
      "Cookie: " + cookie_in(ask({}, "POST /v1/login", "", R"({"token": ")" + token.text() + R"("})")) + "\r\n";
  const std::string out = ask({}, "POST /v1/logout", cookie + "Origin: " + origin() + "\r\n");
  EXPECT_TRUE(is(out, 204, "__Host-ringfs=; Path=/; Max-Age=0;"));
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", cookie), 401, "the session is over"));
  EXPECT_EQ(refused(dht::RefusalReason::session), 2U);
  const std::string again =
      "Cookie: " + cookie_in(ask({}, "POST /v1/login", "", R"({"token": ")" + token.text() + R"("})")) + "\r\n";
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", again), 404));
}

TEST_F(RestTls, LoginByTheForm_LeadsToTheDocuments) {
  const dht::Token token = token_with(AccessRole::reader);
  start(options);
  EXPECT_TRUE(is(ask({}, "GET /"), 302, "Location: /login\r\n"));
  EXPECT_TRUE(is(ask({}, "GET /login"), 200, "<form method=\"post\" action=\"/v1/login\">"));
  const std::string form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: " + origin() + "\r\n";
  const std::string answer = ask({}, "POST /v1/login", form, "a=b&token=+" + token.text() + "%0A&c=d");
  EXPECT_TRUE(is(answer, 303, "Location: /docs\r\n"));
  const std::string cookie = "Cookie: " + cookie_in(answer) + "\r\n";
  EXPECT_TRUE(is(ask({}, "GET /", cookie), 302, "Location: /docs\r\n"));
  EXPECT_TRUE(is(ask({}, "GET /docs", cookie), 200, "frame-ancestors 'none'"));
}

TEST_F(RestTls, Login_WithAnythingElse_SetsNothing) {
  const dht::Token token = token_with(AccessRole::reader);
  const dht::Token unasked = token_with(fail(ErrorCode::timeout, "a name from inside"));
  start(options);
  struct Case {
    std::string headers, body;
    int status;
  };
  const std::string form = "Content-Type: application/x-www-form-urlencoded\r\n";
  const Case cases[] = {
      {"", R"({"token": ")" + dht::make_token({}).value().text() + R"("})", 401},
      {"", R"({"token": "ringfs1"})", 401},
      {"", R"({"token": ")" + unasked.text() + R"("})", 503},
      {"", "{}", 400},
      {"", "[]", 400},
      {"", "", 400},
      {form, "", 400},
      {form, "token=%", 400},
      {form, "token=x", 401},
      {"Origin: https://evil.example\r\n" + form, "token=" + token.text(), 403},
      {"", std::string(5000, 'x'), 413},
  };
  for (const Case& one : cases) {
    const std::string answer = ask({}, "POST /v1/login", one.headers, one.body);
    EXPECT_TRUE(is(answer, one.status)) << one.body;
    EXPECT_EQ(answer.find("Set-Cookie"), std::string::npos) << answer;
    EXPECT_EQ(answer.find("from inside"), std::string::npos) << answer;
  }
  EXPECT_EQ(refused(dht::RefusalReason::token), 3U);
  const std::string chunk = "1000\r\n" + std::string(4096, 'x') + "\r\n";
  TlsClient chunks = dial();
  chunks.send(request("POST /v1/login", "Transfer-Encoding: chunked\r\n") + chunk + chunk + "0\r\n\r\n");
  EXPECT_TRUE(is(chunks.receive(), 413));
}

// ---- Connections ----

TEST_F(RestTls, LargeValues_GoBothWaysOnOneConnection) {
  start(options);
  TlsClient socket = dial(client("writer", writer_key));
  std::string value(max_value_bytes, '\0');
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 7 + i / 251);
  for (int round = 0; round < 2; ++round) {
    socket.send(request("PUT /v1/kv/k", "Content-Length: " + std::to_string(value.size()) + "\r\n") + value);
    EXPECT_TRUE(is(socket.receive_one(), 204));
    socket.send(request("GET /v1/kv/k"));
    EXPECT_TRUE(socket.receive_one().ends_with("\r\n\r\n" + value));
  }
  // Two requests at once, the second behind the first in the same record.
  socket.send(request("GET /metrics") + request("GET /metrics", "Connection: close\r\n"));
  EXPECT_TRUE(is(socket.receive_one(), 200));
  EXPECT_TRUE(is(socket.receive(), 200));
}

TEST_F(RestTls, PlainText_IsToldToSpeakTls) {
  start(options);
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, request("GET /healthz")));
  EXPECT_TRUE(is(receive(socket), 400, "this address speaks TLS: ask for https://"));
  EXPECT_EQ(refused(dht::RefusalReason::handshake), 1U);
}

TEST_F(RestTls, OlderTls_IsRefused) {
  start(options);
  std::shared_ptr<const TlsContext> old = context_with(client("writer", writer_key));
  SSL_CTX_set_min_proto_version(old->get(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(old->get(), TLS1_2_VERSION);
  TlsClient socket(connect(), old);
  EXPECT_FALSE(socket.established());
  EXPECT_TRUE(socket.receive().ends_with("cut"));
  EXPECT_EQ(refused(dht::RefusalReason::handshake), 1U);
}

TEST_F(RestTls, WithoutACertificateOfItsOwn_ItCloses) {
  context = nullptr;
  start(options);
  tcp::socket socket = connect();
  const std::string answer = receive(socket);
  EXPECT_TRUE(answer.empty() || answer == "reset") << answer;
  EXPECT_EQ(refused(dht::RefusalReason::no_tls), 1U);
}

TEST_F(RestTls, SlowSenders_EndByTheLimit) {
  options.handshake_limit = std::chrono::milliseconds(200);
  start(options);
  tcp::socket silent = connect();
  EXPECT_EQ(receive(silent), "");
  tcp::socket partial = connect();
  ASSERT_TRUE(send(partial, std::string("\x16\x03\x01\x02\x00\x01", 6)));
  EXPECT_EQ(receive(partial), "");
  EXPECT_EQ(refused(dht::RefusalReason::handshake), 2U);
  TlsClient idle = dial();
  EXPECT_EQ(idle.receive(), "");
  TlsClient begun = dial();
  begun.send("GET /healthz HT");
  EXPECT_TRUE(is(begun.receive(), 408));
  TlsClient body = dial();
  body.send(request("POST /v1/login", "Content-Length: 100\r\n") + "{");
  EXPECT_TRUE(is(body.receive(), 408));
  EXPECT_EQ(refused(dht::RefusalReason::slow), 3U);
  // Whoever is known has the usual time.
  TlsClient known = dial(client("reader", reader_key));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  known.send(request("GET /metrics", "Connection: close\r\n"));
  EXPECT_TRUE(is(known.receive(), 200));
}

TEST_F(RestTls, TooMuchBeforeTheHandshakeEnds_IsRefused) {
  start(options);
  tcp::socket socket = connect();
  // Records of a hello that never ends: 16 KiB each, of a message that says it has 128 KiB.
  const std::string record =
      std::string("\x16\x03\x01\x40\x00", 5) + std::string("\x01\x01\xff\xff", 4) + std::string(16380, 'x');
  const std::string more = std::string("\x16\x03\x03\x40\x00", 5) + std::string(16384, 'x');
  send(socket, record + more + more + more);
  const std::string answer = receive(socket);
  EXPECT_EQ(answer.find("HTTP"), std::string::npos);
  EXPECT_EQ(refused(dht::RefusalReason::handshake), 1U);
}

TEST_F(RestTls, OneSource_HoldsItsShareOfConnectionsUntilItIsKnown) {
  start(options);
  std::vector<tcp::socket> silent;
  for (std::size_t i = 0; i < dht::HandshakeShares::share_of_a_source; ++i) silent.push_back(connect());
  tcp::socket further = connect();
  const std::string answer = receive(further);
  EXPECT_TRUE(answer.empty() || answer == "reset") << answer;
  EXPECT_EQ(refused(dht::RefusalReason::limit), 1U);
  const std::size_t begun = silent.size();
  silent.clear();
  while (refused(dht::RefusalReason::handshake) < begun) std::this_thread::yield();
  // Those that are known do not count.
  std::vector<std::unique_ptr<TlsClient>> known;
  for (std::size_t i = 0; i < 2 * dht::HandshakeShares::share_of_a_source; ++i) {
    known.push_back(std::make_unique<TlsClient>(connect(), context_with(client("reader", reader_key))));
    known.back()->send(request("GET /metrics"));
    EXPECT_TRUE(is(known.back()->receive_one(), 200));
  }
  EXPECT_EQ(refused(dht::RefusalReason::limit), 1U);
}

TEST_F(RestTls, Stop_EndsHandshakesAndIdleConnections) {
  start(options);
  tcp::socket silent = connect();
  TlsClient idle = dial(client("reader", reader_key));
  idle.send(request("GET /metrics"));
  EXPECT_TRUE(is(idle.receive_one(), 200));
  std::future<void> stopped = stop();
  EXPECT_EQ(receive(silent), "");
  EXPECT_EQ(idle.receive(), "");
  stopped.get();
}

TEST_F(RestTls, TokensOfTheRing_CountOverTheWire) {
  const dht::Token token = new_token(time, store, "rest reader " + in_2100);
  BearerTokens bearers(store, rest_token);
  options.role_of_bearer = [&](std::string hash) { return bearers.role_of(std::move(hash)); };
  start(options);
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", bearer(token)), 404));
  EXPECT_TRUE(is(ask({}, "PUT /v1/kv/k", bearer(token), "value"), 403, "yours is reader"));
  EXPECT_TRUE(is(ask({}, "GET /v1/kv/k", bearer(dht::make_token({}).value())), 401));
  TearDown();
}

}  // namespace
}  // namespace ringfs::nodes
