// The network between nodes, and between clients and nodes: delays, losses, duplicates, reordering and partitions.
//
// Endpoints are numbers: nodes first, clients behind them. What is carried is an action that runs at the receiver.
// Reordering comes from delays that are drawn for each message alone. Threads: one, virtual.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

struct NetworkQuality {
  Duration low{100}, high{900};  // one way
  double drop = 0;
  double duplicate = 0;
  double late = 0;           // share of messages that take late_low..late_high
  bool late_copies = false;  // of a message that comes twice, one does
  Duration late_low{20000}, late_high{3000000};
};

class SimNetwork {
 public:
  SimNetwork(World& world, NetworkQuality quality) : world_(world), quality_(quality) {}

  // Runs `arrive` at the receiver: never, once or twice, later. True: it was copied.
  bool carry(unsigned from, unsigned to, std::function<void()> arrive);
  // Like carry, for what an operating system reports (a connection that closed): only partitions stop it.
  void carry_reliably(unsigned from, unsigned to, std::function<void()> arrive);

  void set_quality(NetworkQuality quality) { quality_ = quality; }
  const NetworkQuality& quality() const { return quality_; }
  void block(unsigned from, unsigned to) { blocked_.insert({from, to}); }
  void unblock(unsigned from, unsigned to) { blocked_.erase({from, to}); }
  void heal() { blocked_.clear(); }
  bool blocked(unsigned from, unsigned to) const { return blocked_.contains({from, to}); }
  bool partitioned() const { return !blocked_.empty(); }

 private:
  struct Link {  // one direction
    std::uint64_t sent = 0, newest_arrived = 0;
  };
  void deliver(unsigned from, unsigned to, bool late, std::function<void()> arrive);

  World& world_;
  std::map<std::pair<unsigned, unsigned>, Link> links_;
  NetworkQuality quality_;
  std::set<std::pair<unsigned, unsigned>> blocked_;
};

}  // namespace ringfs::sim
