// A node's metrics in Prometheus' text format (version 0.0.4), made from its status when asked.
//
// Threads: any; plain function. The names are documented in the HELP lines.
#pragma once

#include <string>

#include "dht/core/operations.hpp"
#include "dht/net/storage.hpp"

namespace ringfs {

std::string node_metrics_text(const NodeStatus& status, const StorageStatus& storage);

}  // namespace ringfs
