// How far away the peers are: the shortest of the round trips that heartbeats took of late.
//
// The fixed timeouts (Timing) suit nodes of one place. At 200 ms there and back an answer alone takes a third of the
// shortest one, and a packet that was lost comes a round trip and 200 ms later still (the shortest retransmission
// timeout of Linux's TCP), with all that is behind it. So whoever waits for a far peer waits `patience` longer. That is
// a node's own affair: leases, which the nodes must agree upon, stay as long as they are. A busy machine or a lost
// packet makes single round trips longer, but none shorter; so only the shortest one counts, and less than `near` is
// none.
//
// Threads: none. Errors: none. Limits: near, farthest; two measurements a peer.
#pragma once

#include <algorithm>
#include <map>

#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

class Distances {
 public:
  static constexpr Duration near = std::chrono::milliseconds(50);       // below it a peer has no distance
  static constexpr Duration farthest = std::chrono::milliseconds(500);  // no distance is longer
  static constexpr Duration period = std::chrono::seconds(30);          // a measurement counts for one to two of these
  static constexpr int patience = 3;                                    // round trips

  void measured(const Uuid& peer, Duration round_trip, TimePoint now) {
    Peer& known = peers_[peer];
    if (known.since + period <= now) {
      known.before = known.shortest;
      known.shortest = Duration::max();
      known.since = now;
    }
    known.shortest = std::min(known.shortest, round_trip);
  }

  // Zero: it is near, or has answered no heartbeat. What was measured last counts until something new is.
  Duration to(const Uuid& peer) const {
    const auto known = peers_.find(peer);
    return known == peers_.end() ? Duration::zero() : length_of(known->second);
  }
  // Of those that have answered of late.
  Duration to_the_farthest(TimePoint now) const {
    Duration longest{};
    for (const auto& [peer, known] : peers_) {
      if (known.since + 2 * period > now) longest = std::max(longest, length_of(known));
    }
    return longest;
  }

 private:
  struct Peer {
    TimePoint since{};                    // of this period
    Duration shortest = Duration::max();  // in this period
    Duration before = Duration::max();    // in the period before
  };
  static Duration length_of(const Peer& peer) {
    const Duration shortest = std::min(peer.shortest, peer.before);
    return shortest < near ? Duration::zero() : std::min(shortest, farthest);
  }

  std::map<Uuid, Peer> peers_;
};

}  // namespace ringfs::dht
