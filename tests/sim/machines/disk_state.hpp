// What one node's database holds, and how writes and applies change it. The simulated disk keeps two of them: what was
// handed to the operating system, and what is durable.
//
// Threads: none of its own. A change that breaks the contract of dht/core/protocol/effects.hpp (a gap in the log,
// compaction above the applied index, ...) is an error of the core: perform() says what is wrong instead of carrying
// on.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "dht/core/protocol/effects.hpp"
#include "dht/core/protocol/persisted_state.hpp"
#include "dht/core/rows/evaluate.hpp"
#include "tests/sim/machines/sim_rows.hpp"

namespace ringfs::sim {

// Test-only switches (docs/design.md#proof-by-simulation).
struct DiskFaults {
  dht::EvaluateFaults evaluate;
  // What the disk lost is taken for absent: rows, the end of a log, a group's term and vote.
  bool serve_damage = false;
  // A small write into a row changes the payload that a log entry shares, instead of a copy.
  bool patch_shared_payloads = false;
};

struct GroupState : dht::GroupRecord {
  std::deque<dht::Entry> log;  // base_index + 1, ...
  SimRows rows;
  std::uint64_t staged_snapshot = 0;
  std::vector<dht::StageChunk> staged;

  dht::LogIndex last_index() const { return base_index + log.size(); }
  const dht::Entry* entry(dht::LogIndex index) const;  // null: not in the log
  // The term of an entry or of the base; 0 when it is not known here.
  dht::Term term_at(dht::LogIndex index) const;
  // Of the log's last configuration entry, or the one applied.
  dht::Configuration newest_configuration() const;
  // Blobs of the log that are one payload with a row's value (docs/design.md#store-files).
  std::vector<SharedBytes*> entries_sharing(const SharedBytes& value);
};

// One entry that was applied, for the invariants.
struct AppliedEntry {
  const dht::Entry* entry = nullptr;
  const BatchResult* result = nullptr;  // null: not a batch
  const Batch* batch = nullptr;         // null: not a batch, or does not decode
  std::uint64_t state_hash = 0;         // of the group's rows after it
  bool patched_shared = false;          // it wrote into a payload that a log entry shares
};

class DiskWatcher {
 public:
  virtual ~DiskWatcher() = default;
  // Of the genesis record, or of a snapshot that was installed; those in the log come through on_append.
  virtual void on_configuration(PartitionId partition, dht::LogIndex index,
                                const dht::Configuration& configuration) = 0;
  // `had_data`: ReplicaId::added of the replica whose data goes; none: there was no data.
  virtual void on_reset(PartitionId partition, std::optional<dht::LogIndex> had_data,
                        const dht::ReplicaReset& reset) = 0;
  virtual void on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) = 0;
  virtual void on_hard_state(PartitionId partition, const dht::HardState& before, const dht::HardState& after) = 0;
  virtual void on_applied(PartitionId partition, const AppliedEntry& applied) = 0;
  virtual void on_installed(PartitionId partition, dht::LogIndex added, dht::LogIndex index, dht::Term term,
                            std::uint64_t state_hash) = 0;
};

// What the disk of a stopped node loses of a group.
struct LostGroup {
  PartitionId partition{};
  bool hard_state = false;  // with it its configuration; otherwise the log behind the applied index
};

// Rows that a disk loses.
struct LostRows {
  PartitionId partition{};
  std::vector<RowAddress> rows;
};

struct DiskState {
  dht::Incarnation incarnation;
  std::optional<dht::Genesis> genesis;
  std::optional<dht::MembersTable> table;
  std::map<Uuid, dht::Incarnation> peer_incarnations;
  std::map<PartitionId, GroupState> groups;

  // Empty text: done. `watcher` may be null.
  std::string perform(const dht::Write& write, const Uuid& self, DiskWatcher* watcher);
  // `met_damage`: it needs a row that is lost, and nothing was done. May be null.
  std::string perform(const dht::Apply& apply, const DiskFaults& faults, DiskWatcher* watcher,
                      std::vector<dht::AppliedBatch>* results, bool* met_damage = nullptr);
  void perform(const LostRows& lost, const DiskFaults& faults);
  void perform(const LostGroup& lost, const DiskFaults& faults);
  dht::PersistedNode persisted(const Uuid& self) const;

 private:
  std::string perform(const dht::GroupWrite& write, DiskWatcher* watcher);
  void reset(PartitionId partition, const dht::ReplicaReset& reset, DiskWatcher* watcher);
  std::string install(GroupState& group, const dht::GroupWrite& write, DiskWatcher* watcher);
};

// The rows of a snapshot in chunks, as they travel: opaque to the core.
std::vector<dht::SnapshotData> snapshot_chunks(const GroupState& group, std::size_t rows_per_chunk);

}  // namespace ringfs::sim
