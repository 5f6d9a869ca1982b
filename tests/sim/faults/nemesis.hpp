// Faults at random times until stop(), which repairs everything.
//
// Each seed draws which kinds of faults it sees (swarm testing: Groce et al., ISSTA 2012), so that rare combinations
// happen. Threads: one, virtual.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/faults/leader_shuffle.hpp"
#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

struct NemesisOptions {
  Duration pause_low = std::chrono::milliseconds(200), pause_high = std::chrono::milliseconds(3000);
  double share_of_faults = 0.6;   // of the kinds below that this seed sees
  std::vector<std::string> only;  // not empty: these kinds, and kills
  double kills = 0.15;            // share of plain kills among all faults; the first two faults are always kills
  double calm = 0.12;             // share of pauses in which nothing strikes and operations get through
  Duration calm_low = std::chrono::seconds(1), calm_high = std::chrono::seconds(4);
  Duration wall_jump = std::chrono::seconds(20);  // at most, either way
  double clocks_right_at_the_end = 0.5;           // share of nodes whose wall clocks are set right when the faults stop
};

class Nemesis {
 public:
  // `endpoints`: how many the network has, nodes first, then clients. `kill_client` kills one of the clients at some
  // step.
  Nemesis(Cluster& cluster, NemesisOptions options, unsigned endpoints, std::function<void()> kill_client);

  // A few crashes at once, while the ring is being created.
  void disturb_creation();
  void start();
  void stop();
  // The disks of so many nodes are full from now until the end of the seed, also after stop().
  void fill_for_good(unsigned nodes);

 private:
  struct Fault {
    std::string name;
    std::function<bool()> strike;  // true: it happened; false: it could not, or is counted where it happens
  };
  void next();
  SimNode& any_node();
  SimNode* leader_of_something();
  void bring_back(unsigned index, Duration low, Duration high);
  bool kill();
  void kill_between_effects();
  bool power(unsigned nodes);
  bool fail_sync();
  bool freeze();
  bool partition();
  bool one_way();
  bool partial();
  void freeze_in_a_read();
  bool isolate_leader();
  bool restart_under_a_lease();
  void cut(unsigned a, unsigned b);
  // Kills the first node that `found` accepts, and counts it as `name`. Gives up after `looks`.
  void kill_when(const char* name, std::function<bool(SimNode&)> found, unsigned looks = 300);
  bool members_move();
  bool damage_a_replica();
  void damage(SimNode& node, PartitionId partition);
  bool slow_disk();
  bool disk_full();
  bool bad_network();
  bool jump_wall_clock();
  bool minutes_pass();
  bool wrong_clock();
  bool drift();

  Cluster& cluster_;
  World& world_;
  const NemesisOptions options_;
  const unsigned endpoints_;
  std::function<void()> kill_client_;
  std::vector<Fault> faults_;  // without plain kills
  NetworkQuality good_network_;
  LeaderShuffle shuffle_;
  bool stopped_ = true;
  std::uint64_t struck_ = 0;
  std::set<unsigned> full_;  // until the end of the seed
};

}  // namespace ringfs::sim
