// How a Chord look-up is answered: one step, from the pointers of all own tokens (SIGCOMM paper, figure 5,
// closest_preceding_finger over all tokens).
//
// Threads: none. Pure.
#pragma once

#include <map>

#include "dht/core/chord/peers.hpp"
#include "dht/core/chord/pointers.hpp"

namespace ringfs::dht {

struct ChordStep {
  bool member = false;  // false: this node is not in the ring yet
  bool final = false;   // peer is the successor of the position; otherwise ask peer next
  ChordPeer peer;
  Position through;  // which of the own tokens knew
};

ChordStep route(const Position& position, const Uuid& self, const std::map<Position, ChordPointers>& own,
                const ChordPeers& peers);

}  // namespace ringfs::dht
