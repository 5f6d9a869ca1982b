// Ends transactions for clients that may only read, when they meet a lock (dht/net/client/lock_resolver.hpp).
//
// Threads: the node's loop. Errors: to whoever asked: unavailable (before the client has started), overloaded, and
// those of settle_for_reader(). Limits: max_open_requests at once, request_limit each.
#pragma once

#include <functional>

#include "dht/core/protocol/operations.hpp"
#include "dht/net/client/partitioned_store.hpp"

namespace ringfs::nodes {

class LockSettler {
 public:
  static constexpr std::size_t max_open_requests = 64;
  static constexpr Duration request_limit = std::chrono::seconds(3);

  // `client` is used as soon as `client_started`.
  LockSettler(dht::PartitionedStore& client, std::function<bool()> client_started)
      : client_(client), client_started_(std::move(client_started)) {}

  // Answers once, unless it is cancelled.
  Task<void> settle(dht::SettleOperation asked, std::function<void(dht::OperationResult)> answer);

 private:
  class Turn;  // one of max_open_requests

  dht::PartitionedStore& client_;
  const std::function<bool()> client_started_;
  std::size_t open_requests_ = 0;
};

}  // namespace ringfs::nodes
