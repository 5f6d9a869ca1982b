// Loading at a start: identity and incarnation, peers, and each group with its log, or with what damage leaves of it.
#include "nodes/store/rows/persisted.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "nodes/store/files/identity.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/rows/groups.hpp"
#include "nodes/store/rows/replica_ids.hpp"

namespace ringfs::nodes {

namespace {

template <class T>
T require(Result<T> result, const char* what) {
  if (result) return std::move(*result);
  throw StoreFailure(ErrorCode::corrupt, std::string(what) + ": " + result.error().text());
}

Uuid identity_of(MetaTable& meta, Random& random) {
  std::optional<std::string> stored = meta.get("id");
  if (!stored) {
    Uuid id = random_uuid(random);
    meta.set("id", id.raw());
    return id;
  }
  Reader reader(*stored);
  Uuid id = read_uuid(reader);
  if (!reader.done() || id.is_nil()) throw StoreFailure(ErrorCode::corrupt, "the node's uuid does not decode");
  return id;
}

std::vector<std::pair<Uuid, dht::Incarnation>> peers(Connection& connection) {
  std::vector<std::pair<Uuid, dht::Incarnation>> peers;
  Statement statement(connection, "SELECT node, counter, nonce, checksum FROM peer ORDER BY node");
  Query query(statement);
  while (query.step()) {
    Reader reader(query.bytes(0));
    Uuid peer = read_uuid(reader);
    dht::Incarnation incarnation{query.natural(1), query.natural(2)};
    // It is learned again at the peer's next handshake. That is better than to refuse the peer for ever, or not to
    // start.
    if (!reader.done() || (!query.null(3) && peer_checksum(peer, incarnation) != query.natural(3))) {
      spdlog::error("event=peer_row_damaged node={}", to_hex(query.bytes(0)));
      continue;
    }
    peers.emplace_back(peer, incarnation);
  }
  return peers;
}

Error noted_damage(const GroupState& group) {
  const std::string name = name_of(group.partition);
  switch (group.damage) {
    case ReplicaDamage::rows: return {ErrorCode::corrupt, name + ": some of its rows were found damaged"};
    case ReplicaDamage::data: return {ErrorCode::corrupt, name + ": its data was found damaged, and given up"};
    default: return {ErrorCode::corrupt, name + ": its state was found damaged, and what it voted for is not known"};
  }
}

// With an empty log behind `base`.
dht::PersistedGroup persisted_state(const GroupState& group, const Uuid& node, const LogPoint& base) {
  dht::PersistedGroup persisted;
  persisted.partition = group.partition;
  persisted.hard_state = group.hard_state;
  persisted.replica = {node, group.replica_added};
  persisted.holds_data = group.holds_data;
  persisted.configuration = group.configuration;
  persisted.configuration_index = group.configuration_index;
  persisted.applied = group.applied.index;
  persisted.applied_term = group.applied.term;
  persisted.base_index = base.index;
  persisted.base_term = base.term;
  persisted.base_stamp = persisted.last_stamp = base.stamp;
  return persisted;
}

// `entries`: the end and the digest of the entries that are there.
dht::PersistedGroup persisted_group(LogTable& log, const GroupState& group, const Uuid& node, LogTable::Sum& entries) {
  dht::PersistedGroup persisted = persisted_state(group, node, group.base);
  const std::string name = name_of(group.partition);
  std::vector<dht::LogIndex> configurations;
  for (const LogTable::Info& info : log.infos(group.partition, 0)) {
    if (info.info.index != persisted.base_index + persisted.log.size() + 1) {
      throw StoreFailure(ErrorCode::corrupt,
                         name + ": the log has a gap before entry " + std::to_string(info.info.index));
    }
    persisted.log.push_back(info.info);
    persisted.last_stamp = info.stamp;
    entries.end = info.info.index;
    entries.digest += info.checksum;
    if (info.kind == dht::EntryKind::configuration && info.info.index > group.applied.index)
      configurations.push_back(info.info.index);
  }
  if (group.applied.index < group.base.index || group.applied.index > group.base.index + persisted.log.size()) {
    throw StoreFailure(ErrorCode::corrupt, name + ": the applied index lies outside of the log");
  }
  for (dht::LogIndex index : configurations) {
    log.load(group.partition, index, index, [&](StoredEntry&& stored) {
      persisted.configuration_entries.push_back(std::move(stored.entry));
      return true;
    });
    Result<dht::Configuration> decoded = dht::decode_configuration(persisted.configuration_entries.back().head.view());
    if (!decoded) throw StoreFailure(ErrorCode::corrupt, name + ": " + decoded.error().text());
  }
  return persisted;
}

// What is applied is in the rows, so a log whose damage lies only there is compacted up to the applied index. False:
// there is damage behind that, too.
bool compact_to_applied(LogTable& log, GroupTable& groups, GroupState& group) {
  dht::LogIndex next = group.applied.index;
  std::uint64_t digest = 0;
  for (const LogTable::Info& info : log.infos(group.partition, group.applied.index + 1)) {
    if (info.info.index != ++next) return false;
    digest += info.checksum;
  }
  if (groups.has_digests() && next != group.last_index) return false;  // entries are missing at the end
  log.remove(group.partition, 0, group.applied.index);
  group.log_digest = digest;
  group.last_index = next;
  group.base = group.applied;
  groups.save(group);
  return true;
}

// The log does not count (PersistedGroup).
dht::PersistedGroup without_log(const GroupState& group, const Uuid& node) {
  dht::PersistedGroup persisted = persisted_state(group, node, group.applied);
  persisted.damage = dht::Damage::log;
  return persisted;
}

class GroupLoader {
 public:
  GroupLoader(Connection& connection, PayloadFile& file, const Uuid& node, std::map<PartitionId, Error>& damaged)
      : connection_(connection),
        payloads_(connection, file),
        log_(connection, payloads_),
        groups_(connection),
        ids_(connection),
        meta_(connection),
        add_garbage_(connection, "INSERT OR IGNORE INTO garbage(space) VALUES(?)"),
        node_(node),
        damaged_(damaged) {}

  // All that needs no log, in the transaction that is open. used: greatest_space_of_rows().
  void prepare(SpaceId used) {
    std::map<PartitionId, Error> unreadable;
    states_ = groups_.load_all(unreadable);
    keep_spaces_apart(used);
    for (const auto& [partition, why] : unreadable) states_[partition] = in_its_place(partition, why);
    const bool all_replaced = std::none_of(states_.begin(), states_.end(), [](const auto& one) {
      return damage_of(one.second.damage) == dht::Damage::log;
    });
    if (all_replaced && ids_.nameless_spaces()) collect_nameless_spaces();
    const std::map<PartitionId, dht::LogIndex> added = ids_.all_added();
    for (auto& [partition, group] : states_) {
      auto known = added.find(partition);
      const dht::LogIndex written = known == added.end() ? 0 : known->second;
      if (written != group.replica_added) ids_.set_added(partition, group.replica_added);  // an older program wrote it
      if (group.damage != ReplicaDamage::none) damaged_.emplace(partition, noted_damage(group));
      compare_vote(group);
      if (group.staging) {  // the core has forgotten it: the sender starts over
        Query(add_garbage_, group.staging->space).finish();
        group.staging.reset();
        groups_.save(group);
      }
    }
  }

  // After prepare() and its transaction: SQLite ends a transaction that meets a damaged page.
  std::vector<dht::PersistedGroup> load() {
    std::vector<dht::PersistedGroup> loaded;
    for (auto& [partition, group] : states_) loaded.push_back(load(group));
    return loaded;
  }

 private:
  dht::PersistedGroup load(GroupState& group) {
    if (damage_of(group.damage) == dht::Damage::log) return without_log(group, node_);
    bool old_entries = false;  // each of them is sound, but they are not the last that were written
    LogTable::Sum entries;
    try {
      dht::PersistedGroup persisted = with_log(group, entries);
      if (!groups_.has_digests() || log_is_whole(group, entries)) return persisted;
      old_entries = true;
      damaged_.insert_or_assign(group.partition, lost_entries(group));
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::corrupt) throw;
      damaged_.insert_or_assign(group.partition, in_partition(group.partition, failure.error()));
    }
    try {
      SqlTransaction transaction(connection_);
      GroupState compacted = group;
      if ((!old_entries || group.last_index == group.applied.index) && compact_to_applied(log_, groups_, compacted)) {
        dht::PersistedGroup persisted = with_log(compacted, entries);
        transaction.commit();
        return persisted;
      }
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::corrupt) throw;
    }
    SqlTransaction transaction(connection_);
    group.damage = ReplicaDamage::data;
    groups_.save(group);
    if (old_entries) ids_.set_nameless_spaces(true);  // or the row of the group is old
    transaction.commit();
    return without_log(group, node_);
  }

  dht::PersistedGroup with_log(const GroupState& group, LogTable::Sum& entries) {
    dht::PersistedGroup persisted = persisted_group(log_, group, node_, entries);
    persisted.damage = damage_of(group.damage);
    return persisted;
  }

  // A space that is given out twice would have rows of another partition, or of an older state.
  void keep_spaces_apart(SpaceId used) {
    for (const auto& [partition, group] : states_)
      used = std::max({used, group.space, group.staging ? group.staging->space : 0});
    never_take_space_again(meta_, used);
  }

  // Both copies are written by one transaction. If the row is the older one, all of it is old, and the log may have
  // changed since in ways that do not show.
  void compare_vote(GroupState& group) {
    const dht::HardState second = ids_.vote(group.partition).value_or(dht::HardState{});
    if (is_later(group.hard_state, second)) ids_.set_vote(group.partition, group.hard_state);
    if (!is_later(second, group.hard_state)) return;
    group.hard_state = second;
    if (damage_of(group.damage) != dht::Damage::log) {
      group.damage = ReplicaDamage::data;
      damaged_.insert_or_assign(group.partition, lost_vote(group.partition));
      ids_.set_nameless_spaces(true);
    }
    groups_.save(group);
  }

  // Stands for a replica whose row cannot be read. Its identity is known from the second copy, and that is all that is
  // needed to replace it.
  GroupState in_its_place(PartitionId partition, const Error& why) {
    damaged_.emplace(partition, why);
    GroupState group;
    group.partition = partition;
    group.damage = ReplicaDamage::everything;
    group.replica_added = ids_.added(partition);
    group.space = take_new_space(meta_);
    groups_.save(group);
    ids_.set_nameless_spaces(true);
    return group;
  }

  // Makes garbage of spaces that no row of `grp` names. Called only when the replicas that lost their rows have been
  // replaced: until then these rows may be the last copy.
  void collect_nameless_spaces() {
    std::set<SpaceId> named;
    for (const auto& [partition, group] : states_) {
      named.insert(group.space);
      if (group.staging) named.insert(group.staging->space);
    }
    Statement next(connection_, "SELECT min(space) FROM rows WHERE space > ?");
    for (SpaceId space = 0;;) {
      {
        Query query(next, space);
        if (!query.step() || query.null(0)) break;
        space = query.integer(0);
      }
      if (!named.contains(space)) Query(add_garbage_, space).finish();
    }
    ids_.set_nameless_spaces(false);
  }

  Connection& connection_;
  PayloadTable payloads_;
  LogTable log_;
  GroupTable groups_;
  ReplicaIds ids_;
  MetaTable meta_;
  Statement add_garbage_;
  const Uuid node_;
  std::map<PartitionId, Error>& damaged_;
  std::map<PartitionId, GroupState> states_;
};

// Outside of a transaction, because a damaged page would end one. 0 if the last page is damaged: then the spaces that
// `grp` names must do.
SpaceId greatest_space_of_rows(Connection& connection) {
  try {
    return std::max(connection.integer("SELECT coalesce(max(space), 0) FROM rows"),
                    connection.integer("SELECT coalesce(max(space), 0) FROM garbage"));
  } catch (const StoreFailure& failure) {
    if (failure.error().code != ErrorCode::corrupt) throw;
    return 0;
  }
}

// The second copy is never older than `meta`. If it is newer, a page of `meta` is what it was before a write that the
// disk lost.
void take_newer(dht::PersistedNode& node, MetaTable& meta, StoredIdentity& identity, const StoredIdentity& second) {
  if (second.id != identity.id) return;
  if (second.incarnation.counter > node.incarnation.counter) node.incarnation = second.incarnation;
  if (second.table.empty()) return;
  Result<dht::MembersTable> table = dht::decode_members_table(second.table);
  if (!table || (node.table && node.table->version >= table->version)) return;
  node.table = std::move(*table);
  identity.table = second.table;
  meta.set("table", second.table);
}

}  // namespace

dht::PersistedNode load_persisted(Connection& connection, PayloadFile& file, Random& random,
                                  std::map<PartitionId, Error>& damaged) {
  dht::PersistedNode node;
  const SpaceId used = greatest_space_of_rows(connection);
  const std::filesystem::path directory = connection.file().parent_path();
  SqlTransaction transaction(connection);
  MetaTable meta(connection);
  node.id = identity_of(meta, random);
  if (std::optional<std::string> stored = meta.get("incarnation")) node.incarnation = decode_incarnation(*stored);
  StoredIdentity identity{node.id, {}, {}, {}};
  if (std::optional<std::string> stored = meta.get("genesis")) {
    node.genesis = require(dht::decode_genesis(*stored), "genesis");
    identity.genesis = *stored;
  }
  if (std::optional<std::string> stored = meta.get("table")) {
    node.table = require(dht::decode_members_table(*stored), "members table");
    identity.table = *stored;
  }
  if (const std::optional<StoredIdentity> second = read_identity(directory)) take_newer(node, meta, identity, *second);
  ++node.incarnation.counter;
  node.incarnation.nonce = random.next();
  identity.incarnation = node.incarnation;
  write_identity(directory, identity);  // before `meta` changes
  meta.set("incarnation", encode(node.incarnation));
  node.peer_incarnations = peers(connection);

  GroupLoader loader(connection, file, node.id, damaged);
  loader.prepare(used);
  transaction.commit();
  node.groups = loader.load();
  return node;
}

}  // namespace ringfs::nodes
