// An iterative Chord lookup, driven by the asker (docs/design.md#chord): each node names the closest preceding token
// that it knows, or the answer. A wrong pointer costs a hop, never a wrong answer: what it finds is whom to ask, not
// who may answer.
//
// Threads: one loop. Limits: max_lookup_hops a start, max_lookup_starts nodes to start from, one try's time a hop.
// Errors: timeout, unreachable (nobody could be asked), unavailable (pointers led in a circle).
#pragma once

#include <vector>

#include "dht/net/client/ring_directory.hpp"
#include "dht/net/transport/client_transport.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_lookup_hops = 64;  // log2(tokens) + 2 in a stable ring; 1,000 nodes have 2^13 tokens
inline constexpr std::size_t max_lookup_starts = 3;

struct LookupHop {
  NodeAddress node;
  Position through;  // the token whose pointers it answered from
  Duration round_trip{};
};

struct LookupRoute {
  std::vector<LookupHop> hops;  // nodes asked, in order
  NodeAddress owner;            // of the successor token of the position
  Position token;
};

Task<Result<LookupRoute>> chord_lookup(ClientTransport& transport, RingDirectory& directory, Position position,
                                       Duration hop_time, TimePoint deadline);

}  // namespace ringfs::dht
