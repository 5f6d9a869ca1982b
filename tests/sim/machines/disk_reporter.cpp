// What a disk did, as the invariants hear of it.
#include "tests/sim/machines/disk_reporter.hpp"

namespace ringfs::sim {

void DiskReporter::on_configuration(PartitionId partition, dht::LogIndex index,
                                    const dht::Configuration& configuration) {
  invariants_.on_committed_configuration(id_, partition, index, configuration);
}

void DiskReporter::on_reset(PartitionId partition, std::optional<dht::LogIndex> had_data,
                            const dht::ReplicaReset& reset) {
  world_.trace("replica reset", index_, index_of(partition), reset.added, had_data ? 1 : 0);
  invariants_.on_reset(id_, partition, had_data);
}

void DiskReporter::on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) {
  invariants_.on_append(partition, previous_term, entry);
}

void DiskReporter::on_hard_state(PartitionId partition, const dht::HardState& before, const dht::HardState& after) {
  world_.trace("hard state", index_, index_of(partition), after.term);
  invariants_.on_hard_state(id_, partition, before, after);
}

void DiskReporter::on_applied(PartitionId partition, const AppliedEntry& applied) {
  world_.trace("applied", index_, index_of(partition), applied.entry->index, applied.state_hash);
  invariants_.on_applied(id_, partition, applied);
}

void DiskReporter::on_installed(PartitionId partition, dht::LogIndex added, dht::LogIndex index, dht::Term term,
                                std::uint64_t state_hash) {
  world_.trace("installed", index_, index_of(partition), index);
  world_.count("raft: snapshot installed");
  invariants_.on_installed({id_, added}, partition, index, term, state_hash);
}

}  // namespace ringfs::sim
