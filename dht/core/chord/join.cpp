// How a virtual node comes into the ring: through a node that is a member, or from the table.
#include <algorithm>

#include "dht/core/chord/virtual_node.hpp"

namespace ringfs::dht {

void ChordVirtualNode::join(TimePoint until) {
  join_until_ = until;
  start_join(token_);
}

// Looks for the first token behind `behind_token`. That is the own one to begin with: its position itself may still
// lead to this very token, as it was before a restart.
void ChordVirtualNode::start_join(const Position& behind_token) {
  const Position behind = plus_power_of_two(behind_token, 0);
  const bool other_member = std::any_of(context_.pointers.begin(), context_.pointers.end(),
                                        [](const auto& own) { return own.second.member; });
  if (other_member) {
    joining_.begin(context_, behind, context_.self);
  } else if (!context_.entries.empty()) {
    joining_.begin(context_, behind, context_.entries.back());
  } else {
    take_table();
  }
}

void ChordVirtualNode::join_found(const ChordPeer& successor) {
  if (successor.token == token_ || !context_.peers.known(successor)) return;  // tried again until join_until_
  ask(stabilizing_, Ask::Why::join, successor);
}

// The successor's whole list in one step. The predecessor is left to rectify.
void ChordVirtualNode::joined(const ChordPeer& successor, const ChordNeighbours& reply) {
  pointers_.member = true;
  pointers_.predecessor.reset();
  pointers_.successors = context_.lists.successors(token_, successor, reply.successors);
  changed_ = true;
  next_stabilize_ = context_.now;
  fingers_.start();
}

void ChordVirtualNode::retry_join() {
  next_join_ = context_.now + context_.jittered(context_.options.timing.stabilize / 20);
}

void ChordVirtualNode::take_ring(const std::vector<ChordPeer>& ring) {
  pointers_ = context_.lists.ideal(token_, ring);
  // Whom the table remembers may be gone; the next own token is not. It keeps the list from running dry.
  const auto next = context_.pointers.upper_bound(token_);
  const ChordPeer own{context_.self, next == context_.pointers.end() ? context_.pointers.begin()->first : next->first};
  const bool reaches =
      !pointers_.successors.empty() && in_open_arc(token_, own.token, pointers_.successors.back().token);
  const bool listed =
      pointers_.successors.empty() || own.token == token_ || pointers_.successors.back() == own || reaches;
  if (!listed && context_.peers.known(own)) pointers_.successors.push_back(own);
  joining_.drop();
  stabilizing_.reset();
  fingers_.take_complete();
  changed_ = true;
  interval_ = context_.options.timing.stabilize;
  next_stabilize_ = context_.now + context_.jittered(context_.options.timing.stabilize / 2);
}

}  // namespace ringfs::dht
