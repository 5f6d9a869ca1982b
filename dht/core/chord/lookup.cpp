// Iterative look-ups of the protocol itself.
#include "dht/core/chord/lookup.hpp"

#include <utility>

namespace ringfs::dht {

namespace {

constexpr unsigned most_hops = 40;  // a stable ring of 65,536 tokens needs 18

}  // namespace

void ChordLookup::ask(ChordContext& context, const Position& position, const Uuid& node, unsigned hops) {
  request_ = Request{context.next_request++, position, node, hops, context.now, context.now + context.timeout()};
  context.send(node, ChordFind{request_->number, position});
}

void ChordLookup::begin(ChordContext& context, const Position& position, const Uuid& first) {
  ask(context, position, first, 0);
}

bool ChordLookup::awaits(const Uuid& source, const ChordFound& found) const {
  return request_ && request_->number == found.request && request_->asked == source;
}

std::optional<ChordPeer> ChordLookup::follow(ChordContext& context, const ChordFound& found) {
  const Request answered = *std::exchange(request_, {});
  if (!found.member || !context.peers.known(found.peer)) return {};
  if (found.final) return found.peer;
  // An answer may name a node that does not answer this one; and nobody may send a look-up in circles.
  if (answered.hops + 1 >= most_hops || found.peer.node == answered.asked) return {};
  ask(context, answered.position, found.peer.node, answered.hops + 1);
  return {};
}

bool ChordLookup::expire(ChordContext& context) {
  if (!request_ || request_->deadline > context.now) return false;
  const Request silent = *std::exchange(request_, {});
  context.note_silence(silent.asked, silent.sent);
  return true;
}

}  // namespace ringfs::dht
