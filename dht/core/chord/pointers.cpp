// How a successor list is made, and what the table says the pointers should be.
#include "dht/core/chord/pointers.hpp"

#include <algorithm>

namespace ringfs::dht {

std::vector<ChordPeer> ChordLists::successors(const Position& token, const ChordPeer& head,
                                              const std::vector<ChordPeer>& tail) const {
  std::vector<ChordPeer> result;
  std::vector<Uuid> named;
  auto add = [&](const ChordPeer& peer) {
    result.push_back(peer);
    bool counts = peer.node != self_ && !peers_.dead(peer.node);
    if (counts && std::find(named.begin(), named.end(), peer.node) == named.end()) named.push_back(peer.node);
  };
  add(head);
  for (const ChordPeer& peer : tail) {
    if (named.size() >= replication_ || result.size() >= max_successors) break;
    if (!peers_.known(peer)) continue;
    if (!in_open_arc(result.back().token, peer.token, token)) break;  // came around, or out of order
    add(peer);
  }
  return result;
}

ChordPointers ChordLists::ideal(const Position& token, const std::vector<ChordPeer>& ring) const {
  ChordPointers pointers;
  pointers.member = true;
  pointers.fingers.resize(fingers_per_token);
  auto at_or_after = [&ring](const Position& position) {
    auto found = std::lower_bound(ring.begin(), ring.end(), position,
                                  [](const ChordPeer& peer, const Position& wanted) { return peer.token < wanted; });
    return static_cast<std::size_t>(found - ring.begin()) % ring.size();
  };
  if (ring.empty()) return pointers;
  std::size_t own = at_or_after(token);
  bool listed = ring[own].token == token;
  std::size_t next = listed ? (own + 1) % ring.size() : own;
  if (listed && ring.size() == 1) return pointers;
  pointers.predecessor = ring[(own + ring.size() - 1) % ring.size()];
  std::vector<ChordPeer> tail;
  for (std::size_t i = 1; i < std::min(ring.size(), max_successors); ++i)
    tail.push_back(ring[(next + i) % ring.size()]);
  pointers.successors = successors(token, ring[next], tail);
  for (unsigned finger = first_useful_finger(token, pointers.successors); finger < fingers_per_token; ++finger) {
    pointers.fingers[finger] = ring[at_or_after(plus_power_of_two(token, finger))];
  }
  return pointers;
}

bool ChordLists::names_live_other(const std::vector<ChordPeer>& successors) const {
  return std::any_of(successors.begin(), successors.end(),
                     [this](const ChordPeer& peer) { return peer.node != self_ && !peers_.dead(peer.node); });
}

unsigned first_useful_finger(const Position& token, const std::vector<ChordPeer>& successors) {
  if (successors.empty()) return fingers_per_token;
  // 2^e <= distance < 2^(e+1): finger e begins at the successor or before it, finger e + 1 behind it.
  return log2_distance(token, successors.front().token) + 1;
}

const ChordPeer* first_live(const std::vector<ChordPeer>& successors, const ChordPeers& peers) {
  for (const ChordPeer& peer : successors) {
    if (peers.alive(peer)) return &peer;
  }
  return nullptr;
}

}  // namespace ringfs::dht
