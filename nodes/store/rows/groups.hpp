// The groups' small state and their logs in SQLite.
//
// GroupState is what the table `grp` keeps of a group, in memory on the writer thread; LogTable is the table `log`.
// Threads: as the connection's. Errors: StoreFailure; corrupt names the partition and what does not match.
#pragma once

#include <functional>
#include <map>

#include "dht/core/protocol/persisted_state.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/rows/rows.hpp"

namespace ringfs::nodes {

// An entry of a log without what it says.
struct LogPoint {
  dht::LogIndex index = 0;
  dht::Term term = 0;
  Stamp stamp;
};

struct Staging {
  SpaceId space = 0;
  std::uint64_t snapshot = 0;
  std::uint32_t next = 0;  // chunk wanted next
  RowDigest digest = 0;    // of its rows
};

// For errors: "partition 7", "partition 7, log entry 19".
std::string name_of(PartitionId partition);
std::string name_of(PartitionId partition, dht::LogIndex index);

// What is left of a replica whose data was damaged, until it is reset.
enum class ReplicaDamage : std::uint8_t {
  none = 0,
  data = 1,  // the log, and with it what was acknowledged, is gone or not to be used; term, vote and identity hold
  everything = 2,  // what it voted for is lost, too, and maybe even whether there was a replica
  rows = 3,        // some rows cannot be read; all else holds
};
// As the core has it. Without a log it is Damage::log whatever else holds: entries that were acknowledged are missing.
dht::Damage damage_of(ReplicaDamage damage);

struct GroupState {
  PartitionId partition{};
  ReplicaDamage damage = ReplicaDamage::none;
  dht::HardState hard_state;
  dht::LogIndex replica_added = 0;  // ReplicaId::added of this node's replica
  bool holds_data = true;           // PersistedGroup
  dht::Configuration configuration;
  dht::LogIndex configuration_index = 0;
  LogPoint applied;
  LogPoint base;  // the entry before the log's first one
  SpaceId space = 0;
  std::optional<Staging> staging;
  dht::LogIndex last_index = 0;  // of the log
  // What the space's rows, and the checksums of the log's entries, add up to modulo 2^64: what was written, whatever
  // the disk made of it (row_digest.hpp). Kept and compared in databases that have them (GroupTable::has_digests).
  RowDigest rows_digest = 0;
  std::uint64_t log_digest = 0;
};

// What grp.checksum holds; `configuration` as in the row.
std::uint64_t group_checksum(const GroupState& group, std::string_view configuration, bool with_digests);
// The number of a space that never was; the next one is written in `meta`.
SpaceId take_new_space(MetaTable& meta);
// The next one will be behind this one, which is in use. Else the page of `meta` was old: a write of it that the disk
// has lost.
void never_take_space_again(MetaTable& meta, SpaceId used);

class GroupTable {
 public:
  explicit GroupTable(Connection& connection);
  bool has_digests() const { return has_digests_; }  // the database; without them last_index is what the log shows
  void save(const GroupState& group);
  // With last_index. Rows that do not decode or do not match their sum are in `unreadable` instead.
  std::map<PartitionId, GroupState> load_all(std::map<PartitionId, Error>& unreadable);
  std::optional<GroupState> load(PartitionId partition);  // with last_index only if there are digests

 private:
  GroupState read(const Query& query) const;
  const bool has_digests_;
  Statement save_;
  Statement load_all_;
  Statement load_;
  Statement last_index_;
};

// The same error; damage that names no partition (a page's) names this one then.
Error in_partition(PartitionId partition, const Error& error);

struct StoredEntry {
  dht::Entry entry;
  std::vector<PayloadId> payloads;  // of entry.blobs
};

// An entry as the table `log` has it, whose checksum was verified; entry.blobs is empty, its payloads are named only.
// Errors: corrupt.
StoredEntry verified_entry(PartitionId partition, dht::LogIndex index, dht::Term term, Stamp stamp, dht::EntryKind kind,
                           std::string_view blobs, std::string_view head, std::uint64_t expected);
std::vector<PayloadId> decode_payloads(std::string_view bytes);  // of log.blobs; throws corrupt

class LogTable {
 public:
  LogTable(Connection& connection, PayloadTable& payloads);
  struct Appended {
    std::vector<PayloadId> payloads;
    std::uint64_t checksum = 0;
  };
  Appended append(PartitionId partition, const dht::Entry& entry, PayloadHome home);
  std::uint64_t remove(PartitionId partition, dht::LogIndex first,
                       dht::LogIndex last);  // what their checksums add up to
  // Entries first..last in order, verified, until visit returns false.
  void load(PartitionId partition, dht::LogIndex first, dht::LogIndex last,
            const std::function<bool(StoredEntry&&)>& visit);
  // What is needed of every entry when a node starts: verified, without reading payloads.
  struct Info {
    dht::EntryInfo info;
    dht::EntryKind kind{};
    Stamp stamp;
    std::uint64_t checksum = 0;
  };
  std::vector<Info> infos(PartitionId partition, dht::LogIndex first = 0);  // from there on
  std::optional<Info> info(PartitionId partition, dht::LogIndex index);
  // What GroupState says of all its entries, out of the entries themselves, unverified.
  struct Sum {
    std::optional<dht::LogIndex> end;  // none: there are no entries
    std::uint64_t digest = 0;
  };
  Sum sum(PartitionId partition);

 private:
  static StoredEntry verified(PartitionId partition, const Query& query);  // one row of load_
  Info info_of(PartitionId partition, const Query& query);

  PayloadTable& payloads_;
  Statement append_;
  Statement blobs_;
  Statement checksums_;
  Statement remove_;
  Statement load_;
};

// Whether these are the entries that were written: none is old, none is missing at the end.
bool log_is_whole(const GroupState& group, const LogTable::Sum& entries);
// That they are not; that rows, or a term and vote, are not those that were written.
Error lost_entries(const GroupState& group);
Error lost_rows(PartitionId partition);
Error lost_vote(PartitionId partition);

}  // namespace ringfs::nodes
