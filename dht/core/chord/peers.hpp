// What a Chord node knows of the other nodes: the newest members table, and who seems to be alive.
//
// A node counts as dead after two requests without an answer, or when its connection broke; it is alive again when it
// is heard. The second request must have been sent after the first one failed, so that one short silence is not counted
// once per token.
// Threads: none.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/time.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

class ChordPeers {
 public:
  explicit ChordPeers(Uuid self);

  void set_table(std::shared_ptr<const MembersTable> table);
  bool has_table() const { return table_ != nullptr; }
  const Member* own_row() const { return table_ ? table_->find(self_) : nullptr; }

  // A token of a member that is not removed. What peers say about others is not believed.
  bool known(const ChordPeer& peer) const;
  bool dead(const Uuid& node) const;
  bool alive(const ChordPeer& peer) const { return !dead(peer.node); }
  // Not dead, or dead for long enough that asking once more is worth a request.
  bool worth_asking(const Uuid& node, TimePoint now, Duration timeout);

  // Each returns whether the belief changed.
  bool heard(const Uuid& node);
  bool failed(const Uuid& node, TimePoint now);
  bool silent(const Uuid& node, TimePoint sent, TimePoint now);

  // Other nodes that should be in the ring and are not known to be dead.
  std::size_t live_others() const;
  // All other members that are not removed, in random order; those the table calls dead come last.
  std::vector<Uuid> others(Random& random) const;
  // All tokens that should be in the ring, ascending: own ones, and those of other nodes that do not seem dead.
  std::vector<ChordPeer> ring() const;

 private:
  struct Belief {
    unsigned silences = 0;
    TimePoint last_silence{};
    bool dead = false;
    TimePoint ask_again{};
  };

  Uuid self_;
  std::shared_ptr<const MembersTable> table_;
  std::map<Uuid, Belief> beliefs_;  // of members of the table; absent: nothing against it
};

}  // namespace ringfs::dht
