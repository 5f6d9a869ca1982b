// The REST gateway of a node: raw keys and values, lookups, the ring and its members over HTTP/1.1
// (docs/design.md#rest-gateway).
//
//   PUT, GET, HEAD, DELETE /v1/kv/{key}   any bytes up to 1 MiB; ETag, If-Match, If-None-Match (RFC 9110, section 13)
//   GET /v1/lookup/{key}, /v1/ring, /v1/members, /healthz, /metrics, /openapi.json, /docs
//
// Any node answers for any key: the gateway is a client of the ring like a mount is. Every error is JSON {"error",
// "reason"}. Threads: everything on the given executor (one loop). Limits: max_connections (beyond them 503 without
// reading a byte, and beyond max_turned_away of those nothing at all), max_value_bytes per body (413), 16 KiB of
// headers (431), and request_timeout from a request's first byte to its last (408). A request that is cut short gets
// 400. After a refusal what the client still sends is read and dropped for a moment: closing on it at once would be a
// TCP reset, which can overtake the answer.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "dht/base/object_store.hpp"
#include "dht/base/ring_admin.hpp"
#include "dht/base/ring_view.hpp"
#include "dht/base/settings.hpp"

namespace ringfs::dht {
struct Listener;  // dht/net/transport/listener.hpp
}

namespace ringfs::nodes {

struct RestOptions {
  std::size_t max_connections = 1024;
  std::size_t max_turned_away = 64;
  Duration idle_timeout = std::chrono::seconds(60);     // between requests of one connection, and for writing an answer
  Duration request_timeout = std::chrono::seconds(60);  // for reading one request
  // Of the ring's work for one request that begins now.
  std::function<Duration()> operation_timeout = [] { return std::chrono::seconds(default_op_timeout_seconds); };
  // Whether the node belongs to a ring. Until it does, what needs one is `unavailable`.
  std::function<bool()> in_ring = [] { return true; };
};

class RestGateway {
 public:
  // `metrics`: this node's own metrics as Prometheus text.
  RestGateway(boost::asio::any_io_executor executor, ObjectStore& store, RingView& ring, RingAdmin& admin,
              std::function<std::string()> metrics, RestOptions options = {});
  ~RestGateway();  // after stop(), or when the loop no longer runs

  void start(dht::Listener listener);  // begins to accept
  // Closes the listener and the connections on which no request is under way; waits for the others to be answered.
  Task<void> stop();

 private:
  class Implementation;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace ringfs::nodes
