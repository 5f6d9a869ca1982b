// TLS under HTTP: the engine's bytes to and from the socket.
#include "nodes/rest/web_stream.hpp"

#include <sys/socket.h>

#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string_view>

namespace ringfs::nodes {

namespace asio = boost::asio;
using dht::TlsEngine;

namespace {

constexpr char handshake_record = 22;  // the first byte of a hello (RFC 8446, 5.1)

}  // namespace

struct WebStream::Tls {
  // Whether the certificate counts is asked for each request, not once: it may be revoked meanwhile.
  explicit Tls(std::shared_ptr<const dht::TlsContext> context)
      : engine(std::move(context), TlsEngine::Side::server,
               [this](const dht::Certificate&, const std::vector<dht::Certificate>& sent) {
                 chain = sent;
                 return Status();
               }) {}

  std::vector<dht::Certificate> chain;
  TlsEngine engine;
  std::array<char, incoming_bytes> incoming;
  std::size_t received = 0;  // before it was established
  bool plain_text = false;
};

WebStream::WebStream(Socket socket, std::shared_ptr<const dht::TlsContext> context) : socket_(std::move(socket)) {
  if (context) tls_ = std::make_unique<Tls>(std::move(context));
}

WebStream::~WebStream() = default;

Task<Status> WebStream::handshake() {
  boost::system::error_code error;
  co_await start(Operation(), asio::redirect_error(asio::use_awaitable, error));
  if (!error) co_return Status();
  if (tls_->plain_text) co_return fail(ErrorCode::version_mismatch, "this address speaks TLS: ask for https://");
  if (tls_->received > max_handshake_bytes) co_return fail(ErrorCode::too_large, "too much before the handshake ended");
  if (!tls_->engine.failure().context.empty()) co_return tl::unexpected(tls_->engine.failure());
  co_return fail(ErrorCode::unreachable, "the connection ended during the handshake: " + error.message());
}

bool WebStream::met_plain_text() const { return tls_ && tls_->plain_text; }

const std::optional<dht::Certificate>& WebStream::certificate() const {
  static const std::optional<dht::Certificate> none;
  return tls_ ? tls_->engine.peer() : none;
}

const std::vector<dht::Certificate>& WebStream::chain() const {
  static const std::vector<dht::Certificate> none;
  return tls_ ? tls_->chain : none;
}

void WebStream::shutdown_send() {
  if (tls_) {
    tls_->engine.close();
    const std::string& farewell = tls_->engine.outgoing();
    // Tried once: a peer that takes nothing now needs no farewell.
    static_cast<void>(::send(socket_.native_handle(), farewell.data(), farewell.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  }
  boost::system::error_code ignored;  // the client may be gone
  socket_.shutdown(Socket::shutdown_send, ignored);
}

asio::const_buffer WebStream::to_send() const { return asio::buffer(tls_->engine.outgoing()); }

asio::mutable_buffer WebStream::room() { return asio::buffer(tls_->incoming); }

WebStream::Operation::Wait WebStream::advance(Operation& operation, boost::system::error_code error,
                                              std::size_t bytes) {
  const Operation::Wait waited = std::exchange(operation.wait, Operation::Wait::nothing);
  if (waited == Operation::Wait::send) tls_->engine.outgoing().erase(0, bytes);
  if (waited == Operation::Wait::receive && !error) {
    const std::string_view came(tls_->incoming.data(), bytes);
    if (!tls_->engine.established()) {
      tls_->plain_text = tls_->received == 0 && came.front() != handshake_record;
      tls_->received += bytes;
      if (tls_->plain_text || tls_->received > max_handshake_bytes) {
        error = make_error_code(boost::system::errc::protocol_error);
      }
    }
    if (!error) tls_->engine.received(came);
  }
  if (error) {
    if (!operation.error) operation.error = error;
    operation.decided = true;
    return Operation::Wait::nothing;
  }
  if (tls_->engine.outgoing().empty() && !operation.decided && !operation.wants_input) step(operation);
  if (!tls_->engine.outgoing().empty()) {
    operation.wait = Operation::Wait::send;
  } else if (!operation.decided) {
    operation.wants_input = false;
    operation.wait = Operation::Wait::receive;
  }
  return operation.wait;
}

// The engine's next step: it decides what the operation gives, or wants more input.
void WebStream::step(Operation& operation) {
  TlsEngine& engine = tls_->engine;
  TlsEngine::Step step;
  const bool empty = operation.into.size() == 0 && operation.from.size() == 0;
  if (empty && operation.kind != Operation::Kind::handshake) {  // OpenSSL has no such call
    operation.decided = true;
    return;
  }
  switch (operation.kind) {
    case Operation::Kind::handshake: step = engine.handshake(); break;
    case Operation::Kind::read:
      step = engine.read(static_cast<char*>(operation.into.data()), operation.into.size());
      break;
    case Operation::Kind::write:
      step = engine.write({static_cast<const char*>(operation.from.data()), operation.from.size()});
      break;
  }
  operation.wants_input = step.state == TlsEngine::Step::State::want_input;
  operation.decided = !operation.wants_input;
  operation.bytes = step.bytes;
  if (step.state == TlsEngine::Step::State::closed) operation.error = asio::error::eof;
  if (step.state == TlsEngine::Step::State::failed) {
    operation.error = make_error_code(boost::system::errc::protocol_error);
  }
}

}  // namespace ringfs::nodes
