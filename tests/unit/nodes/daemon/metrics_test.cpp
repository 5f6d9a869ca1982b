// The text of a node's metrics.
#include "nodes/daemon/metrics.hpp"

#include <gtest/gtest.h>

namespace ringfs::nodes {
namespace {

TEST(NodeMetrics, RefusedConnections_AreToldByInterfaceAndReason) {
  ConnectionCounts connections;
  connections.refused_rpc = 3;
  connections.refused_rest.add(RefusalReason::origin);
  connections.refused_rest.add(RefusalReason::origin);
  connections.refused_rest.add(RefusalReason::slow);
  const std::string text = node_metrics_text({}, {}, connections);
  for (const char* line : {"ringfs_connections_refused_total{interface=\"rpc\"} 3\n",
                           "ringfs_connections_refused_total{interface=\"rest\",reason=\"origin\"} 2\n",
                           "ringfs_connections_refused_total{interface=\"rest\",reason=\"slow\"} 1\n",
                           "ringfs_connections_refused_total{interface=\"rest\",reason=\"limit\"} 0\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace ringfs::nodes
