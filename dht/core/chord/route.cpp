// How a Chord look-up is answered: one step, from all pointers of this node.
#include "dht/core/chord/route.hpp"

namespace ringfs::dht {

namespace {

using Own = std::map<Position, ChordPointers>;

// The own member token that precedes `position` most closely (strictly; around the circle).
Own::const_iterator own_before(const Position& position, const Own& own) {
  auto at = own.lower_bound(position);
  for (std::size_t step = 0; step < own.size(); ++step) {
    if (at == own.begin()) at = own.end();
    --at;
    if (at->second.member) return at;
  }
  return own.end();
}

Own::const_iterator own_at_or_after(const Position& position, const Own& own) {
  auto at = own.lower_bound(position);
  for (std::size_t step = 0; step < own.size(); ++step) {
    if (at == own.end()) at = own.begin();
    if (at->second.member) return at;
    ++at;
  }
  return own.end();
}

// The closest to `position` of all peers that precede it and are not this node.
class Closest {
 public:
  Closest(const Position& position, const Position& own, const Uuid& self, const ChordPeers& peers)
      : position_(position), best_{self, own}, self_(self), peers_(peers) {}

  void offer(const ChordPeer& peer, const Position& through) {
    if (peer.node == self_ || !in_open_arc(best_.token, peer.token, position_)) return;
    if (peers_.dead(peer.node)) return;
    best_ = peer;
    through_ = through;
    found_ = true;
  }
  bool found() const { return found_; }
  const ChordPeer& peer() const { return best_; }
  const Position& through() const { return through_; }

 private:
  Position position_;
  ChordPeer best_;
  Position through_;
  Uuid self_;
  const ChordPeers& peers_;
  bool found_ = false;
};

// The first live peer at or behind `position` of all that are known; `own_next` is this node's own one.
ChordPeer next_known(const Position& position, const ChordPeer& own_next, const Own& own, const ChordPeers& peers) {
  ChordPeer best = own_next;
  auto offer = [&](const ChordPeer& peer) {
    bool nearer = peer.token == position || (best.token != position && in_open_arc(position, peer.token, best.token));
    if (nearer && peer.node != own_next.node && peers.alive(peer)) best = peer;
  };
  for (const auto& [token, pointers] : own) {
    if (!pointers.member) continue;
    for (const ChordPeer& peer : pointers.successors) offer(peer);
    for (const auto& finger : pointers.fingers) {
      if (finger) offer(*finger);
    }
  }
  return best;
}

}  // namespace

ChordStep route(const Position& position, const Uuid& self, const Own& own, const ChordPeers& peers) {
  auto before = own_before(position, own);
  if (before == own.end()) return {};
  ChordStep step{.member = true, .final = true, .peer = {}, .through = before->first};
  auto after = own_at_or_after(position, own);
  const auto& predecessor = after->second.predecessor;
  bool is_own = after->first == position || (predecessor && peers.alive(*predecessor) &&
                                             in_half_open_arc(predecessor->token, position, after->first));
  if (is_own) {
    step.peer = {self, after->first};
    step.through = after->first;
    return step;
  }
  const ChordPeer* successor = first_live(before->second.successors, peers);
  if (successor != nullptr && in_half_open_arc(before->first, position, successor->token)) {
    step.peer = *successor;
    return step;
  }
  Closest closest(position, before->first, self, peers);
  for (const auto& [token, pointers] : own) {
    if (!pointers.member) continue;
    for (const ChordPeer& peer : pointers.successors) closest.offer(peer, token);
    for (const auto& finger : pointers.fingers) {
      if (finger) closest.offer(*finger, token);
    }
  }
  if (!closest.found()) {  // nobody alive in between: whoever is known to come next
    step.peer = next_known(position, {self, after->first}, own, peers);
    return step;
  }
  // A finger that lies right on the position is no answer either. Look-ups fix fingers: a look-up that gave back the
  // present finger would never notice that the node is gone. Only stabilized pointers answer.
  step.final = false;
  step.peer = closest.peer();
  step.through = closest.through();
  return step;
}

}  // namespace ringfs::dht
