// The pointers of one virtual node (one token): how a successor list is made, and what the table says they should be.
//
// No time and no messages in here. Threads: none. Limits: lists of max_successors, fingers_per_token.
#pragma once

#include <optional>
#include <vector>

#include "dht/core/chord/peers.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_successors = 64;
inline constexpr unsigned fingers_per_token = 160;

struct ChordPointers {
  bool member = false;  // false: the token is not in the ring yet
  std::optional<ChordPeer> predecessor;
  std::vector<ChordPeer> successors;
  std::vector<std::optional<ChordPeer>> fingers;
};

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
  ChordPointers ideal(const Position& token, const std::vector<ChordPeer>& ring) const;
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

}  // namespace ringfs::dht
