// The groups' small state and their logs in SQLite.
//
// GroupState is what the table `grp` keeps of a group, in memory on the writer thread; LogTable is the table `log`.
// Threads: as the connection's. Errors: StoreFailure; corrupt names the partition and what does not match.
#pragma once

#include <functional>
#include <map>

#include "dht/core/node.hpp"
#include "nodes/store_rows.hpp"

namespace ringfs {

struct Staging {
  SpaceId space = 0;
  std::uint64_t snapshot = 0;
  std::uint32_t next = 0;  // chunk wanted next
};

struct GroupState {
  PartitionId partition{};
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

class GroupTable {
 public:
  explicit GroupTable(Connection& connection);
  void save(const GroupState& group);
  std::map<PartitionId, GroupState> load_all();           // with last_index
  std::optional<GroupState> load(PartitionId partition);  // without last_index

 private:
  static GroupState read(const Query& query);
  Statement save_;
  Statement load_all_;
  Statement load_;
  Statement last_index_;
};

struct StoredEntry {
  Entry entry;
  std::vector<PayloadId> payloads;  // of entry.blobs
};

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
  std::vector<Info> infos(PartitionId partition);
  std::optional<Info> info(PartitionId partition, LogIndex index);

 private:
  // One row of load_; entry.blobs is empty, the payloads are named only. Errors: corrupt.
  StoredEntry verified(PartitionId partition, const Query& query);
  Info info_of(PartitionId partition, const Query& query);

  PayloadTable& payloads_;
  Statement append_;
  Statement blobs_;
  Statement remove_;
  Statement load_;
};

}  // namespace ringfs
