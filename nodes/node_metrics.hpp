// A node's metrics in Prometheus' text format (version 0.0.4), made from its status when asked.
//
// Threads: any; plain function. The names are documented in the HELP lines.
#pragma once

#include <string>

#include "dht/core/operations.hpp"

namespace ringfs {

// set_aside: groups that this node does not serve because their data here is damaged.
std::string node_metrics_text(const NodeStatus& status, std::size_t set_aside);

}  // namespace ringfs
