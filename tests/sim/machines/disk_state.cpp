// Writes, applies, damage and snapshots on a simulated database.
#include "tests/sim/machines/disk_state.hpp"

#include <algorithm>

#include "dht/core/members/initial_groups.hpp"
#include "tests/support/persisted_group.hpp"

namespace ringfs::sim {

namespace {

constexpr std::uint64_t initial_row_version = 1;

// Where the bytes of a row's value lie in a snapshot chunk.
enum class ValuePlace : std::uint8_t { inline_value = 0, blob = 1 };

bool read_chunk(const dht::StageChunk& chunk, GroupState& group) {
  Reader reader(chunk.rows.view());
  std::size_t blob = 0;
  std::size_t count = reader.count(17);
  for (std::size_t i = 0; i < count; ++i) {
    RowAddress row;
    row.key = reader.string();
    row.sort = reader.string();
    std::uint64_t version = reader.u64();
    if (reader.u8() == static_cast<std::uint8_t>(ValuePlace::blob)) {
      if (blob >= chunk.blobs.size()) return false;
      group.rows.put(row, chunk.blobs[blob++], version);
    } else {
      group.rows.put(row, SharedBytes(std::string(reader.string())), version);
    }
  }
  return reader.done() && blob == chunk.blobs.size();
}

// A row that is overwritten in part gets a payload of its own when a log entry shares the present one; without that
// guard the entry changes with it. True: one was shared.
bool settle_patches(GroupState& group, const DiskFaults& faults) {
  bool shared = false;
  for (const SimRows::Patch& patch : group.rows.take_patches()) {
    for (SharedBytes* entry_blob : group.entries_sharing(patch.before)) {
      if (faults.patch_shared_payloads) *entry_blob = patch.after;
      shared = true;
    }
  }
  return shared;
}

}  // namespace

const dht::Entry* GroupState::entry(dht::LogIndex index) const {
  if (index <= base_index || index > last_index()) return nullptr;
  return &log[index - base_index - 1];
}

dht::Term GroupState::term_at(dht::LogIndex index) const {
  if (index == base_index) return base_term;
  const dht::Entry* found = entry(index);
  return found == nullptr ? 0 : found->term;
}

dht::Configuration GroupState::newest_configuration() const {
  for (auto entry = log.rbegin(); entry != log.rend(); ++entry) {
    if (entry->kind != dht::EntryKind::configuration) continue;
    if (Result<dht::Configuration> decoded = dht::decode_configuration(entry->head.view())) return *decoded;
  }
  return configuration;
}

std::vector<SharedBytes*> GroupState::entries_sharing(const SharedBytes& value) {
  std::vector<SharedBytes*> sharing;
  for (dht::Entry& entry : log) {
    for (SharedBytes& blob : entry.blobs) {
      if (blob.data() == value.data()) sharing.push_back(&blob);
    }
  }
  return sharing;
}

std::string DiskState::perform(const dht::Write& write, const Uuid& self, DiskWatcher* watcher) {
  if (write.node.genesis) {
    if (genesis && genesis->ring != write.node.genesis->ring) return "a second genesis";
    if (!genesis) {
      for (dht::InitialGroup& initial : dht::initial_groups(*write.node.genesis, self)) {
        GroupState& group = groups[initial.partition];
        group.configuration = initial.configuration;
        if (watcher != nullptr) watcher->on_configuration(initial.partition, 0, group.configuration);
        for (const dht::InitialRow& row : initial.rows)
          group.rows.put(row.row, SharedBytes(row.value), initial_row_version);
      }
    }
    genesis = write.node.genesis;
  }
  if (write.node.table) table = write.node.table;
  for (const auto& [peer, incarnation_seen] : write.node.peer_incarnations) peer_incarnations[peer] = incarnation_seen;
  for (const dht::GroupWrite& group : write.groups) {
    if (std::string wrong = perform(group, watcher); !wrong.empty()) {
      return "partition " + std::to_string(index_of(group.partition)) + ": " + wrong;
    }
  }
  return {};
}

std::string DiskState::perform(const dht::GroupWrite& write, DiskWatcher* watcher) {
  if (write.reset) reset(write.partition, *write.reset, watcher);
  auto known = groups.find(write.partition);
  if (known == groups.end()) return "a write to a replica that does not exist";
  GroupState& group = known->second;
  if (!group.holds_data && !write.install && (!write.append.empty() || write.truncate_from || write.compact_through)) {
    return "a log without the rows that it builds on";
  }
  if (write.unstage) {
    group.staged.clear();
    group.staged_snapshot = 0;
  }
  if (write.stage) {
    if (write.stage->number == 0) {
      group.staged.clear();
      group.staged_snapshot = write.stage->snapshot;
    }
    if (write.stage->snapshot != group.staged_snapshot || write.stage->number != group.staged.size()) {
      return "staged chunk out of order";
    }
    group.staged.push_back(*write.stage);
  }
  if (write.install) {
    if (std::string wrong = install(group, write, watcher); !wrong.empty()) return wrong;
  }
  if (write.hard_state) {
    if (watcher != nullptr) watcher->on_hard_state(write.partition, group.hard_state, *write.hard_state);
    group.hard_state = *write.hard_state;
  }
  if (write.truncate_from) {
    if (*write.truncate_from <= group.applied) return "truncation of applied entries";
    while (group.last_index() >= *write.truncate_from) group.log.pop_back();
  }
  for (const dht::Entry& entry : write.append) {
    if (entry.index != group.last_index() + 1) {
      return "append of index " + std::to_string(entry.index) + " after " + std::to_string(group.last_index());
    }
    Stamp before = group.log.empty() ? group.base_stamp : group.log.back().stamp;
    if (entry.stamp < before) return "append of index " + std::to_string(entry.index) + " with a stamp that goes back";
    if (watcher != nullptr) watcher->on_append(write.partition, group.term_at(group.last_index()), entry);
    group.log.push_back(entry);
  }
  if (write.damage) group.damage = *write.damage;
  if (write.compact_through) {
    if (*write.compact_through > group.applied) return "cut above the applied index";
    while (!group.log.empty() && group.base_index < *write.compact_through) {
      group.compact_through(group.log.front());
      group.log.pop_front();
    }
  }
  return {};
}

void DiskState::reset(PartitionId partition, const dht::ReplicaReset& reset, DiskWatcher* watcher) {
  auto [known, fresh] = groups.try_emplace(partition);
  GroupState& group = known->second;
  if (watcher != nullptr) {
    watcher->on_reset(partition, fresh || !group.holds_data ? std::nullopt : std::optional(group.replica.added), reset);
  }
  GroupState empty;
  static_cast<dht::GroupRecord&>(empty) = group;
  empty.reset(reset);
  group = std::move(empty);
}

std::string DiskState::install(GroupState& group, const dht::GroupWrite& write, DiskWatcher* watcher) {
  const dht::InstallSnapshot& snapshot = *write.install;
  if (snapshot.snapshot != group.staged_snapshot || group.staged.empty())
    return "install of a snapshot that is not staged";
  const dht::Entry* same = group.entry(snapshot.last_index);
  if (same != nullptr && same->term == snapshot.last_term)
    return "install of a snapshot over the log that it was taken from";
  if (snapshot.last_index < group.applied) return "install of a snapshot below the applied index";
  group.rows.clear();
  for (const dht::StageChunk& chunk : group.staged) {
    if (!read_chunk(chunk, group)) return "a staged chunk does not decode";
  }
  group.staged.clear();
  group.staged_snapshot = 0;
  group.log.clear();
  group.install(snapshot);
  if (watcher != nullptr) {
    watcher->on_configuration(write.partition, group.configuration_index, group.configuration);
    watcher->on_installed(write.partition, group.replica.added, snapshot.last_index, snapshot.last_term,
                          group.rows.hash());
  }
  return {};
}

void DiskState::perform(const LostRows& lost, const DiskFaults& faults) {
  auto found = groups.find(lost.partition);
  if (found == groups.end()) return;
  for (const RowAddress& row : lost.rows) found->second.rows.rot(row, faults.serve_damage);
}

// The store notices it when it is opened, and writes it down.
void DiskState::perform(const LostGroup& lost, const DiskFaults& faults) {
  auto found = groups.find(lost.partition);
  if (found == groups.end()) return;
  GroupState& group = found->second;
  if (lost.hard_state) {
    group.hard_state = {};
  } else {
    while (group.last_index() > group.applied) group.log.pop_back();
  }
  if (faults.serve_damage) return;
  if (lost.hard_state) group.configuration = {};
  group.damage = dht::Damage::log;
}

std::string DiskState::perform(const dht::Apply& apply, const DiskFaults& faults, DiskWatcher* watcher,
                               std::vector<dht::AppliedBatch>* results, bool* met_damage) {
  auto found = groups.find(apply.partition);
  if (found == groups.end() || !found->second.holds_data) return "apply in a replica without data";
  GroupState& group = found->second;
  if (apply.through > group.last_index()) return "apply of an entry that was never written";
  std::optional<GroupState> before;
  if (group.rows.any_rotten()) before = group;
  while (group.applied < apply.through) {
    const dht::Entry* entry = group.entry(group.applied + 1);
    if (entry == nullptr) return "apply of an entry that was cut";
    AppliedEntry applied_entry;
    applied_entry.entry = entry;
    BatchResult result;
    std::optional<Batch> batch;
    if (entry->kind == dht::EntryKind::batch) {
      if (Result<Batch> decoded = decode_batch(entry->head, entry->blobs)) {
        batch = std::move(*decoded);
        result = evaluate(*batch, entry->stamp, entry->index, group.rows, faults.evaluate);
        applied_entry.batch = &*batch;
        applied_entry.patched_shared = settle_patches(group, faults);
        if (group.rows.take_noticed()) {
          group = std::move(*before);
          if (met_damage != nullptr) *met_damage = true;
          return {};
        }
      } else {
        result.outcome = BatchResult::Outcome::invalid;
        result.stamp = entry->stamp;
      }
      applied_entry.result = &result;
      if (results != nullptr) results->push_back({entry->index, result});
    }
    if (!group.apply(*entry)) return "a configuration entry that does not decode";
    applied_entry.state_hash = group.rows.hash();
    if (watcher != nullptr) watcher->on_applied(apply.partition, applied_entry);
  }
  return {};
}

dht::PersistedNode DiskState::persisted(const Uuid& self) const {
  dht::PersistedNode node;
  node.id = self;
  node.incarnation = incarnation;
  node.genesis = genesis;
  node.table = table;
  node.peer_incarnations.assign(peer_incarnations.begin(), peer_incarnations.end());
  for (const auto& [partition, group] : groups) {
    node.groups.push_back(dht::persisted_group(partition, self, group, group.log));
  }
  return node;
}

std::vector<dht::SnapshotData> snapshot_chunks(const GroupState& group, std::size_t rows_per_chunk) {
  std::vector<dht::SnapshotData> chunks;
  const dht::Entry* applied = group.entry(group.applied);
  Stamp stamp = applied != nullptr ? applied->stamp : group.base_stamp;
  auto position = group.rows.all().begin();
  do {
    dht::SnapshotData data;
    data.last_index = group.applied;
    data.last_term = group.applied_term;
    data.last_stamp = stamp;
    data.configuration = group.configuration;
    data.configuration_index = group.configuration_index;
    std::size_t left = static_cast<std::size_t>(std::distance(position, group.rows.all().end()));
    std::size_t count = std::min(left, rows_per_chunk);
    const auto last = std::next(position, static_cast<std::ptrdiff_t>(count));
    const auto lost = std::count_if(position, last, [&](const auto& row) { return group.rows.rotten(row.first); });
    Writer writer;
    writer.u32(static_cast<std::uint32_t>(count - static_cast<std::size_t>(lost)));
    for (; position != last; ++position) {
      if (group.rows.rotten(position->first)) continue;
      writer.string(position->first.key);
      writer.string(position->first.sort);
      writer.u64(position->second.version);
      if (position->second.value.size() >= payload_threshold) {
        writer.u8(static_cast<std::uint8_t>(ValuePlace::blob));
        data.blobs.push_back(position->second.value);
      } else {
        writer.u8(static_cast<std::uint8_t>(ValuePlace::inline_value));
        writer.string(position->second.value.view());
      }
    }
    data.rows = SharedBytes(writer.take());
    data.last = position == group.rows.all().end();
    chunks.push_back(std::move(data));
  } while (position != group.rows.all().end());
  return chunks;
}

}  // namespace ringfs::sim
