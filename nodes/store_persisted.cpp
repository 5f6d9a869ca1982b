#include "nodes/store_persisted.hpp"

#include <spdlog/spdlog.h>

#include "nodes/sqlite_schema.hpp"
#include "nodes/store_groups.hpp"
#include "nodes/store_identity.hpp"

namespace ringfs {

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

std::vector<std::pair<Uuid, Incarnation>> peers(Connection& connection) {
  std::vector<std::pair<Uuid, Incarnation>> peers;
  Statement statement(connection, "SELECT node, counter, nonce, checksum FROM peer ORDER BY node");
  Query query(statement);
  while (query.step()) {
    Reader reader(query.bytes(0));
    Uuid peer = read_uuid(reader);
    Incarnation incarnation{query.natural(1), query.natural(2)};
    // Better to learn it anew at the peer's next greeting than to refuse the peer for ever, or not to start.
    if (!reader.done() || (!query.null(3) && peer_checksum(peer, incarnation) != query.natural(3))) {
      spdlog::error("event=peer_row_damaged node={}", to_hex(query.bytes(0)));
      continue;
    }
    peers.emplace_back(peer, incarnation);
  }
  return peers;
}

// What may be said of a replica whose rows and log are not to be used.
DamagedGroup damaged_group(const GroupState& group, const Uuid& node, const Error& why) {
  DamagedGroup damaged{why, std::nullopt};
  if (group.damage == ReplicaDamage::everything) return damaged;
  PersistedGroup& remains = damaged.remains.emplace();
  remains.partition = group.partition;
  remains.hard_state = group.hard_state;
  remains.replica = {node, group.replica_added};
  remains.holds_data = false;
  remains.configuration = group.configuration;
  remains.configuration_index = group.configuration_index;
  return damaged;
}

Error noted_damage(const GroupState& group) {
  const std::string name = "partition " + std::to_string(index_of(group.partition));
  return {ErrorCode::corrupt, name + (group.damage == ReplicaDamage::data ? ": its data was found damaged, and given up"
                                                                          : ": its state was found damaged, and what it voted for is not known")};
}

PersistedGroup persisted_group(LogTable& log, const GroupState& group, const Uuid& node) {
  PersistedGroup persisted;
  persisted.partition = group.partition;
  persisted.hard_state = group.hard_state;
  persisted.replica = {node, group.replica_added};
  persisted.holds_data = group.holds_data;
  persisted.configuration = group.configuration;
  persisted.configuration_index = group.configuration_index;
  persisted.applied = group.applied;
  persisted.base_index = group.base_index;
  persisted.base_term = group.base_term;
  persisted.last_stamp = group.base_stamp;
  std::string name = "partition " + std::to_string(index_of(group.partition));
  std::vector<LogIndex> configurations;
  for (const LogTable::Info& info : log.infos(group.partition)) {
    if (info.info.index != persisted.base_index + persisted.log.size() + 1) {
      throw StoreFailure(ErrorCode::corrupt,
                         name + ": the log has a gap before entry " + std::to_string(info.info.index));
    }
    persisted.log.push_back(info.info);
    persisted.last_stamp = info.stamp;
    if (info.kind == EntryKind::configuration && info.info.index > group.applied)
      configurations.push_back(info.info.index);
  }
  if (group.applied < group.base_index || group.applied > group.base_index + persisted.log.size()) {
    throw StoreFailure(ErrorCode::corrupt, name + ": the applied index lies outside of the log");
  }
  for (LogIndex index : configurations) {
    log.load(group.partition, index, index, [&](StoredEntry&& stored) {
      persisted.configuration_entries.push_back(std::move(stored.entry));
      return true;
    });
    Result<Configuration> decoded = decode_configuration(persisted.configuration_entries.back().head.view());
    if (!decoded) throw StoreFailure(ErrorCode::corrupt, name + ": " + decoded.error().text());
  }
  return persisted;
}

}  // namespace

PersistedNode load_persisted(Connection& connection, PayloadFile& file, Random& random,
                             std::map<PartitionId, DamagedGroup>& damaged) {
  PersistedNode node;
  SqlTransaction transaction(connection);
  MetaTable meta(connection);
  node.id = identity_of(meta, random);
  if (std::optional<std::string> stored = meta.get("incarnation")) node.incarnation = decode_incarnation(*stored);
  ++node.incarnation.counter;
  node.incarnation.nonce = random.next();
  StoredIdentity identity{node.id, node.incarnation, {}, {}};
  if (std::optional<std::string> stored = meta.get("genesis")) {
    node.genesis = require(decode_genesis(*stored), "genesis");
    identity.genesis = *stored;
  }
  if (std::optional<std::string> stored = meta.get("table")) {
    node.table = require(decode_members_table(*stored), "members table");
    identity.table = *stored;
  }
  write_identity(connection.file().parent_path(), identity);  // before the incarnation in `meta` rises
  meta.set("incarnation", encode(node.incarnation));
  node.peer_incarnations = peers(connection);

  PayloadTable payloads(connection, file);
  LogTable log(connection, payloads);
  GroupTable groups(connection);
  Statement add_garbage(connection, "INSERT INTO garbage(space) VALUES(?)");
  std::map<PartitionId, GroupState> all = groups.load_all();
  for (auto& [partition, group] : all) {
    if (group.staging) {  // the core does not remember it: whoever sends it starts over
      Query(add_garbage, group.staging->space).finish();
      group.staging.reset();
      groups.save(group);
    }
  }
  transaction.commit();
  // After it: SQLite ends a transaction in which it meets a damaged page.
  for (const auto& [partition, group] : all) {
    if (group.damage != ReplicaDamage::none) {
      damaged.emplace(partition, damaged_group(group, node.id, noted_damage(group)));
      continue;
    }
    try {
      node.groups.push_back(persisted_group(log, group, node.id));
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::corrupt) throw;
      damaged.emplace(partition, damaged_group(group, node.id, in_partition(partition, failure.error())));
    }
  }
  return node;
}

}  // namespace ringfs
