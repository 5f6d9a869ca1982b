// The text of a node's metrics.
#include "nodes/daemon/metrics.hpp"

#include <gtest/gtest.h>

namespace ringfs::nodes {
namespace {

TEST(NodeMetrics, RefusedConnections_AreToldByInterfaceAndReason) {
  ConnectionCounts connections;
  connections.refused_rpc.add(dht::RefusalReason::role);
  connections.refused_rpc.add(
      {{ErrorCode::access_denied, ""}, dht::RefusalReason::certificate, dht::CertificateFault::revoked});
  connections.refused_rest.add(dht::RefusalReason::origin);
  connections.refused_rest.add(dht::RefusalReason::origin);
  connections.refused_rest.add(dht::RefusalReason::slow);
  const std::string text = node_metrics_text({}, {}, connections, {});
  for (const char* line :
       {"ringfs_connections_refused_total{interface=\"rpc\",reason=\"role\"} 1\n",
        "ringfs_connections_refused_total{interface=\"rpc\",reason=\"user\"} 0\n",
        "ringfs_connections_refused_total{fault=\"revoked\",interface=\"rpc\",reason=\"certificate\"} 1\n",
        "ringfs_connections_refused_total{fault=\"expired\",interface=\"rpc\",reason=\"certificate\"} 0\n",
        "ringfs_connections_refused_total{interface=\"rest\",reason=\"origin\"} 2\n",
        "ringfs_connections_refused_total{interface=\"rest\",reason=\"slow\"} 1\n",
        "ringfs_connections_refused_total{interface=\"rest\",reason=\"limit\"} 0\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace ringfs::nodes
