// Chord: routing and liveness only (docs/design.md#chord). Says where a position probably is; the partition's group
// says who may answer. A wrong pointer costs a hop, never a wrong answer.
//
// Every token of this node is a Chord virtual node (virtual_node.hpp) with predecessor, successor list and fingers,
// after Pamela Zave's corrected protocol ("Reasoning about identifier spaces: how to make Chord correct", IEEE TSE
// 2017): join takes the successor's whole list, stabilize asks the first live successor and then, in a second step,
// that one's closer predecessor, rectify adopts a closer predecessor or replaces a dead one. A node routes with the
// union of all its tokens' pointers (route.hpp). The successor list is extended until it names at least `replication`
// other nodes, or all there are.
//
// Sans I/O like all of core. Threads: none. Limits: successor lists of max_successors, 160 fingers a token, one request
// in flight per token and purpose, each with a timeout.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "dht/core/chord/context.hpp"
#include "dht/core/chord/entry_search.hpp"
#include "dht/core/chord/route.hpp"
#include "dht/core/chord/virtual_node.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

class Chord {
 public:
  using Pointers = ChordPointers;
  using Step = ChordStep;

  Chord(ChordOptions options, Random& random, TimePoint now);
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

  // One step of a look-up.
  Step find(const Position& position) const {
    return route(position, context_.self, context_.pointers, context_.peers);
  }

  std::vector<std::pair<Uuid, ChordMessage>> take_messages() { return std::exchange(context_.messages, {}); }

  // For tests, status and the simulator's invariants.
  const std::map<Position, Pointers>& pointers() const { return context_.pointers; }

 private:
  enum class Phase { idle, searching, running };

  void handle(const Uuid& source, const ChordMessage& message);
  void handle_local();
  void on(const Uuid& source, const ChordNeighboursRequest& request);
  void on(const Uuid& source, const ChordNeighbours& reply);
  void on(const Uuid& source, const ChordNotify& notify);
  void on(const Uuid& source, const ChordFind& find);
  void on(const Uuid& source, const ChordFound& found);
  void take_own_tokens();
  void start_running();
  void hurry();  // something about the ring changed: back to the short interval
  void merge();

  ChordContext context_;
  Phase phase_ = Phase::idle;
  EntrySearch search_;
  std::map<Position, ChordVirtualNode> virtual_nodes_;
  TimePoint next_merge_{};
  bool revived_ = false;  // peer_heard() has no time: the next tick hurries
};

}  // namespace ringfs::dht
