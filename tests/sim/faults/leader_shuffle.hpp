// The leaders of one partition fall silent one after the other, each soon after its election. A silent leader hears
// everything, and clients reach it: logs diverge. Half of the plays follow figure 8 of the Raft paper.
//
// It cuts links only, at moments that can be seen from outside. Threads: one, virtual.
#pragma once

#include <optional>
#include <vector>

#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

class LeaderShuffle {
 public:
  explicit LeaderShuffle(Cluster& cluster) : cluster_(cluster), world_(cluster.world()) {}
  LeaderShuffle(const LeaderShuffle&) = delete;
  LeaderShuffle& operator=(const LeaderShuffle&) = delete;

  // A play of some rounds. False: one is on already (a silent node is silent in all its groups), or there are too few
  // nodes.
  bool start();
  // No more plays. The network's heal() ends the silence.
  void stop() { stopped_ = true; }

 private:
  struct Play {
    PartitionId partition{};
    bool figure_8 = false;
    unsigned round = 0, rounds = 0;
    dht::Term last_term = 0;          // of the leader that was silenced last
    unsigned leader = 0;              // who is silenced next
    std::optional<unsigned> silent;   // who is silent now
    std::vector<dht::LogIndex> ends;  // of all logs at that election
    TimePoint give_up{};
  };
  enum class Cut {
    at_once,  // nothing of the leader's term arrives anywhere
    soon,     // its first entries do, the next ones do not
    ripe,     // entries of earlier terms do, and none of its own
  };
  void await_leader(Play play);
  Cut next_compaction(const Play& play);
  void silence_when_ripe(Play play);
  bool earlier_terms_spread(const Play& play);
  const GroupState* durable_group(unsigned node, PartitionId partition);
  void silence_leader(Play play);
  void silence(unsigned node, bool silent);
  void end(const Play& play);

  Cluster& cluster_;
  World& world_;
  bool playing_ = false;
  bool stopped_ = false;
};

}  // namespace ringfs::sim
