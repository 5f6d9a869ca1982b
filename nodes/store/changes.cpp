// Each part of a Write and an Apply as changes of the tables and of the groups in memory.
#include "nodes/store/changes.hpp"

#include "dht/core/members/initial_groups.hpp"
#include "nodes/store/rows/chunks.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::uint64_t initial_row_version = 1;  // index 1 is a no-op, so no batch writes this version
constexpr std::size_t garbage_step_rows = 64;     // at most 4 MiB of payloads: a step takes some milliseconds

[[noreturn]] void broken(PartitionId partition, const std::string& what) {
  throw StoreFailure(ErrorCode::internal, name_of(partition) + ": " + what);
}

[[noreturn]] void damaged_entry(PartitionId partition, dht::LogIndex index, const std::string& what) {
  throw StoreFailure(ErrorCode::corrupt, name_of(partition, index) + ": " + what);
}

}  // namespace

void EntryCache::insert(PartitionId partition, StoredEntry entry) {
  Key key{partition, entry.entry.index};
  erase(partition, key.second, key.second);
  bytes_ += entry.entry.bytes();
  std::uint64_t number = ++inserted_;
  entries_[key] = Cached{std::move(entry), number};
  order_.emplace_back(key, number);
  // Drops the oldest entries while there are too many bytes. Names of entries that were applied meanwhile are skipped.
  while (!order_.empty()) {
    auto found = entries_.find(order_.front().first);
    bool alive = found != entries_.end() && found->second.number == order_.front().second;
    if (alive && bytes_ <= max_bytes_) break;
    if (alive) {
      bytes_ -= found->second.entry.entry.bytes();
      entries_.erase(found);
    }
    order_.pop_front();
  }
  // An old entry that is never applied must not keep all the names behind it.
  if (order_.size() > 2 * entries_.size() + 64) {
    std::erase_if(order_, [this](const auto& named) {
      auto found = entries_.find(named.first);
      return found == entries_.end() || found->second.number != named.second;
    });
  }
}

const StoredEntry* EntryCache::find(PartitionId partition, dht::LogIndex index) const {
  auto found = entries_.find({partition, index});
  return found == entries_.end() ? nullptr : &found->second.entry;
}

void EntryCache::erase(PartitionId partition, dht::LogIndex first, dht::LogIndex last) {
  auto from = entries_.lower_bound({partition, first});
  while (from != entries_.end() && from->first.first == partition && from->first.second <= last) {
    bytes_ -= from->second.entry.entry.bytes();
    from = entries_.erase(from);
  }
}

void EntryCache::clear() {
  entries_.clear();
  order_.clear();
  bytes_ = 0;
}

StoreChanges::StoreChanges(Connection& connection, PayloadFile& payload_file, const Uuid& node,
                           const SqliteStoreOptions& options)
    : connection_(connection),
      directory_(connection.file().parent_path()),
      identity_(read_identity(directory_).value_or(StoredIdentity{})),
      payload_file_(payload_file),
      node_(node),
      faults_(options.faults),
      payloads_(connection, payload_file),
      rows_(connection, payloads_),
      group_table_(connection),
      log_(connection, payloads_),
      meta_(connection),
      ids_(connection),
      set_peer_(connection,
                "INSERT INTO peer(node, counter, nonce, checksum) VALUES(?, ?, ?, ?) ON CONFLICT(node) DO UPDATE SET "
                "counter = excluded.counter, nonce = excluded.nonce, checksum = excluded.checksum"),
      add_garbage_(connection,
                   "INSERT OR IGNORE INTO garbage(space) VALUES(?)"),  // an old row of `grp` may name garbage
      next_garbage_(connection, "SELECT space FROM garbage ORDER BY space"),
      remove_garbage_(connection, "DELETE FROM garbage WHERE space = ?"),
      cache_(options.entry_cache_bytes) {
  rows_.remember_rows();
  load_groups();
  if (meta_.get(rebuild_request)) leave_all_garbage();
}

void StoreChanges::load_groups() {
  std::map<PartitionId, Error> unreadable;
  groups_ = group_table_.load_all(unreadable);
  // load_persisted() replaced unreadable rows; one that is unreadable now was damaged since.
  if (!unreadable.empty()) throw StoreFailure(ErrorCode::corrupt, unreadable.begin()->second.context);
  garbage_ = look_for_garbage();
}

// Damage only gets worse: what is lost does not come back.
void StoreChanges::note_damage(GroupState& group, dht::Damage damage) {
  if (damage <= damage_of(group.damage)) return;
  group.damage = damage == dht::Damage::rows ? ReplicaDamage::rows : ReplicaDamage::data;
}

void StoreChanges::perform(const dht::Write& write, PayloadHome home) {
  perform_node(write.node);
  for (const dht::GroupWrite& group : write.groups) perform_group(group, home);
}

// Called before `meta` changes: the second copy is never older than `meta`.
void StoreChanges::keep_identity(StoredIdentity identity) {
  if (identity == identity_) return;
  write_identity(directory_, identity);
  identity_ = std::move(identity);
}

void StoreChanges::perform_node(const dht::NodeWrite& write) {
  if (write.genesis) {
    std::string encoded = encode(*write.genesis);
    std::optional<std::string> before = meta_.get("genesis");
    if (before && *before != encoded) throw StoreFailure(ErrorCode::internal, "a second genesis");
    if (!before) {
      StoredIdentity identity = identity_;
      identity.genesis = encoded;
      keep_identity(std::move(identity));
      meta_.set("genesis", encoded);
      create_groups(*write.genesis);
    }
  }
  if (write.table) {
    StoredIdentity identity = identity_;
    identity.table = encode(*write.table);
    keep_identity(std::move(identity));
    meta_.set("table", encode(*write.table));
  }
  for (const auto& [peer, incarnation] : write.peer_incarnations) {
    Query(set_peer_, peer.raw(), incarnation.counter, incarnation.nonce, peer_checksum(peer, incarnation)).finish();
  }
}

void StoreChanges::create_groups(const dht::Genesis& genesis) {
  for (const dht::InitialGroup& initial : dht::initial_groups(genesis, node_)) {
    if (groups_.contains(initial.partition)) broken(initial.partition, "exists before genesis");
    GroupState& group = group_of(initial.partition);
    group.configuration = initial.configuration;
    rows_.select(group.space);
    rows_.set_blobs(nullptr, nullptr);
    for (const dht::InitialRow& row : initial.rows) rows_.put(row.row, SharedBytes(row.value), initial_row_version);
    group.rows_digest += rows_.take_digest_change();
  }
}

GroupState& StoreChanges::group_of(PartitionId partition) {
  changed_.insert(partition);
  auto found = groups_.find(partition);
  if (found != groups_.end()) return found->second;
  GroupState group;
  group.partition = partition;
  group.space = new_space();
  return groups_[partition] = std::move(group);
}

SpaceId StoreChanges::new_space() { return take_new_space(meta_); }

void StoreChanges::discard(SpaceId space) {
  Query(add_garbage_, space).finish();
  garbage_ = true;
}

// Damaged rows may lie on pages of an older state. The overflow pages that these name may belong to other rows by now,
// and removing the rows would free them. So they stay until the database is copied.
void StoreChanges::discard_rows(const GroupState& group) {
  discard(group.space);
  if (damage_of(group.damage) != dht::Damage::rows) return;
  damaged_garbage_.insert(group.space);
  request_rebuild();
}

void StoreChanges::leave_all_garbage() {
  {
    Query query(next_garbage_);
    while (query.step()) damaged_garbage_.insert(query.integer(0));
  }
  garbage_ = look_for_garbage();
}

void StoreChanges::forget_staging(GroupState& group) {
  if (!group.staging) return;
  discard(group.staging->space);
  group.staging.reset();
}

void StoreChanges::perform_group(const dht::GroupWrite& write, PayloadHome home) {
  GroupState& group = group_of(write.partition);
  if (write.reset) reset(group, *write.reset);
  if (write.unstage) forget_staging(group);
  if (write.stage) stage(group, *write.stage);
  if (write.install) install(group, *write.install);
  if (write.hard_state) {
    if (write.hard_state->term < group.hard_state.term) broken(group.partition, "the term goes back");
    if (is_later(*write.hard_state, group.hard_state)) ids_.set_vote(group.partition, *write.hard_state);
    group.hard_state = *write.hard_state;
  }
  if (write.truncate_from) truncate(group, *write.truncate_from);
  for (const dht::Entry& entry : write.append) append(group, entry, home);
  if (write.compact_through) compact(group, *write.compact_through);
  if (write.damage) note_damage(group, *write.damage);
}

void StoreChanges::reset(GroupState& group, const dht::ReplicaReset& reset) {
  log_.remove(group.partition, 0, INT64_MAX);
  cache_.erase(group.partition, 0, INT64_MAX);
  forget_staging(group);
  discard_rows(group);
  group.space = new_space();
  group.rows_digest = group.log_digest = 0;
  group.damage = ReplicaDamage::none;
  if (group.replica_added != reset.added) ids_.set_added(group.partition, reset.added);
  group.replica_added = reset.added;
  group.configuration = reset.configuration;
  group.configuration_index = reset.configuration_index;
  group.base = group.applied = {};
  group.last_index = 0;
  group.holds_data = false;
  forget_hot_rows(group);
}

void StoreChanges::forget_hot_rows(const GroupState& group) {
  HotChanges& noted = row_changes_[group.partition];
  noted.applied = group.applied.index;
  noted.all = true;
  noted.rows.clear();
}

void StoreChanges::stage(GroupState& group, const dht::StageChunk& chunk) {
  if (chunk.number == 0) {
    forget_staging(group);
    group.staging = Staging{new_space(), chunk.snapshot, 0, 0};
  }
  if (!group.staging || chunk.snapshot != group.staging->snapshot || chunk.number != group.staging->next) {
    broken(group.partition, "chunk " + std::to_string(chunk.number) + " of a snapshot is out of order");
  }
  rows_.select(group.staging->space);
  rows_.set_blobs(nullptr, nullptr);
  rows_.put_payloads_into(PayloadHome::file);
  Status read = read_chunk(chunk.rows, chunk.blobs,
                           [this](const RowAddress& row, std::uint64_t version, const SharedBytes& value) {
                             rows_.put(row, value, version);
                           });
  rows_.put_payloads_into(PayloadHome::database);
  or_throw(read);
  group.staging->digest += rows_.take_digest_change();
  ++group.staging->next;
}

void StoreChanges::install(GroupState& group, const dht::InstallSnapshot& snapshot) {
  if (!group.staging || group.staging->snapshot != snapshot.snapshot || group.staging->next == 0) {
    broken(group.partition, "install of a snapshot that is not staged");
  }
  if (snapshot.last_index < group.applied.index)
    broken(group.partition, "install of a snapshot below the applied index");
  log_.remove(group.partition, 0, INT64_MAX);
  cache_.erase(group.partition, 0, INT64_MAX);
  discard_rows(group);
  group.space = group.staging->space;
  group.rows_digest = group.staging->digest;
  group.log_digest = 0;
  group.base = group.applied = {snapshot.last_index, snapshot.last_term, snapshot.last_stamp};
  group.last_index = snapshot.last_index;
  group.configuration = snapshot.configuration;
  group.configuration_index = snapshot.configuration_index;
  group.staging.reset();
  group.holds_data = true;
  if (group.damage == ReplicaDamage::rows) group.damage = ReplicaDamage::none;  // the rows are new
  forget_hot_rows(group);
}

void StoreChanges::truncate(GroupState& group, dht::LogIndex from) {
  if (from <= group.applied.index) broken(group.partition, "truncation of applied entries");
  if (from > group.last_index) return;
  group.log_digest -= log_.remove(group.partition, from, group.last_index);
  cache_.erase(group.partition, from, group.last_index);
  group.last_index = from - 1;
}

void StoreChanges::append(GroupState& group, const dht::Entry& entry, PayloadHome home) {
  if (entry.index != group.last_index + 1) {
    broken(group.partition,
           "append of entry " + std::to_string(entry.index) + " after " + std::to_string(group.last_index));
  }
  LogTable::Appended appended = log_.append(group.partition, entry, home);
  cache_.insert(group.partition, StoredEntry{entry, std::move(appended.payloads)});
  group.last_index = entry.index;
  group.log_digest += appended.checksum;
}

void StoreChanges::compact(GroupState& group, dht::LogIndex through) {
  if (through > group.applied.index) broken(group.partition, "compaction above the applied index");
  if (through <= group.base.index) return;
  std::optional<LogTable::Info> last;
  try {
    last = log_.info(group.partition, through);
  } catch (const StoreFailure& failure) {
    if (failure.error().code != ErrorCode::corrupt) throw;
  }
  // The entry is missing or damaged: compact up to the applied one, whose term and stamp are known without the log.
  if (!last) through = group.applied.index;
  group.log_digest -= log_.remove(group.partition, group.base.index + 1, through);
  if (through == group.last_index) group.log_digest = 0;  // the log is empty now, whatever was missing before
  group.base = last ? LogPoint{through, last->info.term, last->stamp} : group.applied;
}

std::vector<dht::AppliedBatch> StoreChanges::perform(const dht::Apply& apply) {
  auto found = groups_.find(apply.partition);
  if (found == groups_.end()) broken(apply.partition, "apply in a group that does not exist");
  GroupState& group = found->second;
  if (apply.through > group.last_index) {
    broken(apply.partition, "apply of entry " + std::to_string(apply.through) + ", the log ends with " +
                                std::to_string(group.last_index));
  }
  std::vector<dht::AppliedBatch> results;
  if (apply.through <= group.applied.index) return results;
  changed_.insert(apply.partition);
  const auto [place, first_now] = row_changes_.try_emplace(apply.partition);
  HotChanges& noted = place->second;
  if (first_now) noted.before = group.applied.index;
  rows_.select(group.space);
  rows_.note_changes(&noted.rows);
  dht::LogIndex first = group.applied.index + 1;
  while (group.applied.index < apply.through) {
    dht::LogIndex next = group.applied.index + 1;
    if (const StoredEntry* cached = cache_.find(apply.partition, next)) {
      apply_entry(group, *cached, results);
      continue;
    }
    dht::LogIndex reached = group.applied.index;
    log_.load(apply.partition, next, apply.through, [&](StoredEntry&& stored) {
      if (stored.entry.index != group.applied.index + 1) return false;
      apply_entry(group, stored, results);
      return cache_.find(apply.partition, group.applied.index + 1) == nullptr;
    });
    if (group.applied.index == reached) damaged_entry(apply.partition, next, "missing");
  }
  rows_.note_changes(nullptr);
  group.rows_digest += rows_.take_digest_change();
  noted.applied = group.applied.index;
  cache_.erase(apply.partition, first, apply.through);
  return results;
}

void StoreChanges::apply_entry(GroupState& group, const StoredEntry& stored, std::vector<dht::AppliedBatch>& results) {
  const dht::Entry& entry = stored.entry;
  if (entry.kind == dht::EntryKind::batch) {
    BatchResult result;
    // The checksum of the entry holds, so every replica has these bytes. If they do not decode, the batch is invalid on
    // all of them.
    if (Result<Batch> batch = decode_batch(entry.head, entry.blobs)) {
      rows_.set_blobs(&entry.blobs, &stored.payloads);
      result = evaluate(*batch, entry.stamp, entry.index, rows_, faults_);
      rows_.set_blobs(nullptr, nullptr);
    } else {
      result.outcome = BatchResult::Outcome::invalid;
      result.stamp = entry.stamp;
    }
    results.push_back({entry.index, result});
  } else if (entry.kind == dht::EntryKind::configuration) {
    Result<dht::Configuration> configuration = dht::decode_configuration(entry.head.view());
    if (!configuration) damaged_entry(group.partition, entry.index, configuration.error().context);
    group.configuration = std::move(*configuration);
    group.configuration_index = entry.index;
  } else if (entry.kind != dht::EntryKind::no_op) {
    damaged_entry(group.partition, entry.index, "unknown kind");
  }
  group.applied = {entry.index, entry.term, entry.stamp};
}

void StoreChanges::save_groups() {
  for (PartitionId partition : changed_) group_table_.save(groups_.at(partition));
}

// True: there is garbage that can be removed. The first such space is then collecting_.
bool StoreChanges::look_for_garbage() {
  Query query(next_garbage_);
  while (query.step()) {
    collecting_ = query.integer(0);
    if (!damaged_garbage_.contains(collecting_)) return true;
  }
  return false;
}

bool StoreChanges::collect_garbage() {
  garbage_ = look_for_garbage();
  if (!garbage_) return false;
  if (!rows_.erase_some(collecting_, garbage_step_rows)) Query(remove_garbage_, collecting_).finish();
  return true;
}

SpaceId StoreChanges::leave_garbage() {
  damaged_garbage_.insert(collecting_);
  const SpaceId left = collecting_;
  garbage_ = look_for_garbage();
  return left;
}

void StoreChanges::committed() {
  payload_file_.committed();
  changed_.clear();
}

void StoreChanges::rolled_back() {
  payload_file_.rolled_back();
  cache_.clear();
  changed_.clear();
  row_changes_.clear();
  rows_.note_changes(nullptr);
  rows_.set_blobs(nullptr, nullptr);
  rows_.put_payloads_into(PayloadHome::database);
  rows_.forget_rows();
  load_groups();
}

}  // namespace ringfs::nodes
