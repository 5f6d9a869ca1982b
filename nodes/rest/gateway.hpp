// The REST gateway of a node: raw keys and values, look-ups, the ring and its members over HTTP/1.1
// (docs/design.md#rest-gateway).
//
//   PUT, GET, HEAD, DELETE /v1/kv/{key}   any bytes up to 1 MiB; ETag, If-Match, If-None-Match (RFC 9110, 13)
//   GET, POST /v1/members                 the members; adds one
//   DELETE /v1/members/{member}           removes one
//   GET /v1/lookup/{key}, /v1/ring, /healthz, /metrics, /openapi.json, /docs
//
// Any node answers for any key: the gateway is a client of the ring, as a mount is. Every error is JSON: {"error",
// "reason"}.
//
// Threads: all on the loop of the executor. Limits:
// - max_connections. Further ones get 503 before a byte is read, and further than max_turned_away of those nothing at
//   all.
// - max_value_bytes for a body (413), 16 KiB for headers (431), request_timeout from the first byte of a request to its
//   last (408). A request that ends early gets 400.
//
// After a refusal the gateway reads and drops what the client still sends, for a moment. If it closed at once, a TCP
// reset could overtake the answer.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "dht/base/ring/settings.hpp"

namespace ringfs::dht {
struct Listener;  // dht/net/transport/listener.hpp
}

namespace ringfs::nodes {

struct RestOptions {
  std::size_t max_connections = 1024;
  std::size_t max_turned_away = 64;
  Duration idle_timeout = std::chrono::seconds(60);  // between two requests of a connection, and for writing an answer
  Duration request_timeout = std::chrono::seconds(60);  // for reading a request
  bool open_loopback = false;  // serve every user of this machine, not only root and the one of this process
  // How long the ring may work on a request that begins now.
  std::function<Duration()> operation_timeout = [] { return std::chrono::seconds(default_op_timeout_seconds); };
  // Whether the node belongs to a ring. Until then requests about the ring, its keys or members are answered
  // `unavailable`.
  std::function<bool()> in_ring = [] { return true; };
};

class RestGateway {
 public:
  // `metrics`: the metrics of this node as Prometheus text.
  RestGateway(const boost::asio::any_io_executor& executor, ObjectStore& store, RingView& ring, RingAdmin& admin,
              std::function<std::string()> metrics, RestOptions options = {});
  ~RestGateway();  // after stop(), or when the loop has ended

  void start(dht::Listener listener);  // begins to accept
  // Connections and requests that were refused before they reached a route.
  std::uint64_t refused() const;
  // Closes the listener, and the connections that have no request under way; waits until the others are answered.
  Task<void> stop();

 private:
  class Implementation;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace ringfs::nodes
