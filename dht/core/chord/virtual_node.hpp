// One token of this node as a Chord virtual node: it joins, stabilizes, and keeps its pointers right.
//
//   virtual_node.cpp  answers, timeouts, the interval
//   join.cpp          coming into the ring through another node, or from the table
//   stabilize.cpp     stabilize and rectify, after Zave
//   fingers.cpp       fixing fingers
//
// Threads: none. Limits: one request in flight per purpose, each with a timeout.
#pragma once

#include <optional>
#include <vector>

#include "dht/core/chord/context.hpp"
#include "dht/core/chord/fingers.hpp"
#include "dht/core/chord/lookup.hpp"

namespace ringfs::dht {

class ChordVirtualNode {
 public:
  // Its pointers are in the context for as long as it lives.
  ChordVirtualNode(ChordContext& context, const Position& token);
  ~ChordVirtualNode() { context_.pointers.erase(token_); }
  ChordVirtualNode(const ChordVirtualNode&) = delete;
  ChordVirtualNode& operator=(const ChordVirtualNode&) = delete;

  const ChordPointers& pointers() const { return pointers_; }

  // False: the answer is not for this one.
  bool take(const Uuid& source, const ChordNeighbours& reply);
  bool take(const Uuid& source, const ChordFound& found);
  // Somebody believes to be the predecessor.
  void notified(const ChordPeer& candidate);

  void tick();
  TimePoint deadline() const;
  // Stabilizes again after `delay`, at the short interval from then on.
  void hurry(Duration delay);
  void forget_unknown_peers();

  // Joins through another node; from the table if it is not in the ring by `until`.
  void join(TimePoint until);
  // What a ring of exactly these tokens (ascending) makes of the pointers.
  void take_ring(const std::vector<ChordPeer>& ring);
  // Looks itself up through somebody who may be in another ring. False: it is not in a ring, or looks already.
  bool look_for_other_ring(const Uuid& through);

 private:
  // A question to another token about its neighbours, and why it is asked.
  struct Ask {
    enum class Why { successor, closer, join, predecessor };
    std::uint64_t request = 0;
    Why why{};
    ChordPeer peer;
    TimePoint sent;
    TimePoint deadline;
  };

  // virtual_node.cpp
  void ask(std::optional<Ask>& slot, Ask::Why why, const ChordPeer& peer);
  void expire_requests();
  void other_ring_found(const ChordPeer& peer);

  // join.cpp
  void start_join(const Position& behind_token);
  void join_found(const ChordPeer& successor);
  void joined(const ChordPeer& successor, const ChordNeighbours& reply);
  void retry_join();
  void take_table() { take_ring(context_.peers.ring()); }

  // stabilize.cpp
  void stabilize();
  void stabilize_answered(const Ask& asked, const ChordNeighbours& reply);
  void stabilize_unanswered(const Ask& asked);
  void adopt(const ChordPeer& head, const std::vector<ChordPeer>& tail);
  void drop_successor(const ChordPeer& peer);
  void finish_stabilize(const std::optional<ChordPeer>& their_predecessor);
  void rectify(const ChordPeer& candidate);
  void predecessor_gone();
  void set_predecessor(const ChordPeer& peer);
  const ChordPeer* live_successor() const { return first_live(pointers_.successors, context_.peers); }

  ChordContext& context_;
  const Position token_;
  ChordPointers& pointers_;  // in the context
  TimePoint next_stabilize_{};
  Duration interval_{};
  bool changed_ = false;            // since the last stabilize: keep a short interval
  std::optional<Ask> stabilizing_;  // also the last step of joining
  std::optional<Ask> checking_;     // is the predecessor alive? A candidate waits
  std::optional<ChordPeer> candidate_;
  ChordLookup joining_;
  ChordFingers fingers_;
  ChordLookup merging_;
  TimePoint join_until_{};  // not in the ring by then: pointers from the table
  TimePoint next_join_{};
};

}  // namespace ringfs::dht
