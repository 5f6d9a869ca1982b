// The groups' small state and their logs in SQLite.
//
// GroupState is what the table `grp` keeps of a group, in memory on the writer thread; LogTable is the table `log`.
// Threads: as the connection's. Errors: StoreFailure; corrupt names the partition and what does not match.
#pragma once

#include <functional>
#include <map>

#include "dht/core/node.hpp"
#include "nodes/sqlite_schema.hpp"
#include "nodes/store_rows.hpp"

namespace ringfs {

struct Staging {
  SpaceId space = 0;
  std::uint64_t snapshot = 0;
  std::uint32_t next = 0;  // chunk wanted next
};

// What is left of a replica whose data was damaged, until it is reset.
enum class ReplicaDamage : std::uint8_t {
  none = 0,
  data = 1,        // the log, and with it what was acknowledged, is gone or not to be used; term, vote and identity hold
  everything = 2,  // what it voted for is lost, too, and maybe even whether there was a replica
  rows = 3,        // some rows cannot be read; all else holds
};
// As the core has it. Without a log it is Damage::log whatever else holds: entries that were acknowledged are missing.
Damage damage_of(ReplicaDamage damage);

struct GroupState {
  PartitionId partition{};
  ReplicaDamage damage = ReplicaDamage::none;
  HardState hard_state;
  LogIndex replica_added = 0;  // ReplicaId::added of this node's replica
  bool holds_data = true;      // PersistedGroup
  Configuration configuration;
  LogIndex configuration_index = 0;
  LogIndex applied = 0;
  Term applied_term = 0;
  Stamp applied_stamp;
  LogIndex base_index = 0;
  Term base_term = 0;
  Stamp base_stamp;
  SpaceId space = 0;
  std::optional<Staging> staging;
  LogIndex last_index = 0;  // of the log; not a column
};

// The number of a space that never was; the next one is written in `meta`.
SpaceId take_new_space(MetaTable& meta);

class GroupTable {
 public:
  explicit GroupTable(Connection& connection);
  void save(const GroupState& group);
  // With last_index. Rows that do not decode or do not match their sum are in `unreadable` instead.
  std::map<PartitionId, GroupState> load_all(std::map<PartitionId, Error>& unreadable);
  std::optional<GroupState> load(PartitionId partition);  // without last_index

 private:
  static GroupState read(const Query& query);
  Statement save_;
  Statement load_all_;
  Statement load_;
  Statement last_index_;
};

// The same error; damage that names no partition (a page's) names this one then.
Error in_partition(PartitionId partition, const Error& error);

struct StoredEntry {
  Entry entry;
  std::vector<PayloadId> payloads;  // of entry.blobs
};

// An entry as the table `log` has it, whose checksum was verified; entry.blobs is empty, its payloads are named only. Errors: corrupt.
StoredEntry verified_entry(PartitionId partition, LogIndex index, Term term, Stamp stamp, EntryKind kind, std::string_view blobs,
                           std::string_view head, std::uint64_t expected);
std::vector<PayloadId> decode_payloads(std::string_view bytes);  // of log.blobs; throws corrupt

class LogTable {
 public:
  LogTable(Connection& connection, PayloadTable& payloads);
  std::vector<PayloadId> append(PartitionId partition, const Entry& entry, PayloadHome home);  // of its payloads
  void remove(PartitionId partition, LogIndex first, LogIndex last);
  // Entries first..last in order, verified, until visit returns false.
  void load(PartitionId partition, LogIndex first, LogIndex last, const std::function<bool(StoredEntry&&)>& visit);
  // What is needed of every entry when a node starts: verified, without reading payloads.
  struct Info {
    EntryInfo info;
    EntryKind kind{};
    Stamp stamp;
  };
  std::vector<Info> infos(PartitionId partition, LogIndex first = 0);  // from there on
  std::optional<Info> info(PartitionId partition, LogIndex index);

 private:
  static StoredEntry verified(PartitionId partition, const Query& query);  // one row of load_
  Info info_of(PartitionId partition, const Query& query);

  PayloadTable& payloads_;
  Statement append_;
  Statement with_blobs_;
  Statement remove_;
  Statement load_;
};

}  // namespace ringfs
