// What goes wrong: faults drawn at random times until stop(), which repairs everything.
//
// Each seed draws which kinds of faults it sees (swarm testing: Groce et al., ISSTA 2012), so that rare combinations have room.
// Threads: one, virtual.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/sim/cluster.hpp"

namespace ringfs::sim {

struct NemesisOptions {
  Duration pause_low = std::chrono::milliseconds(200), pause_high = std::chrono::milliseconds(3000);
  double share_of_faults = 0.6;  // of the kinds below that this seed sees
  std::vector<std::string> only;  // not empty: these kinds, and kills
  double kills = 0.15;            // share of plain kills among all faults; the first two faults are kills anyway
  double calm = 0.12;             // share of pauses in which operations can get through
  Duration calm_low = std::chrono::seconds(1), calm_high = std::chrono::seconds(4);
  Duration wall_jump = std::chrono::seconds(20);  // at most, either way
};

class Nemesis {
 public:
  // `endpoints`: how many the network has; clients come behind the nodes. `kill_client`: one of the clients, at some step.
  Nemesis(Cluster& cluster, NemesisOptions options, unsigned endpoints, std::function<void()> kill_client);

  // A few crashes at once, while the ring is being created.
  void disturb_creation();
  void start();
  void stop();

 private:
  struct Fault {
    std::string name;
    std::function<void()> strike;
  };
  void next();
  SimNode& any_node();
  SimNode* leader_of_something();
  void bring_back(unsigned index, Duration low, Duration high);
  void kill();
  void kill_between_effects();
  void power(unsigned nodes);
  void fail_sync();
  void freeze();
  void partition();
  void one_way();
  void partial();
  void freeze_in_a_read();
  void isolate_leader();
  void shuffle_leaders();
  void silence_leader(PartitionId partition, Term last_term, std::optional<unsigned> silent, unsigned rounds, TimePoint give_up);
  void silence(unsigned node, bool silent);
  void restart_under_a_lease();
  void cut(unsigned a, unsigned b);
  void slow_disk();
  void disk_full();
  void bad_network();
  void jump_wall_clock();
  void minutes_pass();
  void drift();

  Cluster& cluster_;
  World& world_;
  const NemesisOptions options_;
  const unsigned endpoints_;
  std::function<void()> kill_client_;
  std::vector<Fault> faults_;  // without plain kills
  NetworkQuality good_network_;
  bool stopped_ = true;
  std::uint64_t struck_ = 0;
};

}  // namespace ringfs::sim
