// Iterative lookups of the protocol itself: to join, to fix fingers, to find another ring that should be this one.
#include <algorithm>

#include "dht/core/chord/implementation.hpp"

namespace ringfs::dht {

namespace {

constexpr unsigned most_hops = 40;  // a stable ring of 65,536 tokens needs 18

}  // namespace

void Chord::Implementation::begin(std::optional<Lookup>& slot, const Position& position, const Uuid& first) {
  slot = Lookup{next_request_++, position, first, 0, now_, now_ + timeout()};
  send(first, ChordFind{slot->request, position});
}

std::optional<ChordPeer> Chord::Implementation::follow(std::optional<Lookup>& slot, const ChordFound& found) {
  Lookup lookup = *std::exchange(slot, {});
  if (!found.member || !peers_.known(found.peer)) return {};
  if (found.final) return found.peer;
  // An answer may name a node that does not answer this one; and nobody may send a lookup in circles.
  if (lookup.hops + 1 >= most_hops || found.peer.node == lookup.asked) return {};
  slot = Lookup{next_request_++, lookup.position, found.peer.node, lookup.hops + 1, now_, now_ + timeout()};
  send(found.peer.node, ChordFind{slot->request, lookup.position});
  return {};
}

// The next finger that is not the successor and not the same as the one before it.
void Chord::Implementation::fix_next_finger(const Position& token, Token& state) {
  Pointers& pointers = pointers_.at(token);
  unsigned first = first_useful_finger(token, pointers.successors);
  if (first >= fingers_per_token) {
    state.fingers_complete = true;
    return;
  }
  if (state.finger < first || state.finger >= fingers_per_token) {
    state.finger = first;
    std::fill_n(pointers.fingers.begin(), first, std::nullopt);
  }
  begin(state.fixing, plus_power_of_two(token, state.finger), self_);
}

void Chord::Implementation::finger_found(const Position& token, Token& state, const ChordPeer& peer) {
  Pointers& pointers = pointers_.at(token);
  Position start = plus_power_of_two(token, state.finger);
  // This finger, and all that begin between its start and the peer.
  do {
    if (pointers.fingers[state.finger] != peer) {
      pointers.fingers[state.finger] = peer;
      state.changed = true;
    }
    ++state.finger;
  } while (state.finger < fingers_per_token &&
           (peer.token == token ||
            (peer.token != start && in_half_open_arc(start, plus_power_of_two(token, state.finger), peer.token))));
  if (state.finger >= fingers_per_token) {
    state.fingers_complete = true;
    state.fingers_settled = !std::exchange(state.round_changed, false);
  } else if (!state.fingers_complete) {
    fix_next_finger(token, state);
  }
}

// A split ring never heals by stabilization alone: look the own tokens up through somebody who is remembered, dead or
// alive. More often while nobody else seems to be there.
void Chord::Implementation::merge() {
  bool alone = peers_.live_others() == 0;
  next_merge_ =
      now_ + jittered(alone ? std::min(2 * options_.timing.stabilize, options_.timing.merge) : options_.timing.merge);
  std::vector<Uuid> others = peers_.others(random_);
  if (others.empty()) return;
  Uuid through = others[random_.below(others.size())];
  for (auto& [token, state] : tokens_) {
    if (!pointers_.at(token).member || state.merging) continue;
    begin(state.merging, plus_power_of_two(token, 0), through);
    if (alone) break;  // one question is enough to find out whether it lives
  }
}

void Chord::Implementation::merge_found(const Position& token, Token& state, const ChordPeer& peer) {
  const ChordPeer* successor = first_live(pointers_.at(token).successors, peers_);
  if (peer.token == token || state.stabilizing) return;
  if (successor != nullptr && !in_open_arc(token, peer.token, successor->token)) return;
  ask(state.stabilizing, Ask::Why::closer, peer);
}

}  // namespace ringfs::dht
