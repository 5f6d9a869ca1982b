// Stabilize and rectify, after Zave: "Reasoning about identifier spaces: how to make Chord correct", IEEE TSE 2017.
#include <algorithm>

#include "dht/core/chord/implementation.hpp"

namespace ringfs::dht {

namespace {

constexpr int longest_interval = 4;   // times the basic one, when nothing has changed for a while
constexpr unsigned finger_pause = 4;  // intervals for one lookup then: a wrong finger costs a hop

}  // namespace

void Chord::Implementation::ask(std::optional<Ask>& slot, Ask::Why why, const ChordPeer& peer) {
  slot = Ask{next_request_++, why, peer, now_, now_ + timeout()};
  send(peer.node, ChordNeighboursRequest{slot->request, peer.token});
}

void Chord::Implementation::stabilize(const Position& token, Token& state) {
  state.interval = state.changed ? options_.timing.stabilize
                                 : std::min(2 * state.interval, longest_interval * options_.timing.stabilize);
  if (state.changed) {
    state.fingers_settled = false;
    state.round_changed = true;
  }
  state.changed = false;
  state.next_stabilize = now_ + jittered(state.interval);
  state.pauses = state.fingers_settled ? (state.pauses + 1) % finger_pause : 0;
  if (!state.fixing && state.pauses == 0) fix_next_finger(token, state);
  if (state.stabilizing) return;
  Pointers& pointers = pointers_.at(token);
  // All other nodes in the list are dead: start over from the table, be it that nobody is left.
  bool cut_off = !lists_.names_live_other(pointers.successors);
  bool left_alone = !pointers.successors.empty() && first_live(pointers.successors, peers_) == nullptr;
  if (left_alone || (cut_off && peers_.live_others() > 0)) pointers_from_table(token, state);
  const ChordPeer* successor = first_live(pointers.successors, peers_);
  if (successor != nullptr) ask(state.stabilizing, Ask::Why::successor, ChordPeer(*successor));
}

void Chord::Implementation::stabilize_answered(const Position& token, Token& state, const Ask& asked,
                                               const ChordNeighbours& reply) {
  if (!reply.member) {  // restarted, or not in the ring yet: it will come back by itself
    if (asked.why == Ask::Why::join) {
      start_join(token, state, asked.peer.token);  // whoever comes behind it
    } else if (asked.why == Ask::Why::successor) {
      drop_successor(token, state, asked.peer);
    } else {
      finish_stabilize(token, state, {});
    }
    return;
  }
  if (asked.why == Ask::Why::join) {
    joined(token, state, asked.peer, reply);
    return;
  }
  adopt(token, state, asked.peer, reply.successors);
  const auto& between = reply.predecessor;
  bool closer = asked.why == Ask::Why::successor && between && peers_.known(*between) &&
                in_open_arc(token, between->token, asked.peer.token) &&
                peers_.worth_asking(between->node, now_, options_.timing.merge / 2);
  if (closer) {
    ask(state.stabilizing, Ask::Why::closer, *between);
  } else {
    finish_stabilize(token, state, reply.predecessor);
  }
}

void Chord::Implementation::stabilize_unanswered(const Position& token, Token& state, const Ask& asked) {
  switch (asked.why) {
    case Ask::Why::join: retry_join(state); break;
    case Ask::Why::closer: finish_stabilize(token, state, {}); break;
    case Ask::Why::successor:
    case Ask::Why::predecessor: {
      // Once more, or, when that was the second time, the next one of the list.
      const ChordPeer* next = first_live(pointers_.at(token).successors, peers_);
      if (next != nullptr) ask(state.stabilizing, Ask::Why::successor, ChordPeer(*next));
      break;
    }
  }
}

void Chord::Implementation::adopt(const Position& token, Token& state, const ChordPeer& head,
                                  const std::vector<ChordPeer>& tail) {
  std::vector<ChordPeer> successors = lists_.successors(token, head, tail);
  std::vector<ChordPeer>& current = pointers_.at(token).successors;
  if (successors == current) return;
  current = std::move(successors);
  state.changed = true;
}

void Chord::Implementation::drop_successor(const Position& token, Token& state, const ChordPeer& peer) {
  Pointers& pointers = pointers_.at(token);
  // In a ring of two that one may have joined, and said so, after it sent this answer.
  if (pointers.successors.size() == 1 && pointers.predecessor == peer) {
    hurry(state, options_.timing.stabilize / 2);
    return;
  }
  std::erase(pointers.successors, peer);
  for (auto& finger : pointers.fingers) {
    if (finger == peer) finger.reset();
  }
  state.changed = true;
  const ChordPeer* next = first_live(pointers.successors, peers_);
  if (next != nullptr) {
    ask(state.stabilizing, Ask::Why::successor, ChordPeer(*next));
  } else {
    hurry(state, options_.timing.stabilize / 2);
  }
}

// Tells the successor, unless its answer shows that it knows; comes again soon when something changed.
void Chord::Implementation::finish_stabilize(const Position& token, Token& state,
                                             const std::optional<ChordPeer>& their_predecessor) {
  ChordPeer self{self_, token};
  const ChordPeer* successor = first_live(pointers_.at(token).successors, peers_);
  if (successor != nullptr && their_predecessor != self) {
    send(successor->node, ChordNotify{successor->token, self});
  }
  if (state.changed) hurry(state, options_.timing.stabilize / 4);
}

void Chord::Implementation::set_predecessor(const Position& token, Token& state, const ChordPeer& peer) {
  Pointers& pointers = pointers_.at(token);
  pointers.predecessor = peer;
  state.checking.reset();
  state.candidate.reset();
  // A ring of one token: whoever comes before it comes behind it, too.
  if (pointers.successors.empty()) pointers.successors = lists_.successors(token, peer, {});
  hurry(state, options_.timing.stabilize / 4);
}

void Chord::Implementation::rectify(const Position& token, Token& state, const ChordPeer& candidate) {
  if (candidate.token == token) return;
  const auto& current = pointers_.at(token).predecessor;
  if (current == candidate) return;
  if (!current || in_open_arc(current->token, candidate.token, token) || peers_.dead(current->node)) {
    set_predecessor(token, state, candidate);
    return;
  }
  // Farther away than the one we have: only if that one is gone.
  state.candidate = candidate;
  if (!state.checking) ask(state.checking, Ask::Why::predecessor, ChordPeer(*current));
}

void Chord::Implementation::predecessor_gone(const Position& token, Token& state) {
  std::optional<ChordPeer> candidate = std::exchange(state.candidate, {});
  if (candidate && peers_.alive(*candidate)) {
    set_predecessor(token, state, *candidate);
  } else {
    pointers_.at(token).predecessor.reset();
    state.changed = true;
  }
}

}  // namespace ringfs::dht
