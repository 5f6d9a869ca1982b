// One leader of a partition after the other falls silent as soon as it leads, while it hears everything and clients
// reach it: logs grow apart. Half of the plays follow figure 8 of the Raft paper.
//
// It only cuts links, at moments that it sees from outside. Threads: one, virtual.
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

  // A play of some rounds. False: one is on already (a node that is silent is so to all groups), or there is nobody to
  // be silent to.
  bool start();
  // For good. Whoever is silent is for the network to heal.
  void stop() { stopped_ = true; }

 private:
  struct Play {
    PartitionId partition{};
    bool figure_8 = false;
    unsigned round = 0, rounds = 0;
    dht::Term last_term = 0;          // of the leader that fell silent last
    unsigned leader = 0;              // the one whose turn it is
    std::optional<unsigned> silent;   // the one that is silent now
    std::vector<dht::LogIndex> ends;  // of everybody's log, when that one was elected
    TimePoint give_up{};
  };
  enum class Cut {
    at_once,  // nothing of the leader's term arrives anywhere
    soon,     // its first entries do, the next ones do not
    ripe,     // what earlier terms left to it does, and nothing of its own
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
