// Faults that last for minutes, one after the other: nodes that are slow but not dead (docs/design.md#fitness).
//
//   hung disk     syncs do not end; sometimes reads do not either
//   hung disks    of several nodes at once, or of all: nodes that share one disk
//   slow disk     each sync takes many times what it takes the others
//   one way       one node does not hear another one, cannot say anything, or hears nobody
//   starved       the process gets a tenth of the time
//
// Availability judges meanwhile whether groups are served. Threads: one, virtual.
#pragma once

#include <functional>
#include <vector>

#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

struct LongFaultsOptions {
  bool active = false;
  Duration length_low = std::chrono::seconds(20), length_high = std::chrono::seconds(100);
  Duration pause_low = std::chrono::seconds(1), pause_high = std::chrono::seconds(15);  // between two faults
};

class LongFaults {
 public:
  LongFaults(Cluster& cluster, LongFaultsOptions options)
      : cluster_(cluster), world_(cluster.world()), options_(options) {}
  void start();
  void stop();

 private:
  void next();
  void strike(SimNode& node);
  std::function<void()> hang(SimNode& node);
  std::function<void()> hang_several();
  std::function<void()> slow(SimNode& node);
  std::function<void()> one_way(SimNode& node);
  std::function<void()> starve(SimNode& node);
  void starve_on(SimNode& node, std::uint64_t strike);

  Cluster& cluster_;
  World& world_;
  const LongFaultsOptions options_;
  std::function<void()> end_;  // of the fault that lasts
  std::uint64_t struck_ = 0;
  bool stopped_ = true;
};

}  // namespace ringfs::sim
