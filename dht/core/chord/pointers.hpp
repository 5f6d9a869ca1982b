// The pointers of one virtual node (one token): how a successor list is made, what the table says they should be, and
// one step of routing over all own tokens. No time and no messages in here.
#pragma once

#include <map>
#include <vector>

#include "dht/core/chord/chord.hpp"
#include "dht/core/chord/peers.hpp"

namespace ringfs::dht {

inline constexpr unsigned fingers_per_token = 160;

class ChordLists {
 public:
  ChordLists(Uuid self, unsigned replication, const ChordPeers& peers)
      : self_(self), replication_(replication), peers_(peers) {}

  // `head`, then `tail` as far as it is ordered, known and needed: the list ends when it names `replication` other
  // nodes, at max_successors, or where it comes around to `token` itself. In a ring of few nodes it therefore names
  // every token, own ones too: these are left when all other nodes die.
  std::vector<ChordPeer> successors(const Position& token, const ChordPeer& head,
                                    const std::vector<ChordPeer>& tail) const;
  // What a ring of exactly these tokens (ascending) makes of the pointers of `token`.
  Chord::Pointers ideal(const Position& token, const std::vector<ChordPeer>& ring) const;
  // Some entry is another node that seems alive.
  bool names_live_other(const std::vector<ChordPeer>& successors) const;

 private:
  Uuid self_;
  unsigned replication_;
  const ChordPeers& peers_;
};

// Fingers below this number begin between the token and its successor: they are the successor, and are not kept.
unsigned first_useful_finger(const Position& token, const std::vector<ChordPeer>& successors);

const ChordPeer* first_live(const std::vector<ChordPeer>& successors, const ChordPeers& peers);

// One step of a lookup (Chord::find).
Chord::Step route(const Position& position, const Uuid& self, const std::map<Position, Chord::Pointers>& own,
                  const ChordPeers& peers);

}  // namespace ringfs::dht
