// The copy, group by group: what is damaged costs its group, and nothing is copied unverified.
#include "nodes/store/repair/copy.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "dht/base/hash.hpp"
#include "nodes/store/files/identity.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/rows/replica_ids.hpp"

namespace ringfs::nodes {

namespace {

constexpr unsigned max_partition_bits = 16;  // of a ring; assumed if the ring is not known

bool is_damage(const StoreFailure& failure) { return failure.error().code == ErrorCode::corrupt; }

// What page sums would have found in a database of format 5: rows whose place does not fit their space, and entries
// that the index does not name.
struct Misplaced {
  std::set<SpaceId> spaces;
  SpaceId spaces_from = INT64_MAX;                // spaces from this one on could not be checked
  std::map<std::int64_t, std::uint64_t> entries;  // by partition, counted without the index
  bool entries_known = true;
};

Misplaced find_misplaced(Connection& from, const std::set<SpaceId>& known) {
  Misplaced found;
  try {
    Statement statement(from, "SELECT space, key, sort FROM rows");  // in the order of the table
    Query query(statement);
    SpaceId space = 0;
    std::string key;
    std::string sort;
    bool beside_unknown = false;
    while (query.step()) {
      const SpaceId next = query.integer(0);
      const bool ordered = std::tuple(space, std::string_view(key), std::string_view(sort)) <
                           std::tuple(next, query.bytes(1), query.bytes(2));
      if (!ordered || beside_unknown) found.spaces.insert({space, next});
      beside_unknown = !known.contains(next);
      if (beside_unknown) found.spaces.insert({space, next});
      found.spaces_from = space = next;
      key = query.bytes(1);
      sort = query.bytes(2);
    }
    found.spaces_from = INT64_MAX;
  } catch (const StoreFailure& failure) {
    if (!is_damage(failure)) throw;
  }
  try {
    Statement statement(from, "SELECT p FROM log NOT INDEXED");
    Query query(statement);
    while (query.step()) ++found.entries[query.integer(0)];
  } catch (const StoreFailure& failure) {
    if (!is_damage(failure)) throw;
    found.entries_known = false;
  }
  return found;
}

// Copies payloads. Their references are counted from zero, by those who name them.
class PayloadCopy {
 public:
  PayloadCopy(Connection& from, Connection& to)
      : find_(from, "SELECT size, checksum FROM payload WHERE id = ?"),
        data_(from, "SELECT bytes FROM payload_data WHERE id = ?"),
        share_(to, "UPDATE payload SET refs = refs + 1 WHERE id = ? RETURNING checksum"),
        insert_(to, "INSERT INTO payload(id, refs, size, checksum) VALUES(?, 1, ?, ?)"),
        insert_data_(to, "INSERT INTO payload_data(id, bytes) VALUES(?, ?)"),
        release_(to, "UPDATE payload SET refs = refs - 1 WHERE id = ? RETURNING refs"),
        remove_(to, "DELETE FROM payload WHERE id = ?"),
        remove_data_(to, "DELETE FROM payload_data WHERE id = ?") {}

  // Adds a reference, and copies the payload if it is the first. Gives its checksum.
  std::uint64_t take(PayloadId id) {
    {
      Query query(share_, id);
      if (query.step()) {
        const std::uint64_t known = query.natural(0);
        query.finish();
        return known;
      }
    }
    std::uint64_t size = 0;
    std::uint64_t sum = 0;
    {
      Query query(find_, id);
      if (!query.step()) damaged_payload(id, "missing");
      size = query.natural(0);
      sum = query.natural(1);
    }
    if (!PayloadFile::holds(id)) {
      Query query(data_, id);
      if (!query.step()) damaged_payload(id, "bytes missing");
      const std::string_view bytes = query.bytes(0);
      if (bytes.size() != size || checksum(bytes) != sum) damaged_payload(id, "checksum does not match");
      Query(insert_data_, id, bytes).finish();
    }
    Query(insert_, id, size, sum).finish();
    ++taken_;
    return sum;
  }

  void give_back(PayloadId id) {
    std::int64_t left = 0;
    {
      Query query(release_, id);
      if (!query.step()) return;  // never taken: the damaged row or entry named it
      left = query.integer(0);
      query.finish();
    }
    if (left > 0) return;
    Query(remove_, id).finish();
    Query(remove_data_, id).finish();
    --taken_;
  }

  std::uint64_t taken() const { return taken_; }

 private:
  Statement find_, data_, share_, insert_, insert_data_, release_, remove_, remove_data_;
  std::uint64_t taken_ = 0;
};

class StoreCopy {
 public:
  StoreCopy(const std::filesystem::path& directory, Connection& from, Connection& to, const StoreCopyOptions& options)
      : directory_(directory),
        from_(from),
        to_(to),
        options_(options),
        payloads_(from, to),
        groups_(from),
        copied_groups_(to),
        ids_(from),
        copied_ids_(to),
        rows_(from, std::string("SELECT ") + row_columns + " FROM rows WHERE space = ? ORDER BY key, sort"),
        insert_row_(
            to, "INSERT INTO rows(space, key, sort, version, payload, checksum, value) VALUES(?, ?, ?, ?, ?, ?, ?)"),
        remove_rows_(to, "DELETE FROM rows WHERE space = ?"),
        entries_(from, std::string("SELECT ") + entry_columns + " FROM log WHERE p = ? ORDER BY idx"),
        insert_entry_(to, insert_entry),
        remove_entries_(to, "DELETE FROM log WHERE p = ?") {}

  StoreCopyReport run() {
    SqlTransaction transaction(to_, "BEGIN");
    copy_identity();
    copy_peers();
    find_groups();
    if (options_.pages_unverified) {
      std::set<SpaceId> known = garbage();
      for (const auto& [partition, group] : found_) {
        known.insert(group.space);
        if (group.staging) known.insert(group.staging->space);
      }
      misplaced_ = find_misplaced(from_, known);
    }
    for (auto& [partition, group] : found_) copy_group(group);
    for (PartitionId partition : unknown_) note_unknown(partition);
    Writer writer;
    writer.i64(next_space_);
    MetaTable(to_).set("next_space", writer.bytes());
    transaction.commit();
    report_.payloads = payloads_.taken();
    return std::move(report_);
  }

 private:
  // ---- What belongs to the whole node ----

  // None: there is no such value; with `lost` it cannot be read.
  std::optional<std::string> meta(const std::string& name, bool& lost) {
    lost = false;
    try {
      return MetaTable(from_).get(name);
    } catch (const StoreFailure& failure) {
      if (!is_damage(failure)) throw;
      spdlog::warn("event=meta_damaged name={} reason=\"{}\"", name, failure.error().text());
      lost = true;
      return std::nullopt;
    }
  }

  [[noreturn]] void both_lost(const std::string& name) const {
    throw StoreFailure(ErrorCode::corrupt, "\"" + name + "\" cannot be read, neither in the database nor in " +
                                               (directory_ / identity_file_name).string());
  }

  void copy_identity() {
    const std::optional<StoredIdentity> second = read_identity(directory_);
    MetaTable to(to_);
    bool lost = false;
    std::optional<std::string> id = meta("id", lost);
    if (lost && !second) both_lost("id");
    if (lost) id = std::string(second->id.raw());
    if (id) to.set("id", *id);
    const bool same_node = second && id && second->id.raw() == *id;

    std::optional<std::string> incarnation = meta("incarnation", lost);
    if (lost && !same_node) both_lost("incarnation");
    if (same_node && (!incarnation || decode_incarnation(*incarnation).counter < second->incarnation.counter)) {
      incarnation = encode(second->incarnation);
    }
    if (incarnation) to.set("incarnation", *incarnation);

    std::optional<std::string> genesis = meta("genesis", lost);
    if (lost && !same_node) both_lost("genesis");
    if (lost && !second->genesis.empty()) genesis = second->genesis;
    if (genesis) {
      to.set("genesis", *genesis);
      Result<dht::Genesis> decoded = dht::decode_genesis(*genesis);
      if (!decoded) throw StoreFailure(ErrorCode::corrupt, "genesis: " + decoded.error().text());
      partitions_ = 1U << decoded->partition_bits;
    }

    // Without a table the node starts with that of genesis and learns of newer ones.
    std::optional<std::string> table = meta("table", lost);
    if (lost && same_node && !second->table.empty()) table = second->table;
    if (table) to.set("table", *table);

    if (std::optional<std::string> next = meta("next_space", lost)) {
      Reader reader(*next);
      next_space_ = std::max<SpaceId>(reader.i64(), 1);
    }
  }

  void copy_peers() {
    Statement insert(to_, "INSERT INTO peer(node, counter, nonce, checksum) VALUES(?, ?, ?, ?)");
    try {
      Statement statement(from_, "SELECT node, counter, nonce, checksum FROM peer ORDER BY node");
      Query query(statement);
      while (query.step()) {
        Reader reader(query.bytes(0));
        const Uuid peer = read_uuid(reader);
        const dht::Incarnation incarnation{query.natural(1), query.natural(2)};
        const std::uint64_t sum = peer_checksum(peer, incarnation);
        // A damaged row is left out; the incarnation is learned again.
        if (!reader.done() || (!query.null(3) && sum != query.natural(3))) continue;
        Query(insert, peer.raw(), incarnation.counter, incarnation.nonce, sum).finish();
      }
    } catch (const StoreFailure& failure) {
      if (!is_damage(failure)) throw;
      spdlog::warn("event=peers_damaged reason=\"{}\"", failure.error().text());
    }
  }

  std::set<SpaceId> garbage() {
    std::set<SpaceId> spaces;
    try {
      Statement statement(from_, "SELECT space FROM garbage");
      Query query(statement);
      while (query.step()) spaces.insert(query.integer(0));
    } catch (const StoreFailure& failure) {
      if (!is_damage(failure)) throw;  // then rows beside garbage are suspected, too
    }
    return spaces;
  }

  // ---- Groups ----

  // One by one: a page that cannot be read then hides only the groups that may lie on it.
  void find_groups() {
    const unsigned count = partitions_ == 0 ? 1U << max_partition_bits : partitions_;
    for (unsigned p = 0; p < count; ++p) {
      const auto partition = static_cast<PartitionId>(p);
      try {
        std::optional<GroupState> group = groups_.load(partition);
        if (!group) continue;
        next_space_ = std::max(next_space_, group->space + 1);
        found_.emplace(partition, std::move(*group));
      } catch (const StoreFailure& failure) {
        if (!is_damage(failure)) throw;
        unknown_.insert(partition);
        report_.damaged.emplace(partition, DamagedReplica{failure.error(), ReplicaDamage::everything});
      }
    }
  }

  void note_unknown(PartitionId partition) {
    GroupState group;
    group.partition = partition;
    group.damage = ReplicaDamage::everything;
    group.space = next_space_++;
    group.replica_added = second_copy_of_added(partition);
    save(group);
  }

  // 0 if that cannot be read either. The replica then stays silent until its node is added again.
  dht::LogIndex second_copy_of_added(PartitionId partition) {
    try {
      return ids_.added(partition);
    } catch (const StoreFailure& failure) {
      if (!is_damage(failure)) throw;
      return 0;
    }
  }

  void save(const GroupState& group) {
    copied_groups_.save(group);
    if (group.replica_added != 0) copied_ids_.set_added(group.partition, group.replica_added);
    // Stays as it is if it is later than the row: the next start compares them.
    dht::HardState vote = second_copy_of_vote(group.partition);
    if (is_later(group.hard_state, vote)) vote = group.hard_state;
    if (is_later(vote, dht::HardState{})) copied_ids_.set_vote(group.partition, vote);
  }

  dht::HardState second_copy_of_vote(PartitionId partition) {
    try {
      return ids_.vote(partition).value_or(dht::HardState{});
    } catch (const StoreFailure& failure) {
      if (!is_damage(failure)) throw;
      return {};
    }
  }

  void copy_group(GroupState& group) {
    group.staging.reset();
    taken_.clear();
    const StoreCopyReport before{{}, report_.rows, report_.entries, 0};
    if (damage_of(group.damage) != dht::Damage::log) {
      try {
        if (options_.leave_out.contains(group.partition))
          throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + ": given up");
        check_places(group);
        copy_log(group);
        copy_rows(group);
      } catch (const StoreFailure& failure) {
        if (!is_damage(failure)) throw;
        drop(group);
        report_.rows = before.rows;
        report_.entries = before.entries;
        group.damage = ReplicaDamage::data;
        group.rows_digest = group.log_digest = 0;
        report_.damaged.insert_or_assign(group.partition, DamagedReplica{failure.error(), ReplicaDamage::data});
      }
    }
    save(group);
  }

  void check_places(const GroupState& group) const {
    if (!options_.pages_unverified) return;
    if (misplaced_.spaces.contains(group.space) || group.space >= misplaced_.spaces_from) {
      throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + ": rows are not where they belong");
    }
  }

  void copy_log(GroupState& group) {
    const auto p = index_of(group.partition);
    dht::LogIndex index = group.base.index;
    std::uint64_t digest = 0;
    Query query(entries_, p);
    while (query.step()) {
      if (query.natural(0) != ++index) {
        throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + ": the log has a gap before entry " +
                                                   std::to_string(query.natural(0)));
      }
      const StoredEntry stored = verified_entry(group.partition, query);
      for (PayloadId payload : stored.payloads) take(payload);
      Query(insert_entry_, p, query.integer(0), query.integer(1), query.integer(2), query.integer(3),
            query.bytes_unless_null(4), query.integer(5), query.bytes(6), query.integer(7))
          .finish();
      digest += query.natural(5);
      ++report_.entries;
    }
    if (groups_.has_digests() && !log_is_whole(group, {index, digest})) throw StoreFailure(lost_entries(group));
    group.log_digest = digest;
    group.last_index = index;
    if (group.applied.index < group.base.index || group.applied.index > index) {
      throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + ": the applied index lies outside of the log");
    }
    if (!options_.pages_unverified) return;
    const auto counted = misplaced_.entries.find(p);
    const std::uint64_t in_table = counted == misplaced_.entries.end() ? 0 : counted->second;
    if (!misplaced_.entries_known || in_table != index - group.base.index) {
      throw StoreFailure(ErrorCode::corrupt,
                         name_of(group.partition) + ": the log's index does not name all of its entries");
    }
  }

  // Rows with a wrong digest may be the only copy, so they are kept and the replica is marked. The digest is kept, too:
  // it goes on showing the difference.
  void copy_rows(GroupState& group) {
    RowDigest digest = 0;
    Query query(rows_, group.space);
    while (query.step()) {
      const SpaceRow row = verified_names(group.space, query);
      const auto& [key, sort] = row.address;
      digest += row.payload ? row_term(row.address, row.version, take(*row.payload), {}) : query.natural(4);
      const auto value = row.payload ? std::nullopt : std::optional(query.bytes(5));
      Query(insert_row_, group.space, key, sort, row.version, row.payload, query.integer(4), value).finish();
      ++report_.rows;
    }
    if (!groups_.has_digests()) group.rows_digest = digest;
    if (digest == group.rows_digest || damage_of(group.damage) == dht::Damage::rows) return;
    group.damage = ReplicaDamage::rows;
    report_.damaged.emplace(group.partition, DamagedReplica{lost_rows(group.partition), ReplicaDamage::rows});
  }

  // Removes what was copied of a partition before its damage was found.
  void drop(const GroupState& group) {
    Query(remove_rows_, group.space).finish();
    Query(remove_entries_, index_of(group.partition)).finish();
    for (PayloadId payload : taken_) payloads_.give_back(payload);
  }

  std::uint64_t take(PayloadId payload) {
    const std::uint64_t sum = payloads_.take(payload);
    taken_.push_back(payload);
    return sum;
  }

  const std::filesystem::path& directory_;
  Connection& from_;
  Connection& to_;
  const StoreCopyOptions& options_;
  StoreCopyReport report_;
  PayloadCopy payloads_;
  GroupTable groups_;
  GroupTable copied_groups_;
  ReplicaIds ids_;
  ReplicaIds copied_ids_;
  Statement rows_, insert_row_, remove_rows_;
  Statement entries_, insert_entry_, remove_entries_;
  std::map<PartitionId, GroupState> found_;
  std::set<PartitionId> unknown_;
  Misplaced misplaced_;
  std::vector<PayloadId> taken_;  // by the group that is being copied
  SpaceId next_space_ = 1;
  unsigned partitions_ = 0;  // of the ring; 0: not known
};

}  // namespace

StoreCopyReport copy_store(const std::filesystem::path& directory, Connection& from, Connection& to,
                           const StoreCopyOptions& options) {
  return StoreCopy(directory, from, to, options).run();
}

}  // namespace ringfs::nodes
