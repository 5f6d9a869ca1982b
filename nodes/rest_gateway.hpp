// The REST gateway of a node: raw keys and values, lookups, the ring and its members over HTTP/1.1 (design 9).
//
//   PUT, GET, HEAD, DELETE /v1/kv/{key}   any bytes up to 1 MiB; ETag, If-Match, If-None-Match (RFC 9110, section 13)
//   GET /v1/lookup/{key}, /v1/ring, /v1/members, /healthz, /metrics, /openapi.json, /docs
//
// Any node answers for any key: the gateway is a client of the ring like a mount is. Every error is JSON {"error", "reason"}.
// Threads: everything on the given executor (one loop). Limits: max_connections, request_limit_seconds per request,
// max_value_bytes per body, 16 KiB of headers; a request beyond them gets 503, 408, 413, 431.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "dht/base/object_store.hpp"
#include "dht/base/ring_view.hpp"

namespace ringfs {

struct RestOptions {
  std::size_t max_connections = 1024;
  Duration idle_timeout = std::chrono::seconds(60);       // between requests of one connection, and for reading one
  Duration operation_timeout = std::chrono::seconds(30);  // of the ring's work for one request
};

struct Listener;  // dht/net/listener.hpp

class RestGateway {
 public:
  // `metrics`: this node's own metrics as Prometheus text.
  RestGateway(boost::asio::any_io_executor executor, ObjectStore& store, RingView& ring,
              std::function<std::string()> metrics, RestOptions options = {});
  ~RestGateway();  // after stop(), or when the loop no longer runs

  void start(Listener listener);  // begins to accept
  // Closes the listener and all connections, waits for their requests to end.
  Task<void> stop();

 private:
  class Implementation;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace ringfs
