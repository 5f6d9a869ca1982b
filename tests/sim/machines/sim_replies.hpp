// The operations that clients have open at a simulated node, and what is checked about their answers.
//
// Threads: one, virtual.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "dht/core/protocol/effects.hpp"

namespace ringfs::sim {

class Cluster;
class SimNode;

class SimReplies {
 public:
  using ReplyFunction = std::function<void(dht::OperationResult, Stamp)>;

  SimReplies(Cluster& cluster, SimNode& node) : cluster_(cluster), node_(node) {}

  // reply may be empty.
  dht::OperationId add(const dht::Operation& operation, ReplyFunction reply);
  void answer(const dht::Reply& reply, Stamp ring_time);
  // The connections break: most clients notice.
  void close();
  void clear() { waiting_.clear(); }

 private:
  struct Waiting {  // an operation whose answer is wanted
    ReplyFunction reply;
    std::optional<PartitionId> partition;
    bool read = false;
    dht::Term committed_term = 0;  // the highest one when it came
  };
  void check_read(const Waiting& waiting, const dht::ReadAnswer& answer);

  Cluster& cluster_;
  SimNode& node_;
  dht::OperationId next_operation_ = 1;
  std::map<dht::OperationId, Waiting> waiting_;
};

}  // namespace ringfs::sim
