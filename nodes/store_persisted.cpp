#include "nodes/store_persisted.hpp"

#include <spdlog/spdlog.h>

#include "nodes/sqlite_schema.hpp"
#include "nodes/store_groups.hpp"

namespace ringfs {

namespace {

template <class T>
T require(Result<T> result, const char* what) {
  if (result) return std::move(*result);
  throw StoreFailure(ErrorCode::corrupt, std::string(what) + ": " + result.error().text());
}

Uuid identity(MetaTable& meta, Random& random) {
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
                             std::map<PartitionId, Error>& damaged) {
  PersistedNode node;
  SqlTransaction transaction(connection);
  MetaTable meta(connection);
  node.id = identity(meta, random);
  if (std::optional<std::string> stored = meta.get("incarnation")) node.incarnation = decode_incarnation(*stored);
  ++node.incarnation.counter;
  node.incarnation.nonce = random.next();
  meta.set("incarnation", encode(node.incarnation));
  if (std::optional<std::string> stored = meta.get("genesis"))
    node.genesis = require(decode_genesis(*stored), "genesis");
  if (std::optional<std::string> stored = meta.get("table"))
    node.table = require(decode_members_table(*stored), "members table");
  node.peer_incarnations = peers(connection);

  PayloadTable payloads(connection, file);
  LogTable log(connection, payloads);
  GroupTable groups(connection);
  Statement add_garbage(connection, "INSERT INTO garbage(space) VALUES(?)");
  for (auto& [partition, group] : groups.load_all()) {
    if (group.staging) {  // the core does not remember it: whoever sends it starts over
      Query(add_garbage, group.staging->space).finish();
      group.staging.reset();
      groups.save(group);
    }
    try {
      node.groups.push_back(persisted_group(log, group, node.id));
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::corrupt) throw;
      damaged.emplace(partition, failure.error());
    }
  }
  transaction.commit();
  return node;
}

}  // namespace ringfs
