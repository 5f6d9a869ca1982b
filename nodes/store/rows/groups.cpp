// Reading and writing of `grp` and `log`. A group's columns are listed once, in each_column().
#include "nodes/store/rows/groups.hpp"

#include <spdlog/spdlog.h>

#include "dht/base/hash.hpp"

namespace ringfs::nodes {

namespace {

std::uint64_t checksum_of(PartitionId partition, const dht::Entry& entry, std::string_view blobs) {
  Writer writer;
  writer.u32(index_of(partition));
  writer.u64(entry.index);
  writer.u64(entry.term);
  writer.i64(entry.stamp.microseconds);
  writer.u8(static_cast<std::uint8_t>(entry.kind));
  writer.string(blobs);
  return checksum(entry.head.view(), checksum(writer.bytes()));
}

// The columns of `grp` in order, each with the member that it holds. Groups are saved, read and summed by this list.
// `checksum` comes after them.
template <class Group, class Visitor>
void each_column(Group& group, bool with_digests, Visitor& visit) {
  visit("p", group.partition);
  visit("term", group.hard_state.term);
  visit("vote", group.hard_state.vote);
  visit("replica_added", group.replica_added);
  visit("configuration", group.configuration);
  visit("configuration_index", group.configuration_index);
  visit("applied", group.applied.index);
  visit("applied_term", group.applied.term);
  visit("applied_stamp", group.applied.stamp);
  visit("base_index", group.base.index);
  visit("base_term", group.base.term);
  visit("base_stamp", group.base.stamp);
  visit("space", group.space);
  visit("staging_space", group.staging, &Staging::space);  // these three are NULL without staging
  visit("staging_snapshot", group.staging, &Staging::snapshot);
  visit("staging_next", group.staging, &Staging::next);
  visit("holds_data", group.holds_data);
  visit("damage", group.damage);
  if (!with_digests) return;
  visit("rows_digest", group.rows_digest);
  RowDigest staged = group.staging ? group.staging->digest : 0;
  visit("staging_digest", staged);
  if constexpr (!std::is_const_v<Group>) {
    if (group.staging) group.staging->digest = staged;
  }
  visit("log_digest", group.log_digest);
  visit("log_end", group.last_index);
}

struct ColumnNames {
  template <class... Held>
  void operator()(const char* name, const Held&...) {
    names += (names.empty() ? "" : ", ") + std::string(name);
    places += places.empty() ? "?" : ", ?";
    if (name != std::string_view("p"))
      updates += (updates.empty() ? "" : ", ") + std::string(name) + " = excluded." + name;
  }
  std::string names, places, updates;
};

ColumnNames columns(bool with_digests) {
  ColumnNames columns;
  const GroupState any;
  each_column(any, with_digests, columns);
  columns("checksum");
  return columns;
}

std::string save_statement(bool with_digests) {
  const ColumnNames all = columns(with_digests);
  return "INSERT INTO grp(" + all.names + ") VALUES(" + all.places + ") ON CONFLICT(p) DO UPDATE SET " + all.updates;
}

struct ColumnWriter {
  void operator()(const char*, PartitionId partition) { query.add(index_of(partition)); }
  void operator()(const char*, const Uuid& id) { query.add(id.raw()); }
  void operator()(const char*, const dht::Configuration&) { query.add(configuration); }
  void operator()(const char*, Stamp stamp) { query.add(stamp.microseconds); }
  void operator()(const char*, ReplicaDamage damage) { query.add(static_cast<int>(damage)); }
  template <std::integral Integer>
  void operator()(const char*, Integer value) {
    query.add(value);
  }
  template <class Held>
  void operator()(const char*, const std::optional<Staging>& staging, Held Staging::*held) {
    query.add(staging ? std::optional((*staging).*held) : std::nullopt);
  }
  Query& query;
  const std::string& configuration;  // encoded
};

struct ColumnReader {
  void operator()(const char*, PartitionId& partition) { partition = static_cast<PartitionId>(query.natural(next++)); }
  void operator()(const char*, Uuid& id) {
    Reader reader(query.bytes(next++));
    id = read_uuid(reader);
    decodes = decodes && reader.done();
  }
  void operator()(const char*, dht::Configuration& held) {
    configuration = query.bytes(next++);
    Result<dht::Configuration> decoded = dht::decode_configuration(configuration);
    decodes = decodes && decoded;
    if (decoded) held = std::move(*decoded);
  }
  void operator()(const char*, Stamp& stamp) { stamp.microseconds = query.integer(next++); }
  void operator()(const char*, bool& value) { value = query.integer(next++) != 0; }
  void operator()(const char*, ReplicaDamage& damage) { damage = static_cast<ReplicaDamage>(query.integer(next++)); }
  template <std::integral Integer>
  void operator()(const char*, Integer& value) {
    value = static_cast<Integer>(query.integer(next++));
  }
  template <class Held>
  void operator()(const char*, std::optional<Staging>& staging, Held Staging::*held) {
    if (!query.null(next)) {
      if (!staging) staging.emplace();
      (*staging).*held = static_cast<Held>(query.integer(next));
    }
    ++next;
  }
  const Query& query;
  int next = 0;
  bool decodes = true;
  std::string_view configuration = {};  // as in the row
};

struct ColumnSum {
  void operator()(const char*, PartitionId partition) { writer.u32(index_of(partition)); }
  void operator()(const char*, const Uuid& id) { write(writer, id); }
  void operator()(const char*, const dht::Configuration&) { writer.string(configuration); }
  void operator()(const char*, Stamp stamp) { writer.i64(stamp.microseconds); }
  void operator()(const char*, std::uint64_t value) { writer.u64(value); }
  void operator()(const char*, SpaceId space) { writer.i64(space); }
  // Summed only when not at the value that they have in rows of older formats, so that those keep their checksums.
  void operator()(const char*, bool holds_data) {
    if (!holds_data) writer.boolean(false);
  }
  void operator()(const char*, ReplicaDamage damage) {
    if (damage != ReplicaDamage::none) writer.u32(static_cast<std::uint32_t>(damage));
  }
  // The first column of the staging says whether there is one.
  void operator()(const char*, const std::optional<Staging>& staging, SpaceId Staging::*space) {
    writer.boolean(staging.has_value());
    if (staging) writer.i64((*staging).*space);
  }
  void operator()(const char*, const std::optional<Staging>& staging, std::uint64_t Staging::*snapshot) {
    if (staging) writer.u64((*staging).*snapshot);
  }
  void operator()(const char*, const std::optional<Staging>& staging, std::uint32_t Staging::*next) {
    if (staging) writer.u32((*staging).*next);
  }
  std::string_view configuration;  // as in the row
  Writer writer = {};
};

constexpr const char* next_space_name = "next_space";

SpaceId next_space(MetaTable& meta) {
  const std::optional<std::string> stored = meta.get(next_space_name);
  if (!stored) return 1;
  Reader reader(*stored);
  const SpaceId space = reader.i64();
  if (!reader.done() || space < 1) throw StoreFailure(ErrorCode::corrupt, "meta \"next_space\" does not decode");
  return space;
}

void set_next_space(MetaTable& meta, SpaceId space) {
  Writer writer;
  writer.i64(space);
  meta.set(next_space_name, writer.bytes());
}

}  // namespace

std::string name_of(PartitionId partition) { return "partition " + std::to_string(index_of(partition)); }

std::string name_of(PartitionId partition, dht::LogIndex index) {
  return name_of(partition) + ", log entry " + std::to_string(index);
}

Error in_partition(PartitionId partition, const Error& error) {
  if (error.code != ErrorCode::corrupt || error.context.find("partition ") != std::string::npos) return error;
  return {error.code, name_of(partition) + ": " + error.context};
}

dht::Damage damage_of(ReplicaDamage damage) {
  switch (damage) {
    case ReplicaDamage::none: return dht::Damage::none;
    case ReplicaDamage::rows: return dht::Damage::rows;
    case ReplicaDamage::data:
    case ReplicaDamage::everything: break;
  }
  return dht::Damage::log;  // also for a number of a newer program
}

SpaceId take_new_space(MetaTable& meta) {
  const SpaceId space = next_space(meta);
  set_next_space(meta, space + 1);
  return space;
}

void never_take_space_again(MetaTable& meta, SpaceId used) {
  const SpaceId next = next_space(meta);
  if (next > used) return;
  spdlog::error("event=next_space_was_old next={} used={}", next, used);
  set_next_space(meta, used + 1);
}

GroupTable::GroupTable(Connection& connection)
    : has_digests_(nodes::has_digests(connection)),
      save_(connection, save_statement(has_digests_)),
      load_all_(connection, "SELECT " + columns(has_digests_).names + " FROM grp ORDER BY p"),
      load_(connection, "SELECT " + columns(has_digests_).names + " FROM grp WHERE p = ?"),
      last_index_(connection, "SELECT max(idx) FROM log WHERE p = ?") {}

std::uint64_t group_checksum(const GroupState& group, std::string_view configuration, bool with_digests) {
  ColumnSum sum{configuration};
  each_column(group, with_digests, sum);
  return checksum(sum.writer.bytes());
}

void GroupTable::save(const GroupState& group) {
  const std::string configuration = encode(group.configuration);
  Query query(save_);
  ColumnWriter columns{query, configuration};
  each_column(group, has_digests_, columns);
  query.add(group_checksum(group, configuration, has_digests_));
  query.finish();
}

GroupState GroupTable::read(const Query& query) const {
  GroupState group;
  ColumnReader columns{query};
  each_column(group, has_digests_, columns);
  if (!columns.decodes) throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + " does not decode");
  if (group_checksum(group, columns.configuration, has_digests_) != query.natural(columns.next)) {
    throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + ": checksum does not match");
  }
  return group;
}

std::map<PartitionId, GroupState> GroupTable::load_all(std::map<PartitionId, Error>& unreadable) {
  std::map<PartitionId, GroupState> groups;
  {
    Query query(load_all_);
    while (query.step()) {
      const auto partition = static_cast<PartitionId>(query.natural(0));
      try {
        groups[partition] = read(query);
      } catch (const StoreFailure& failure) {
        if (failure.error().code != ErrorCode::corrupt) throw;
        groups.erase(partition);
        unreadable[partition] = failure.error();
      }
    }
  }
  if (has_digests_) return groups;
  for (auto& [partition, group] : groups) {
    Query query(last_index_, index_of(partition));
    group.last_index = query.step() && !query.null(0) ? query.natural(0) : group.base.index;
  }
  return groups;
}

std::optional<GroupState> GroupTable::load(PartitionId partition) {
  Query query(load_, index_of(partition));
  if (!query.step()) return std::nullopt;
  return read(query);
}

LogTable::LogTable(Connection& connection, PayloadTable& payloads)
    : payloads_(payloads),
      append_(connection, insert_entry),
      // The head only where it is needed: it may lie on overflow pages.
      blobs_(connection,
             "SELECT idx, term, stamp, kind, blobs, checksum, CASE WHEN blobs IS NULL THEN NULL ELSE head END FROM log "
             "WHERE p = ? AND idx BETWEEN ? AND ?"),
      checksums_(connection, "SELECT idx, checksum FROM log WHERE p = ?"),
      remove_(connection, "DELETE FROM log WHERE p = ? AND idx BETWEEN ? AND ?"),
      load_(connection,
            std::string("SELECT ") + entry_columns + " FROM log WHERE p = ? AND idx BETWEEN ? AND ? ORDER BY idx") {}

LogTable::Appended LogTable::append(PartitionId partition, const dht::Entry& entry, PayloadHome home) {
  std::vector<PayloadId> payloads;
  Writer writer;
  for (const SharedBytes& blob : entry.blobs) {
    payloads.push_back(payloads_.insert(blob.view(), home).id);
    writer.i64(payloads.back());
  }
  const std::uint64_t sum = checksum_of(partition, entry, writer.bytes());
  const auto blobs = payloads.empty() ? std::nullopt : std::optional<std::string_view>(writer.bytes());
  Query(append_, index_of(partition), entry.index, entry.term, entry.stamp.microseconds,
        static_cast<std::uint8_t>(entry.kind), blobs, sum, entry.head.view(), entry.bytes())
      .finish();
  return {std::move(payloads), sum};
}

std::uint64_t LogTable::remove(PartitionId partition, dht::LogIndex first, dht::LogIndex last) {
  std::uint64_t sum = 0;
  std::vector<PayloadId> payloads;
  {
    Query query(blobs_, index_of(partition), first, last);
    while (query.step()) {
      sum += query.natural(5);
      if (query.null(4)) continue;
      try {
        for (PayloadId payload : verified_entry(partition, query).payloads) payloads.push_back(payload);
      } catch (const StoreFailure& failure) {
        // It is not known which payloads it named. None is released, or another entry could lose its bytes.
        if (failure.error().code != ErrorCode::corrupt) throw;
        spdlog::warn("event=payloads_left partition={} reason=\"{}\"", index_of(partition), failure.error().text());
      }
    }
  }
  Query(remove_, index_of(partition), first, last).finish();
  for (PayloadId payload : payloads) payloads_.release_or_leave(payload);
  return sum;
}

std::vector<PayloadId> decode_payloads(std::string_view bytes) {
  Reader reader(bytes);
  std::vector<PayloadId> payloads;
  payloads.reserve(bytes.size() / 8);
  while (!reader.rest().empty() && reader.ok()) payloads.push_back(reader.i64());
  if (!reader.ok()) throw StoreFailure(ErrorCode::corrupt, "a log entry's list of payloads does not decode");
  return payloads;
}

StoredEntry verified_entry(PartitionId partition, const Query& query) {
  StoredEntry stored;
  stored.entry = dht::Entry{query.natural(0),
                            query.natural(1),
                            Stamp{query.integer(2)},
                            static_cast<dht::EntryKind>(query.integer(3)),
                            SharedBytes(std::string(query.bytes(6))),
                            {}};
  const std::string_view blobs = query.bytes(4);
  if (checksum_of(partition, stored.entry, blobs) != query.natural(5)) {
    throw StoreFailure(ErrorCode::corrupt, name_of(partition, stored.entry.index) + ": checksum does not match");
  }
  stored.payloads = decode_payloads(blobs);
  return stored;
}

void LogTable::load(PartitionId partition, dht::LogIndex first, dht::LogIndex last,
                    const std::function<bool(StoredEntry&&)>& visit) {
  Query query(load_, index_of(partition), first, last);
  while (query.step()) {
    StoredEntry stored = verified_entry(partition, query);
    dht::Entry& entry = stored.entry;
    with_place([&] { return name_of(partition, entry.index); },
               [&] {
                 for (PayloadId payload : stored.payloads) entry.blobs.push_back(payloads_.read(payload));
               });
    if (!visit(std::move(stored))) return;
  }
}

LogTable::Info LogTable::info_of(PartitionId partition, const Query& query) {
  StoredEntry stored = verified_entry(partition, query);
  // The checksum does not cover the size, which follows from what it covers.
  std::uint64_t size = stored.entry.bytes();
  for (PayloadId payload : stored.payloads) size += payloads_.size(payload);
  if (size != query.natural(7)) {
    throw StoreFailure(ErrorCode::corrupt, name_of(partition, stored.entry.index) + ": its size does not match");
  }
  return {{stored.entry.index, stored.entry.term, static_cast<std::uint32_t>(size)},
          stored.entry.kind,
          stored.entry.stamp,
          query.natural(5)};
}

std::vector<LogTable::Info> LogTable::infos(PartitionId partition, dht::LogIndex first) {
  std::vector<Info> infos;
  Query query(load_, index_of(partition), first, INT64_MAX);
  while (query.step()) infos.push_back(info_of(partition, query));
  return infos;
}

std::optional<LogTable::Info> LogTable::info(PartitionId partition, dht::LogIndex index) {
  Query query(load_, index_of(partition), index, index);
  if (!query.step()) return std::nullopt;
  return info_of(partition, query);
}

LogTable::Sum LogTable::sum(PartitionId partition) {
  Sum sum;
  Query query(checksums_, index_of(partition));
  while (query.step()) {
    sum.end = std::max(sum.end.value_or(0), query.natural(0));
    sum.digest += query.natural(1);
  }
  return sum;
}

bool log_is_whole(const GroupState& group, const LogTable::Sum& entries) {
  return entries.digest == group.log_digest && entries.end.value_or(group.base.index) == group.last_index;
}

Error lost_entries(const GroupState& group) {
  return {ErrorCode::corrupt, name_of(group.partition) + ": its log is not what was written, up to entry " +
                                  std::to_string(group.last_index) + ": the disk has lost a write"};
}

Error lost_vote(PartitionId partition) {
  return {ErrorCode::corrupt,
          name_of(partition) + ": its term or vote is not the last that was written: the disk has lost a write"};
}

Error lost_rows(PartitionId partition) {
  return {ErrorCode::corrupt,
          name_of(partition) + ": its rows are not those that were written: the disk has lost a write"};
}

}  // namespace ringfs::nodes
