// What the virtual nodes of one Chord node share: options, time, the peers, all pointers, and the messages that leave.
//
// A message to a token of this node itself is not sent: it waits in `local` and is handled before the entry point of
// Chord returns. Threads: none. Limits: messages are taken after every call.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/core/chord/peers.hpp"
#include "dht/core/chord/pointers.hpp"
#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

using ChordMessage = std::variant<ChordNeighboursRequest, ChordNeighbours, ChordNotify, ChordFind, ChordFound>;

struct ChordOptions {
  Uuid self;
  std::vector<Position> tokens;  // until the members table names others
  unsigned replication = 3;
  Timing timing;
};

struct ChordContext {
  ChordContext(ChordOptions chord_options, Random& random_source, TimePoint time);
  ChordContext(const ChordContext&) = delete;
  ChordContext& operator=(const ChordContext&) = delete;

  Duration timeout() const { return options.timing.stabilize / 2; }  // of one request
  Duration jittered(Duration duration);                              // nine to ten tenths of it
  void send(const Uuid& node, ChordMessage message);
  // A request to the node, sent at `sent`, was not answered in time.
  void note_silence(const Uuid& node, TimePoint sent);

  const ChordOptions options;
  const Uuid self;
  Random& random;
  TimePoint now;  // of the call that is being carried out
  ChordPeers peers;
  ChordLists lists;
  std::map<Position, ChordPointers> pointers;  // of each own token
  std::vector<Uuid> entries;                   // nodes that answered as ring members while this one was starting
  std::uint64_t next_request = 1;
  std::function<void()> hurry;  // something about the ring changed: all virtual nodes go back to the short interval
  std::deque<ChordMessage> local;
  std::vector<std::pair<Uuid, ChordMessage>> messages;
};

}  // namespace ringfs::dht
