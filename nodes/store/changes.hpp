// What writes and applies do to the tables, inside a transaction that the caller opens and ends. writer.hpp decides
// when, and how durably.
//
// Threads: the writer's. Errors: StoreFailure: corrupt (the disk, or a snapshot chunk), no_space, io_error, internal (a
// Write that breaks the contract of dht/core/protocol/effects.hpp). After an exception the caller rolls back and calls
// rolled_back(). Limits: cached entries, SqliteStoreOptions::entry_cache_bytes.
#pragma once

#include <deque>
#include <set>

#include "nodes/store/files/identity.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/options.hpp"
#include "nodes/store/rows/groups.hpp"
#include "nodes/store/rows/replica_ids.hpp"

namespace ringfs::nodes {

// Recently appended entries, so that an apply need not read them from the database. The oldest are dropped first.
class EntryCache {
 public:
  explicit EntryCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  void insert(PartitionId partition, StoredEntry entry);
  const StoredEntry* find(PartitionId partition, dht::LogIndex index) const;
  void erase(PartitionId partition, dht::LogIndex first, dht::LogIndex last);
  void clear();
  std::size_t bytes() const { return bytes_; }

 private:
  struct Cached {
    StoredEntry entry;
    std::uint64_t number = 0;  // of the insertion; tells it from an earlier entry of this index
  };
  using Key = std::pair<PartitionId, dht::LogIndex>;
  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::uint64_t inserted_ = 0;
  std::map<Key, Cached> entries_;
  std::deque<std::pair<Key, std::uint64_t>> order_;  // oldest first; may name entries that were erased
};

class StoreChanges {
 public:
  StoreChanges(Connection& connection, PayloadFile& payload_file, const Uuid& node, const SqliteStoreOptions& options);

  // Within a transaction. `home`: of the payloads of appended entries; those of snapshots go into the file.
  void perform(const dht::Write& write, PayloadHome home);
  std::vector<dht::AppliedBatch> perform(const dht::Apply& apply);
  // The rows that changed since the last call, for HotRows and RowWatch.
  std::map<PartitionId, HotChanges> take_row_changes() { return std::exchange(row_changes_, {}); }
  void save_groups();      // what perform() changed; the last call before COMMIT
  bool collect_garbage();  // one bounded step; false: there is no garbage left
  // After a step that found damage: that space stays until the next start.
  SpaceId leave_garbage();
  void request_rebuild() { meta_.set(rebuild_request, "garbage is damaged"); }

  // After the transaction.
  void committed();
  void rolled_back();

  bool garbage() const { return garbage_; }

 private:
  void perform_node(const dht::NodeWrite& write);
  void keep_identity(StoredIdentity identity);
  void perform_group(const dht::GroupWrite& write, PayloadHome home);
  void create_groups(const dht::Genesis& genesis);
  void load_groups();
  bool look_for_garbage();
  static void note_damage(GroupState& group, dht::Damage damage);
  void reset(GroupState& group, const dht::ReplicaReset& reset);
  void forget_hot_rows(const GroupState& group);
  void stage(GroupState& group, const dht::StageChunk& chunk);
  void install(GroupState& group, const dht::InstallSnapshot& snapshot);
  void truncate(GroupState& group, dht::LogIndex from);
  void append(GroupState& group, const dht::Entry& entry, PayloadHome home);
  void compact(GroupState& group, dht::LogIndex through);
  void apply_entry(GroupState& group, const StoredEntry& stored, std::vector<dht::AppliedBatch>& results);
  GroupState& group_of(PartitionId partition);  // created if there is none
  SpaceId new_space();
  void discard(SpaceId space);
  void discard_rows(const GroupState& group);
  void leave_all_garbage();
  void forget_staging(GroupState& group);

  Connection& connection_;
  const std::filesystem::path directory_;
  StoredIdentity identity_;  // as in the file of the second copy
  PayloadFile& payload_file_;
  Uuid node_;
  dht::EvaluateFaults faults_;
  PayloadTable payloads_;
  RowTable rows_;
  GroupTable group_table_;
  LogTable log_;
  MetaTable meta_;
  ReplicaIds ids_;
  Statement set_peer_;
  Statement add_garbage_;
  Statement next_garbage_;
  Statement remove_garbage_;

  std::map<PartitionId, GroupState> groups_;
  std::set<PartitionId> changed_;
  std::map<PartitionId, HotChanges> row_changes_;
  bool garbage_ = false;
  SpaceId collecting_ = 0;
  std::set<SpaceId> damaged_garbage_;  // not removed while this process runs
  EntryCache cache_;                   // includes the open transaction; emptied when that is rolled back
};

}  // namespace ringfs::nodes
