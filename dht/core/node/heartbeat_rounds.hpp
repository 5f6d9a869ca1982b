// Heartbeat rounds of this node with its peers: when one leaves, and what a heartbeat and its answer mean to the groups
// (docs/design.md#heartbeats).
//
// dht/core/raft/heartbeats.hpp keeps the lists, digests and rounds. Either node of a pair may start a round; one that
// is due anyway leaves with the answer. Threads: none. Limits: one round out of turn per urgent_gap.
#pragma once

#include <map>
#include <set>

#include "dht/core/node/fitness_watch.hpp"
#include "dht/core/node/groups.hpp"
#include "dht/core/raft/heartbeats.hpp"

namespace ringfs::dht {

inline constexpr Duration urgent_gap = std::chrono::milliseconds(10);  // between rounds out of turn

class HeartbeatRounds {
 public:
  HeartbeatRounds(GroupServices& services, Groups& groups, FitnessWatch& fitness)
      : services_(services), groups_(groups), fitness_(fitness) {}

  void on(const Uuid& source, const Heartbeat& message);
  void on(const Uuid& source, const HeartbeatReply& message);
  void forget(const Uuid& peer) { heartbeats_.forget(peer); }

  // The interval has ended: to all whose round is due.
  void send_due();
  // At the end of a turn: urgent ones, and those that leave with an answer.
  void send_with_turn();
  TimePoint deadline() const { return services_.urgent_heartbeats.empty() ? never : urgent_sent_at_ + urgent_gap; }

 private:
  TimePoint now() const { return services_.clock.now; }
  using Lists = std::map<Uuid, Heartbeats::Groups>;
  const Lists& lists();
  void send_to(const std::set<Uuid>& peers);
  void send(const Uuid& peer, const Heartbeats::Groups& list);

  GroupServices& services_;
  Groups& groups_;
  FitnessWatch& fitness_;
  Heartbeats heartbeats_;
  Lists lists_;
  std::uint64_t lists_of_ = UINT64_MAX;  // services_.heartbeat_changes when they were made
  std::set<Uuid> answered_;              // in this turn: a round that is due leaves with the answer
  TimePoint urgent_sent_at_ = TimePoint::min();
};

}  // namespace ringfs::dht
