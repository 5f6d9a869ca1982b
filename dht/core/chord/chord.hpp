// Chord: routing and liveness only (docs/design.md#chord). Says where a position probably is; the partition's group
// says who may answer. A wrong pointer costs a hop, never a wrong answer.
//
// Every token of this node is a Chord virtual node with predecessor, successor list and fingers, after Pamela Zave's
// corrected protocol ("Reasoning about identifier spaces: how to make Chord correct", IEEE TSE 2017): join takes the
// successor's whole list, stabilize asks the first live successor and then, in a second step, that one's closer
// predecessor, rectify adopts a closer predecessor or replaces a dead one. A node routes with the union of all its
// tokens' pointers. The successor list is extended until it names at least `replication` other nodes, or all there are.
//
// Sans I/O like all of core. Threads: none. Limits: successor lists of max_successors, 160 fingers a token, one request
// in flight per token and purpose, each with a time-out.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_successors = 64;

using ChordMessage = std::variant<ChordNeighboursRequest, ChordNeighbours, ChordNotify, ChordFind, ChordFound>;

struct ChordOptions {
  Uuid self;
  std::vector<Position> tokens;
  unsigned replication = 3;
  Timing timing;
};

class Chord {
 public:
  Chord(ChordOptions options, Random& random, TimePoint now);
  ~Chord();
  Chord(const Chord&) = delete;
  Chord& operator=(const Chord&) = delete;

  // The newest members table: who is remembered, and the fall-back when a whole successor list is dead. Tokens of this
  // node are taken from it too. The first call starts the protocol: join through a remembered node that answers as a
  // ring member; if none does within a bounded time (the whole ring restarts, or it has just been created), compute
  // every pointer from the table.
  void set_table(const MembersTable& table, TimePoint now);
  // The same without a copy, for whoever shares one table among many.
  void set_table(std::shared_ptr<const MembersTable> table, TimePoint now);

  void receive(const Uuid& source, const ChordMessage& message, TimePoint now);
  void tick(TimePoint now);
  TimePoint deadline() const;
  // A hint that a node is gone: its connection broke. It counts as dead until it is heard again.
  void peer_failed(const Uuid& node, TimePoint now);
  void peer_heard(const Uuid& node);

  // One step of a lookup, from this node's pointers (SIGCOMM paper, figure 5, closest_preceding_finger over all
  // tokens).
  struct Step {
    bool member = false;  // false: not in the ring yet
    bool final = false;   // peer is the successor of the position
    ChordPeer peer;
    Position through;  // which of the own tokens knew
  };
  Step find(const Position& position) const;

  std::vector<std::pair<Uuid, ChordMessage>> take_messages();

  // For tests, status and the simulator's invariants.
  struct Pointers {
    bool member = false;
    std::optional<ChordPeer> predecessor;
    std::vector<ChordPeer> successors;
    std::vector<std::optional<ChordPeer>> fingers;
  };
  const std::map<Position, Pointers>& pointers() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::dht
