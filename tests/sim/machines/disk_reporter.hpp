// Tells the invariants and the trace what the disk of a node does with its groups. Threads: one, virtual.
#pragma once

#include "tests/sim/checks/invariants.hpp"
#include "tests/sim/machines/disk_state.hpp"
#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

class DiskReporter : public DiskWatcher {
 public:
  DiskReporter(World& world, Invariants& invariants, unsigned index, const Uuid& id)
      : world_(world), invariants_(invariants), index_(index), id_(id) {}

  void on_configuration(PartitionId partition, dht::LogIndex index, const dht::Configuration& configuration) override;
  void on_reset(PartitionId partition, std::optional<dht::LogIndex> had_data, const dht::ReplicaReset& reset) override;
  void on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) override;
  void on_hard_state(PartitionId partition, const dht::HardState& before, const dht::HardState& after) override;
  void on_applied(PartitionId partition, const AppliedEntry& applied) override;
  void on_installed(PartitionId partition, dht::LogIndex added, dht::LogIndex index, dht::Term term,
                    std::uint64_t state_hash) override;

 private:
  World& world_;
  Invariants& invariants_;
  const unsigned index_;
  const Uuid id_;
};

}  // namespace ringfs::sim
