// Stabilize and rectify, after Zave: "Reasoning about identifier spaces: how to make Chord correct", IEEE TSE 2017.
#include <algorithm>
#include <utility>

#include "dht/core/chord/virtual_node.hpp"

namespace ringfs::dht {

namespace {

constexpr int longest_interval = 4;  // times the basic one, when nothing has changed for a while

}  // namespace

void ChordVirtualNode::stabilize() {
  const Duration shortest = context_.options.timing.stabilize;
  const bool changed = std::exchange(changed_, false);
  interval_ = changed ? shortest : std::min(2 * interval_, longest_interval * shortest);
  next_stabilize_ = context_.now + context_.jittered(interval_);
  fingers_.interval(changed);
  if (stabilizing_) return;
  // All other nodes in the list are dead: start over from the table, also if nobody is left.
  const bool cut_off = !context_.lists.names_live_other(pointers_.successors);
  const bool left_alone = !pointers_.successors.empty() && live_successor() == nullptr;
  if (left_alone || (cut_off && context_.peers.live_others() > 0)) take_table();
  const ChordPeer* successor = live_successor();
  if (successor != nullptr) ask(stabilizing_, Ask::Why::successor, ChordPeer(*successor));
}

void ChordVirtualNode::stabilize_answered(const Ask& asked, const ChordNeighbours& reply) {
  if (!reply.member) {  // restarted, or not in the ring yet: it will come back by itself
    if (asked.why == Ask::Why::join) {
      start_join(asked.peer.token);  // whoever comes behind it
    } else if (asked.why == Ask::Why::successor) {
      drop_successor(asked.peer);
    } else {
      finish_stabilize({});
    }
    return;
  }
  if (asked.why == Ask::Why::join) {
    joined(asked.peer, reply);
    return;
  }
  adopt(asked.peer, reply.successors);
  const auto& between = reply.predecessor;
  bool closer = asked.why == Ask::Why::successor && between && context_.peers.known(*between) &&
                in_open_arc(token_, between->token, asked.peer.token) &&
                context_.peers.worth_asking(between->node, context_.now, context_.options.timing.merge / 2);
  if (closer) {
    ask(stabilizing_, Ask::Why::closer, *between);
  } else {
    finish_stabilize(reply.predecessor);
  }
}

void ChordVirtualNode::stabilize_unanswered(const Ask& asked) {
  switch (asked.why) {
    case Ask::Why::join: retry_join(); break;
    case Ask::Why::closer: finish_stabilize({}); break;
    case Ask::Why::successor:
    case Ask::Why::predecessor: {
      // Once more, or, when that was the second time, the next one of the list.
      const ChordPeer* next = live_successor();
      if (next != nullptr) ask(stabilizing_, Ask::Why::successor, ChordPeer(*next));
      break;
    }
  }
}

void ChordVirtualNode::adopt(const ChordPeer& head, const std::vector<ChordPeer>& tail) {
  std::vector<ChordPeer> successors = context_.lists.successors(token_, head, tail);
  std::vector<ChordPeer>& current = pointers_.successors;
  if (successors == current) return;
  current = std::move(successors);
  changed_ = true;
}

void ChordVirtualNode::drop_successor(const ChordPeer& peer) {
  // In a ring of two that one may have joined, and said so, after it sent this answer.
  if (pointers_.successors.size() == 1 && pointers_.predecessor == peer) {
    hurry(context_.options.timing.stabilize / 2);
    return;
  }
  std::erase(pointers_.successors, peer);
  for (auto& finger : pointers_.fingers) {
    if (finger == peer) finger.reset();
  }
  changed_ = true;
  const ChordPeer* next = live_successor();
  if (next != nullptr) {
    ask(stabilizing_, Ask::Why::successor, ChordPeer(*next));
  } else {
    hurry(context_.options.timing.stabilize / 2);
  }
}

// Tells the successor, unless its answer shows that it knows; comes again soon when something changed.
void ChordVirtualNode::finish_stabilize(const std::optional<ChordPeer>& their_predecessor) {
  ChordPeer self{context_.self, token_};
  const ChordPeer* successor = live_successor();
  if (successor != nullptr && their_predecessor != self) {
    context_.send(successor->node, ChordNotify{successor->token, self});
  }
  if (changed_) hurry(context_.options.timing.stabilize / 4);
}

void ChordVirtualNode::set_predecessor(const ChordPeer& peer) {
  pointers_.predecessor = peer;
  checking_.reset();
  candidate_.reset();
  // A ring of one token: whoever comes before it comes behind it, too.
  if (pointers_.successors.empty()) pointers_.successors = context_.lists.successors(token_, peer, {});
  hurry(context_.options.timing.stabilize / 4);
}

void ChordVirtualNode::rectify(const ChordPeer& candidate) {
  if (candidate.token == token_) return;
  const auto& current = pointers_.predecessor;
  if (current == candidate) return;
  if (!current || in_open_arc(current->token, candidate.token, token_) || context_.peers.dead(current->node)) {
    set_predecessor(candidate);
    return;
  }
  // Farther away than the present one: only if that one is gone.
  candidate_ = candidate;
  if (!checking_) ask(checking_, Ask::Why::predecessor, ChordPeer(*current));
}

void ChordVirtualNode::predecessor_gone() {
  std::optional<ChordPeer> candidate = std::exchange(candidate_, {});
  if (candidate && context_.peers.alive(*candidate)) {
    set_predecessor(*candidate);
  } else {
    pointers_.predecessor.reset();
    changed_ = true;
  }
}

}  // namespace ringfs::dht
