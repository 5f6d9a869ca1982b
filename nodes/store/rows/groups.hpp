// The durable state of the groups (table `grp`) and their logs (table `log`).
//
// The writer keeps a GroupState of each group in memory. Threads: those of the connection. Errors: StoreFailure;
// corrupt names the partition and what does not match.
#pragma once

#include <functional>
#include <map>

#include "dht/core/protocol/persisted_state.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/rows/rows.hpp"

namespace ringfs::nodes {

// The place of an entry in a log.
struct LogPoint {
  dht::LogIndex index = 0;
  dht::Term term = 0;
  Stamp stamp;
};

struct Staging {
  SpaceId space = 0;
  std::uint64_t snapshot = 0;
  std::uint32_t next = 0;  // number of the next chunk
  RowDigest digest = 0;    // of the staged rows
};

// For errors: "partition 7", "partition 7, log entry 19".
std::string name_of(PartitionId partition);
std::string name_of(PartitionId partition, dht::LogIndex index);

// The damage of a replica, until it is reset. The numbers are those of grp.damage.
enum class ReplicaDamage : std::uint8_t {
  none = 0,
  data = 1,  // the log is lost or must not be used, and acknowledged entries with it; term, vote and identity hold
  everything = 2,  // its vote is lost, too, and perhaps whether there was a replica at all
  rows = 3,        // some rows cannot be read; everything else holds
};
// As the core calls it. Without a log it is Damage::log, whatever else holds: acknowledged entries are missing.
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
  // The digest of the space's rows (row_digest.hpp), and the sum modulo 2^64 of the checksums of the log's entries:
  // what was written, whatever the disk kept. Only in databases that have them (GroupTable::has_digests).
  RowDigest rows_digest = 0;
  std::uint64_t log_digest = 0;
};

// The value of grp.checksum. `configuration`: encoded, as in the row.
std::uint64_t group_checksum(const GroupState& group, std::string_view configuration, bool with_digests);
// A new space; `meta` has the next one.
SpaceId take_new_space(MetaTable& meta);
// Makes the next space greater than `used`. It would not be if the disk lost a write of `meta`.
void never_take_space_again(MetaTable& meta, SpaceId used);

class GroupTable {
 public:
  explicit GroupTable(Connection& connection);
  bool has_digests() const { return has_digests_; }  // of the database; without them last_index comes from the log
  void save(const GroupState& group);
  // With last_index. Rows that do not decode, or whose checksum does not match, are in `unreadable` instead.
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

// The same error; damage that names no partition (that of a page) then names this one.
Error in_partition(PartitionId partition, const Error& error);

struct StoredEntry {
  dht::Entry entry;
  std::vector<PayloadId> payloads;  // of entry.blobs, in order
};

// The columns of `log` but its partition, as verified_entry() and insert_entry have them; `size` is the last one.
inline constexpr const char* entry_columns = "idx, term, stamp, kind, blobs, checksum, head, size";
inline constexpr const char* insert_entry =
    "INSERT INTO log(p, idx, term, stamp, kind, blobs, checksum, head, size) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
// The current entry of a query. Its payloads are named and not read: entry.blobs is empty. `size` is not looked at.
// Errors: corrupt.
StoredEntry verified_entry(PartitionId partition, const Query& query);
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
                       dht::LogIndex last);  // gives the sum of the checksums
  // Calls `visit` for the entries first..last in order, verified, until it returns false.
  void load(PartitionId partition, dht::LogIndex first, dht::LogIndex last,
            const std::function<bool(StoredEntry&&)>& visit);
  // What a start needs of every entry: verified, without reading payloads.
  struct Info {
    dht::EntryInfo info;
    dht::EntryKind kind{};
    Stamp stamp;
    std::uint64_t checksum = 0;
  };
  std::vector<Info> infos(PartitionId partition, dht::LogIndex first = 0);  // from `first` on
  std::optional<Info> info(PartitionId partition, dht::LogIndex index);
  // End and digest of the log, from the entries that are there, unverified; to compare with GroupState.
  struct Sum {
    std::optional<dht::LogIndex> end;  // none: there are no entries
    std::uint64_t digest = 0;
  };
  Sum sum(PartitionId partition);

 private:
  Info info_of(PartitionId partition, const Query& query);

  PayloadTable& payloads_;
  Statement append_;
  Statement blobs_;
  Statement checksums_;
  Statement remove_;
  Statement load_;
};

// Whether these are all entries that were written: none is old, none is missing at the end.
bool log_is_whole(const GroupState& group, const LogTable::Sum& entries);
// The errors for entries, rows, or a term and vote that are not the last that were written.
Error lost_entries(const GroupState& group);
Error lost_rows(PartitionId partition);
Error lost_vote(PartitionId partition);

}  // namespace ringfs::nodes
