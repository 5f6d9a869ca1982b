// One iterative look-up that Chord itself asks: to join, to fix a finger, to find another ring that should be this one.
//
// The node that is asked either knows the successor of the position or names the node to ask next (route.hpp).
// Threads: none. Errors: a look-up that fails ends without a result; whoever began it tries again later. Limits: one
// request at a time, each with a timeout; most_hops.
#pragma once

#include <optional>

#include "dht/core/chord/context.hpp"

namespace ringfs::dht {

class ChordLookup {
 public:
  // Takes the place of one that is open.
  void begin(ChordContext& context, const Position& position, const Uuid& first);
  void drop() { request_.reset(); }
  bool open() const { return request_.has_value(); }
  bool awaits(const Uuid& source, const ChordFound& found) const;
  // Follows the answer that was awaited. The successor, when this was the last one; nothing and not open: it failed.
  std::optional<ChordPeer> follow(ChordContext& context, const ChordFound& found);
  // True: it ended without an answer just now.
  bool expire(ChordContext& context);
  TimePoint deadline() const { return request_ ? request_->deadline : never; }

 private:
  struct Request {
    std::uint64_t number = 0;
    Position position;
    Uuid asked;
    unsigned hops = 0;
    TimePoint sent;
    TimePoint deadline;
  };
  void ask(ChordContext& context, const Position& position, const Uuid& node, unsigned hops);

  std::optional<Request> request_;
};

}  // namespace ringfs::dht
