// What leaves a simulated node: traced, checked, and sometimes heard again in its next life.
//
// Threads: one, virtual.
#pragma once

#include <map>
#include <memory>

#include "dht/core/protocol/messages.hpp"

namespace ringfs::sim {

class Cluster;
class SimNode;

class SimSender {
 public:
  SimSender(Cluster& cluster, SimNode& node) : cluster_(cluster), node_(node) {}

  void start();  // of the process
  void send(std::shared_ptr<const dht::Envelope> envelope);
  void echo_former_life(PartitionId partition);

 private:
  void check_hung_disk(const dht::Envelope& envelope);

  Cluster& cluster_;
  SimNode& node_;
  std::uint64_t life_ = 0;
  std::map<PartitionId, std::shared_ptr<const dht::Envelope>> acknowledged_;  // the last of each replica, for echoes
};

}  // namespace ringfs::sim
