// A ring of scripted nodes behind a ClientTransport. The groups' rows are real (MemoryRing); the test decides who
// leads, who answers and what gets lost. Time is virtual. Threads: one loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dht/core/members/placement.hpp"
#include "dht/net/transport/client_transport.hpp"
#include "tests/support/memory_object_store.hpp"

namespace ringfs {

struct FakeNode {
  enum class State { alive, dead, frozen, waiting } state = State::alive;  // waiting: belongs to no ring yet
  Uuid id;
  std::string address;
  std::size_t calls = 0;
  std::uint64_t table_version = 0;  // 0: the newest
  bool no_space = false;
  Duration disk_stalled{}, disk_write_time{};
  bool disk_slow = false, late = false;
  std::string storage_note;
  std::uint64_t disk_id = 0;
  std::uint64_t used_bytes = 1000, free_bytes = 6000;
  std::optional<Uuid> foreign_ring;  // that it belongs to
  std::optional<ErrorCode> refuses;  // everything
  std::size_t joins = 0;             // calls that told it of its ring
  std::vector<dht::NodeEvent> events;
  std::set<PartitionId> damaged;  // its copies of these
  Duration clock_error{0};
};

class FakeRing : public dht::ClientTransport {
 public:
  FakeRing(VirtualTime& time, std::size_t nodes, unsigned partition_bits = 4);

  Task<dht::OperationResult> call(std::string address, Uuid expected, dht::Operation operation,
                                  TimePoint deadline) override;
  void take_recalls(const Uuid&, std::function<void(const dht::Recall&, Forgotten)>) override {}  // there are none
  Task<void> sleep(Duration duration) override { return time_.sleep(duration); }
  TimePoint now() override { return time_.clock().now; }
  Stamp ring_time() override { return time_.clock().stamp; }
  Random& random() override { return random_; }

  FakeNode& node(std::size_t i) { return nodes_[i]; }
  FakeNode& node(const Uuid& id);
  std::size_t size() const { return nodes_.size(); }
  FakeNode& add_waiting(const std::string& address);
  MemoryRing& rows() { return *rows_; }
  const dht::Genesis& genesis() const { return genesis_; }
  dht::MembersTable table;             // what nodes answer
  AccessRole role = AccessRole::node;  // of whoever asks

  // Whom the partition's group consists of and who leads it; at first its placement and the first of it.
  struct Group {
    std::vector<Uuid> members;
    std::optional<Uuid> leader;
  };
  std::map<PartitionId, Group> groups;
  Group& group_of(const std::string& key) { return groups[partition_of(key_position(key), genesis_.partition_bits)]; }

  // What happens to the next commits that reach a leader, in order.
  enum class Fate {
    answered,
    reply_lost,
    unreachable_after,
    silent_after,
    lost_before,
    refused_no_space,
    deposed_after
  };
  std::deque<Fate> commit_fates;
  Duration clock_skew{0};      // of the leaders' stamps against the ring's time
  std::size_t executions = 0;  // batches that went through evaluate()
  std::function<void(FakeNode&, const dht::Operation&)> before_call;

 private:
  dht::OperationResult answer(FakeNode& node, const dht::Operation& operation);
  dht::OperationResult find(const FakeNode& node, const Position& position) const;
  dht::NodeStatus status_of(const FakeNode& node) const;

  VirtualTime& time_;
  SeededRandom random_{7};
  std::deque<FakeNode> nodes_;
  dht::Genesis genesis_;
  std::shared_ptr<MemoryRing> rows_ = std::make_shared<MemoryRing>();
  MemoryObjectStore settler_{time_, rows_, 77};  // every node's own client of the ring
};

}  // namespace ringfs
