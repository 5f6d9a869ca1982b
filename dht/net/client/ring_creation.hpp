// Creating a ring from waiting nodes (docs/design.md#creation): all of them get the same genesis record.
//
// Running it again is harmless and finishes what a failed run began: it copies the genesis of a node that has it.
// Threads: one loop. Every call ends by `deadline`. Errors: invalid_argument (no node, one node twice, counts out
// of range), already_member (a node belongs to another ring or the ring has other first nodes), unreachable and timeout
// name the node.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dht/core/protocol/genesis.hpp"
#include "dht/net/transport/client_transport.hpp"

namespace ringfs::dht {

struct FirstNode {
  std::string address;       // host:port of the RPC server
  std::string rest_address;  // empty when unknown: the node announces it
};

struct CreationOptions {
  unsigned partition_bits = 8;  // P = 2^k
  unsigned replication = 3;     // fewer nodes than that hold fewer copies, until more join
  std::optional<Uuid> ring;     // its uuid; otherwise drawn
};

struct CreationReport {
  Genesis genesis;
  bool existed = false;  // all nodes had it already
};

inline constexpr unsigned max_replication = 7;

// The record for these nodes, ids and addresses in the same order. Errors: invalid_argument.
Result<Genesis> make_genesis(const std::vector<FirstNode>& nodes, const std::vector<Uuid>& ids,
                             const CreationOptions& options, Random& random);

Task<Result<CreationReport>> create_ring(ClientTransport& transport, std::vector<FirstNode> nodes,
                                         CreationOptions options, TimePoint deadline);

}  // namespace ringfs::dht
