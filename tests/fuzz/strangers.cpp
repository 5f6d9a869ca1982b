// Two ends without sockets: a FrameConnection over bytes that are given, and TLS engines between strings.
#include "tests/fuzz/strangers.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>

#include "dht/net/transport/frame_connection.hpp"
#include "dht/net/trust/tls_engine.hpp"
#include "tests/fuzz/samples.hpp"

namespace ringfs::strangers {

namespace {

using dht::TlsEngine;
using State = TlsEngine::Step::State;

constexpr Stamp now{1'790'000'000'000'000};

Uuid some_uuid(std::uint8_t last) {
  Uuid uuid;
  uuid.bytes[0] = 1;
  uuid.bytes[15] = last;
  return uuid;
}

const Uuid& ring() {
  static const Uuid one = some_uuid(1);
  return one;
}
const dht::Authority& authority() {
  static const dht::Authority one = dht::make_authority(ring(), now).value();
  return one;
}

// ---- Frames --------------------------------------------------------------------------------------------------------

// Gives the input in pieces, then ends. Whatever is written is gone.
class GivenBytes : public dht::Stream {
 public:
  GivenBytes(std::string_view bytes, std::size_t piece) : bytes_(bytes), piece_(piece) {}

  dht::IoResult read_some(char* into, std::size_t size) override {
    if (bytes_.empty()) return {dht::IoResult::State::closed};
    const std::size_t count = std::min({size, piece_, bytes_.size()});
    bytes_.copy(into, count);
    bytes_.remove_prefix(count);
    return {.state = dht::IoResult::State::done, .bytes = count};
  }
  dht::IoResult write_some(std::span<const iovec> pieces) override {
    std::size_t count = 0;
    for (const iovec& piece : pieces) count += piece.iov_len;
    return {.state = dht::IoResult::State::done, .bytes = count};
  }
  void wait_readable(Ready ready) override { waits_ = std::move(ready); }
  void wait_writable(Ready) override {}
  void close() override { waits_ = nullptr; }
  // Somebody waits for the next piece.
  bool go_on() {
    const Ready ready = std::exchange(waits_, nullptr);
    if (ready) ready();
    return ready != nullptr;
  }

 private:
  Ready waits_;
  std::string_view bytes_;
  const std::size_t piece_;
};

// Takes frames in the order in which a server does (dht/net/runtime/server_session.cpp).
class Greeter : public dht::FrameConnection::Owner {
 public:
  Outcome outcome;

 private:
  void frame_received(dht::FrameConnection& connection, dht::ReceivedFrame frame) override {
    if (known_) {
      if (!samples::decode_any(frame)) refuse(connection);
      return;
    }
    RINGFS_CHECK(frame.header.body_bytes() <= dht::max_handshake_bytes);
    switch (frame.header.kind) {
      case dht::FrameKind::handshake: known_ = taken(dht::decode_handshake(frame)); break;
      case dht::FrameKind::join: join(frame); break;
      case dht::FrameKind::trust: taken(dht::decode_trust_text(frame)); break;
      default: break;
    }
    if (known_)
      connection.set_frame_limit(dht::max_frame_bytes);
    else
      refuse(connection);
  }
  void connection_closed(dht::FrameConnection&, const Error&) override { outcome.refused = true; }

  void refuse(dht::FrameConnection& connection) {
    outcome.refused = true;
    connection.close();
  }

  template <class Value>
  bool taken(const Result<Value>& value) {
    outcome.introduced = outcome.introduced || value.has_value();
    return value.has_value();
  }

  void join(const dht::ReceivedFrame& frame) {
    Result<dht::JoinRequest> request = dht::decode_join_request(frame);
    if (!taken(request)) return;
    const bool of_node = request->kind == dht::Identity::Kind::node;
    const dht::CertificateOrder order{
        .identity = of_node ? dht::node_identity(ring(), request->node) : dht::client_identity(ring(), request->name),
        .names = {request->address},
        .now = now};
    outcome.signed_key = dht::issue(authority(), request->request, order).has_value();
  }

  bool known_ = false;
};

// ---- Records -------------------------------------------------------------------------------------------------------

struct Ends {
  static dht::Credentials credentials(std::uint8_t number) {
    dht::PrivateKey key = dht::PrivateKey::generate().value();
    const dht::CertificateOrder order{
        .identity = dht::node_identity(ring(), some_uuid(number)), .names = {}, .now = now};
    dht::Certificate own = dht::issue(authority(), dht::make_request(key).value(), order).value();
    return {.key = std::move(key), .chain = {own, authority().certificate}};
  }
  static std::shared_ptr<const dht::TlsContext> context(std::uint8_t number) {
    return dht::TlsContext::make(credentials(number), dht::rpc_tls_protocol).value();
  }
  static Status check(const dht::Certificate& leaf, const std::vector<dht::Certificate>& chain) {
    const auto identity = dht::verify(leaf, chain, {authority().certificate}, {.ring = ring(), .now = now});
    if (!identity) return fail(ErrorCode::access_denied, std::string(to_string(identity.error())));
    return {};
  }
  static const std::shared_ptr<const dht::TlsContext>& of_client() {
    static const auto one = context(2);
    return one;
  }
  static const std::shared_ptr<const dht::TlsContext>& of_server() {
    static const auto one = context(3);
    return one;
  }

  TlsEngine client{of_client(), TlsEngine::Side::client, check};
  TlsEngine server{of_server(), TlsEngine::Side::server, check};

  // Whoever is established has seen the other one's certificate, whatever came between.
  void check_peers() const {
    const auto is = [](const TlsEngine& engine, std::uint8_t number) {
      return engine.peer() && engine.peer()->identity() == dht::node_identity(ring(), some_uuid(number));
    };
    if (client.established()) RINGFS_CHECK(is(client, 3));
    if (server.established()) RINGFS_CHECK(is(server, 2) && !server.refusal());
  }
};

// Changes of a few bytes, three of the input each: where (two bytes) and how (exclusive or).
class Edits {
 public:
  explicit Edits(std::string_view input) : input_(input) {}

  void apply(std::string& bytes) {
    for (std::string_view left = input_; left.size() >= 3; left.remove_prefix(3)) {
      const std::size_t where = static_cast<unsigned char>(left[0]) * 256U + static_cast<unsigned char>(left[1]);
      if (where >= before_ && where - before_ < bytes.size()) bytes[where - before_] ^= left[2];
    }
    before_ += bytes.size();
  }

 private:
  std::string_view input_;
  std::size_t before_ = 0;  // bytes that have passed
};

void exchange(Ends& ends, Edits edits) {
  for (int i = 0; i < 6; ++i) {
    ends.client.handshake();
    std::string sent = std::exchange(ends.client.outgoing(), {});
    edits.apply(sent);
    ends.server.received(sent);
    ends.server.handshake();
    ends.client.received(std::exchange(ends.server.outgoing(), {}));
  }
  ends.check_peers();
}

std::string read_all(TlsEngine& engine) {
  std::string all, piece(4096, '\0');
  for (;;) {
    const TlsEngine::Step step = engine.read(piece.data(), piece.size());
    if (step.state != State::done) return all;
    all.append(piece, 0, step.bytes);
  }
}

bool failed(const TlsEngine& engine) { return !engine.failure().context.empty(); }

// A stranger's bytes instead of the other end's.
Outcome instead_of(TlsEngine& engine, std::string_view rest) {
  Outcome outcome;
  bool ended = false;
  while (!rest.empty() && !ended) {
    const std::size_t piece = std::min<std::size_t>(rest.size(), 700);
    engine.received(rest.substr(0, piece));
    rest.remove_prefix(piece);
    ended = engine.handshake().state == State::failed;
  }
  RINGFS_CHECK(!engine.established());
  outcome.refused = ended;
  return outcome;
}

}  // namespace

Outcome frames(std::string_view input) {
  if (input.empty()) return {};
  boost::asio::io_context loop{1};
  dht::Flusher flusher(loop.get_executor());
  Greeter greeter;
  auto stream = std::make_unique<GivenBytes>(input.substr(1), 1 + static_cast<unsigned char>(input[0]) * 16U);
  GivenBytes& given = *stream;
  const auto connection = std::make_shared<dht::FrameConnection>(std::move(stream), greeter, flusher);
  connection->start();
  while (given.go_on()) {
  }
  connection->close();
  return greeter.outcome;
}

Outcome records(std::string_view input) {
  if (input.empty()) return {};
  Ends ends;
  const std::string_view rest = input.substr(1);
  Outcome outcome;
  switch (input[0] % 5) {
    case 0: return instead_of(ends.server, rest);
    case 1: ends.client.handshake(); return instead_of(ends.client, rest);
    case 2:
      exchange(ends, Edits(rest));
      outcome.established = ends.client.established() && ends.server.established();
      outcome.refused = failed(ends.server) || failed(ends.client);
      return outcome;
    case 3:
      exchange(ends, Edits({}));
      RINGFS_CHECK(ends.client.established() && ends.server.established());
      ends.server.received(rest);
      outcome.passed = read_all(ends.server).size();
      RINGFS_CHECK(outcome.passed == 0);  // nobody else can write on it
      break;
    default: {
      exchange(ends, Edits({}));
      const std::string text(3000, 't');
      RINGFS_CHECK(ends.client.write(text).state == State::done);
      std::string sent = std::exchange(ends.client.outgoing(), {});
      Edits(rest).apply(sent);
      ends.server.received(sent);
      const std::string got = read_all(ends.server);
      RINGFS_CHECK(text.starts_with(got));  // what was changed does not come through
      outcome.passed = got.size();
    }
  }
  outcome.established = true;
  outcome.refused = failed(ends.server);
  return outcome;
}

}  // namespace ringfs::strangers
