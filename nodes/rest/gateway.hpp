// The REST gateway of a node: raw keys and values, look-ups, the ring and its members over HTTP/1.1
// (docs/design.md#rest-gateway).
//
//   PUT, GET, HEAD, DELETE /v1/kv/{key}   any bytes up to 1 MiB; ETag, If-Match, If-None-Match (RFC 9110, 13)
//   GET, POST /v1/members                 the members; adds one
//   DELETE /v1/members/{member}           removes one
//   POST /v1/login, /v1/logout            a token for a browser's cookie
//   GET /v1/lookup/{key}, /v1/ring, /healthz, /metrics, /openapi.json, /docs, /login
//
// Any node answers for any key: the gateway is a client of the ring, as a mount is. Every error is JSON: {"error",
// "reason"}.
//
// A connection whose local address is loopback is plain, and of root or of this node's user; every other one is TLS
// 1.3, and a request shows who asks (callers.hpp). Which role a request needs: routes.hpp.
//
// Threads: all on the loop of the executor. Limits:
// - max_connections. Further ones get 503 before a byte is read, and further than max_turned_away of those nothing at
//   all; over TLS they are closed.
// - Over TLS, until somebody is known: HandshakeShares connections, each for handshake_limit from being accepted to the
//   head of its first request; bodies of max_stranger_body_bytes; one request.
// - max_value_bytes for a body (413), 16 KiB for headers (431), request_timeout from the first byte of a request to its
//   last (408). A request that ends early gets 400.
//
// After a refusal the gateway reads and drops what the client still sends, for a moment. If it closed at once, a TCP
// reset could overtake the answer. Refusals are counted by their reasons and logged, a few lines a second.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "dht/base/ring/settings.hpp"
#include "dht/net/sockets/handshake_shares.hpp"
#include "dht/net/transport/refusals.hpp"
#include "dht/net/trust/tls_context.hpp"
#include "nodes/rest/callers.hpp"
#include "nodes/rest/routes.hpp"

namespace ringfs::dht {
struct Listener;  // dht/net/sockets/listener.hpp
}

namespace ringfs::nodes {

inline constexpr std::size_t max_stranger_body_bytes = 4 << 10;  // a token, to log in

struct RestOptions {
  std::size_t max_connections = 1024;
  std::size_t max_turned_away = 64;
  Duration idle_timeout = std::chrono::seconds(60);  // between two requests of a connection, and for writing an answer
  Duration request_timeout = std::chrono::seconds(60);  // for reading a request
  Duration handshake_limit = dht::handshake_limit;
  bool open_loopback = false;  // serve every user of this machine, not only root and the one of this process
  // How long the ring may work on a request that begins now.
  std::function<Duration()> operation_timeout = [] { return std::chrono::seconds(default_op_timeout_seconds); };
  // Whether the node belongs to a ring. Until then requests about the ring, its keys or members are answered
  // `unavailable`.
  std::function<bool()> in_ring = [] { return true; };
  // What connections that are made from now on use; null: those that are not plain are closed.
  std::function<std::shared_ptr<const dht::TlsContext>()> tls = [] { return nullptr; };
  RoleOfCertificate role_of_certificate = no_certificates;
  RoleOfBearer role_of_bearer = no_tokens;
  // host:port by which others reach this gateway, besides the address of each connection; empty: none.
  std::string advertised = {};
  // Whether a member was last heard of at an address (HandshakeShares).
  std::function<bool(const boost::asio::ip::address&)> is_member_address = [](const auto&) { return false; };
  // Whether a connection to this local address is plain.
  std::function<bool(const boost::asio::ip::address&)> is_plain = [](const auto& local) { return local.is_loopback(); };
};

class RestGateway {
 public:
  // `metrics`: the metrics of this node as Prometheus text.
  RestGateway(const boost::asio::any_io_executor& executor, ObjectStore& store, RingView& ring, RingAdmin& admin,
              std::function<std::string()> metrics, RestOptions options = {});
  ~RestGateway();  // after stop(), or when the loop has ended

  void start(dht::Listener listener);  // begins to accept
  // Connections and requests that were refused before they reached a route, by reason.
  const dht::RefusalCounts& refusals() const;
  std::uint64_t refused() const { return refusals().total(); }
  // Closes the listener, and the connections that have no request under way; waits until the others are answered.
  Task<void> stop();

 private:
  class Implementation;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace ringfs::nodes
