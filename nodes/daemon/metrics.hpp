// A node's metrics in Prometheus' text format (version 0.0.4), made from its status when asked.
//
// Threads: any; plain function. The names are documented in the HELP lines.
#pragma once

#include <string>

#include "dht/core/protocol/operations.hpp"
#include "dht/net/runtime/storage.hpp"

namespace ringfs::nodes {

std::string node_metrics_text(const dht::NodeStatus& status, const dht::StorageStatus& storage);

}  // namespace ringfs::nodes
