// Who may speak as which node: the highest incarnation that was seen of each peer (docs/design.md#node-identity).
//
// Peers keep it also across their own restarts. A lower one, or another one with the same counter, is a copy of the
// node's disk or an older state of it. Threads: none. Limits: max_known_peers; one event per kind of refusal and
// refusal_event_gap.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dht/core/node/known_ring.hpp"
#include "dht/core/protocol/messages.hpp"
#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

inline constexpr Duration refusal_event_gap = std::chrono::seconds(1);
inline constexpr std::size_t max_known_peers = 4 * max_members;

class PeerIdentities {
 public:
  PeerIdentities(GroupServices& services, const KnownRing& ring,
                 const std::vector<std::pair<Uuid, Incarnation>>& known);

  enum class Admission { refused, admitted, restarted };
  // Whether a message with this header is for this node of this ring, and of a process that may still speak.
  Admission admit(const Header& header);
  Status check(const Uuid& peer, const Incarnation& incarnation);
  // Tells the refusal, but a misconfigured peer must not fill the log.
  void refused_event(const char* name, const Uuid& source);
  // Writes what is there already, if there is anything: to see whether the disk answers.
  void write_again();

 private:
  // The name of what speaks against it; null: nothing does.
  const char* refusal(const Uuid& peer, const Incarnation& incarnation) const;
  const char* misdirected(const Header& header) const;

  GroupServices& services_;
  const KnownRing& ring_;
  std::map<Uuid, Incarnation> known_;
  std::map<std::string, TimePoint> refusal_events_;  // keys are fixed names
};

}  // namespace ringfs::dht
