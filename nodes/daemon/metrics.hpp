// The metrics of a node in Prometheus' text format (version 0.0.4), made from its status when asked.
//
// Threads: any; a plain function. The HELP lines document the names.
#pragma once

#include <string>

#include "dht/core/protocol/operations.hpp"
#include "dht/core/raft/group_services.hpp"
#include "dht/net/runtime/storage.hpp"
#include "dht/net/transport/refusals.hpp"

namespace ringfs::nodes {

// Of this process.
struct ConnectionCounts {
  dht::RefusalCounts refused_rpc = {};
  dht::RefusalCounts refused_rest = {};
};

std::string node_metrics_text(const dht::NodeStatus& status, const dht::StorageStatus& storage,
                              const ConnectionCounts& connections, const dht::LeaseCounters& leases);

}  // namespace ringfs::nodes
