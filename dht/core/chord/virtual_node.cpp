// What a virtual node does with answers and with their absence, and when it does something by itself.
#include "dht/core/chord/virtual_node.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::dht {

ChordVirtualNode::ChordVirtualNode(ChordContext& context, const Position& token)
    : context_(context),
      token_(token),
      pointers_(context.pointers[token]),
      interval_(context.options.timing.stabilize),
      fingers_(context, token, pointers_),
      join_until_(context.now + context.options.timing.stabilize),
      next_join_(context.now) {
  pointers_.fingers.resize(fingers_per_token);
}

void ChordVirtualNode::ask(std::optional<Ask>& slot, Ask::Why why, const ChordPeer& peer) {
  slot = Ask{context_.next_request++, why, peer, context_.now, context_.now + context_.timeout()};
  context_.send(peer.node, ChordNeighboursRequest{slot->request, peer.token});
}

bool ChordVirtualNode::take(const Uuid& source, const ChordNeighbours& reply) {
  auto awaits = [&](const std::optional<Ask>& slot) {
    return slot && slot->request == reply.request && slot->peer.node == source;
  };
  if (awaits(stabilizing_)) {
    const Ask asked = *std::exchange(stabilizing_, {});
    stabilize_answered(asked, reply);
    return true;
  }
  if (awaits(checking_)) {
    checking_.reset();
    if (!reply.member) predecessor_gone();
    candidate_.reset();
    return true;
  }
  return false;
}

bool ChordVirtualNode::take(const Uuid& source, const ChordFound& found) {
  if (joining_.awaits(source, found)) {
    if (auto peer = joining_.follow(context_, found)) join_found(*peer);
    if (!joining_.open() && !stabilizing_ && !pointers_.member) retry_join();
    return true;
  }
  if (fingers_.awaits(source, found)) {
    if (fingers_.answered(found)) changed_ = true;
    return true;
  }
  if (merging_.awaits(source, found)) {
    if (auto peer = merging_.follow(context_, found)) other_ring_found(*peer);
    return true;
  }
  return false;
}

void ChordVirtualNode::notified(const ChordPeer& candidate) {
  if (pointers_.member) rectify(candidate);
}

void ChordVirtualNode::expire_requests() {
  if (stabilizing_ && stabilizing_->deadline <= context_.now) {
    const Ask asked = *std::exchange(stabilizing_, {});
    context_.note_silence(asked.peer.node, asked.sent);
    stabilize_unanswered(asked);
  }
  if (checking_ && checking_->deadline <= context_.now) {
    const Ask asked = *std::exchange(checking_, {});
    context_.note_silence(asked.peer.node, asked.sent);
    if (context_.peers.dead(asked.peer.node)) {
      predecessor_gone();
      candidate_.reset();
    } else {
      ask(checking_, Ask::Why::predecessor, asked.peer);
    }
  }
  if (joining_.expire(context_)) retry_join();
  fingers_.expire();
  merging_.expire(context_);
}

void ChordVirtualNode::tick() {
  expire_requests();
  if (!pointers_.member) {
    if (join_until_ <= context_.now) {
      take_table();
    } else if (next_join_ <= context_.now && !joining_.open() && !stabilizing_) {
      start_join(token_);
    }
  }
  if (pointers_.member && next_stabilize_ <= context_.now) stabilize();
}

TimePoint ChordVirtualNode::deadline() const {
  TimePoint next = std::min({joining_.deadline(), fingers_.deadline(), merging_.deadline()});
  if (pointers_.member) {
    next = std::min(next, next_stabilize_);
  } else {
    next = std::min(next, join_until_);
    if (!joining_.open() && !stabilizing_) next = std::min(next, next_join_);
  }
  if (stabilizing_) next = std::min(next, stabilizing_->deadline);
  if (checking_) next = std::min(next, checking_->deadline);
  return next;
}

void ChordVirtualNode::hurry(Duration delay) {
  changed_ = true;
  interval_ = context_.options.timing.stabilize;
  next_stabilize_ = std::min(next_stabilize_, context_.now + context_.jittered(delay));
}

void ChordVirtualNode::forget_unknown_peers() {
  auto unknown = [this](const ChordPeer& peer) { return !context_.peers.known(peer); };
  std::erase_if(pointers_.successors, unknown);
  if (pointers_.predecessor && unknown(*pointers_.predecessor)) pointers_.predecessor.reset();
  for (auto& finger : pointers_.fingers) {
    if (finger && unknown(*finger)) finger.reset();
  }
  if (candidate_ && unknown(*candidate_)) candidate_.reset();
  if (pointers_.member && pointers_.successors.empty()) take_table();
}

bool ChordVirtualNode::look_for_other_ring(const Uuid& through) {
  if (!pointers_.member || merging_.open()) return false;
  merging_.begin(context_, plus_power_of_two(token_, 0), through);
  return true;
}

void ChordVirtualNode::other_ring_found(const ChordPeer& peer) {
  const ChordPeer* successor = live_successor();
  if (peer.token == token_ || stabilizing_) return;
  if (successor != nullptr && !in_open_arc(token_, peer.token, successor->token)) return;
  ask(stabilizing_, Ask::Why::closer, peer);
}

}  // namespace ringfs::dht
