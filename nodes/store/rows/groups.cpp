#include "nodes/store/rows/groups.hpp"

#include <spdlog/spdlog.h>

#include "dht/base/hash.hpp"

namespace ringfs::nodes {

namespace {

std::string name_of(PartitionId partition) { return "partition " + std::to_string(index_of(partition)); }

std::string name_of(PartitionId partition, dht::LogIndex index) {
  return name_of(partition) + ", log entry " + std::to_string(index);
}

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

constexpr std::string_view plain_columns =
    "p, term, vote, replica_added, configuration, configuration_index, applied, applied_term, applied_stamp, "
    "base_index, base_term, base_stamp, space, staging_space, staging_snapshot, staging_next, checksum, holds_data, "
    "damage";
constexpr std::string_view digest_columns = ", rows_digest, staging_digest, log_digest, log_end";

std::string columns(bool with_digests) {
  std::string names(plain_columns);
  return with_digests ? names.append(digest_columns) : names;
}

// All columns of a group's row in their order, over the one that is there.
std::string save_statement(bool with_digests) {
  const std::string names = columns(with_digests);
  std::string places;
  std::string updates;
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    places += places.empty() ? "?" : ", ?";
    if (name != "p") updates += (updates.empty() ? "" : ", ") + name + " = excluded." + name;
    begin = std::min(end + 2, names.size());
  }
  return "INSERT INTO grp(" + names + ") VALUES(" + places + ") ON CONFLICT(p) DO UPDATE SET " + updates;
}

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
  return dht::Damage::log;  // a number of a later program, too
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
      load_all_(connection, "SELECT " + columns(has_digests_) + " FROM grp ORDER BY p"),
      load_(connection, "SELECT " + columns(has_digests_) + " FROM grp WHERE p = ?"),
      last_index_(connection, "SELECT max(idx) FROM log WHERE p = ?") {}

std::uint64_t group_checksum(const GroupState& group, const std::string& configuration, bool with_digests) {
  Writer writer;
  writer.u32(index_of(group.partition));
  writer.u64(group.hard_state.term);
  write(writer, group.hard_state.vote);
  writer.u64(group.replica_added);
  writer.string(configuration);
  writer.u64(group.configuration_index);
  writer.u64(group.applied);
  writer.u64(group.applied_term);
  writer.i64(group.applied_stamp.microseconds);
  writer.u64(group.base_index);
  writer.u64(group.base_term);
  writer.i64(group.base_stamp.microseconds);
  writer.i64(group.space);
  writer.boolean(group.staging.has_value());
  if (group.staging) {
    writer.i64(group.staging->space);
    writer.u64(group.staging->snapshot);
    writer.u32(group.staging->next);
  }
  if (!group.holds_data) writer.boolean(false);  // absent otherwise: rows of format 3 keep their sums
  if (group.damage != ReplicaDamage::none)
    writer.u32(static_cast<std::uint32_t>(group.damage));  // so do those of format 5
  if (with_digests) {
    writer.u64(group.rows_digest);
    writer.u64(group.staging ? group.staging->digest : 0);
    writer.u64(group.log_digest);
    writer.u64(group.last_index);
  }
  return checksum(writer.bytes());
}

void GroupTable::save(const GroupState& group) {
  std::string configuration = encode(group.configuration);
  std::uint64_t sum = group_checksum(group, configuration, has_digests_);
  auto run = [&](const auto& space, const auto& snapshot, const auto& next, const auto&... digests) {
    Query(save_, index_of(group.partition), group.hard_state.term, group.hard_state.vote.raw(), group.replica_added,
          configuration, group.configuration_index, group.applied, group.applied_term, group.applied_stamp.microseconds,
          group.base_index, group.base_term, group.base_stamp.microseconds, group.space, space, snapshot, next, sum,
          group.holds_data ? 1 : 0, static_cast<int>(group.damage), digests...)
        .finish();
  };
  auto with_staging = [&](const auto&... digests) {
    if (group.staging) {
      run(group.staging->space, group.staging->snapshot, group.staging->next, digests...);
    } else {
      run(nullptr, nullptr, nullptr, digests...);
    }
  };
  if (has_digests_) {
    with_staging(group.rows_digest, group.staging ? group.staging->digest : 0, group.log_digest, group.last_index);
  } else {
    with_staging();
  }
}

GroupState GroupTable::read(const Query& query) const {
  GroupState group;
  group.partition = static_cast<PartitionId>(query.natural(0));
  group.hard_state.term = query.natural(1);
  Reader vote(query.bytes(2));
  group.hard_state.vote = read_uuid(vote);
  group.replica_added = query.natural(3);
  std::string configuration(query.bytes(4));
  Result<dht::Configuration> decoded = dht::decode_configuration(configuration);
  if (!vote.done() || !decoded) throw StoreFailure(ErrorCode::corrupt, name_of(group.partition) + " does not decode");
  group.configuration = std::move(*decoded);
  group.configuration_index = query.natural(5);
  group.applied = query.natural(6);
  group.applied_term = query.natural(7);
  group.applied_stamp = Stamp{query.integer(8)};
  group.base_index = query.natural(9);
  group.base_term = query.natural(10);
  group.base_stamp = Stamp{query.integer(11)};
  group.space = query.integer(12);
  if (!query.null(13)) {
    group.staging = Staging{query.integer(13), query.natural(14), static_cast<std::uint32_t>(query.natural(15))};
  }
  group.holds_data = query.integer(17) != 0;
  group.damage = static_cast<ReplicaDamage>(query.integer(18));
  if (has_digests_) {
    group.rows_digest = query.natural(19);
    if (group.staging) group.staging->digest = query.natural(20);
    group.log_digest = query.natural(21);
    group.last_index = query.natural(22);
  }
  if (group_checksum(group, configuration, has_digests_) != query.natural(16)) {
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
    group.last_index = query.step() && !query.null(0) ? query.natural(0) : group.base_index;
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
      append_(
          connection,
          "INSERT INTO log(p, idx, term, stamp, kind, size, blobs, checksum, head) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      // The head only where it is looked at: it may lie on pages of its own.
      blobs_(connection,
             "SELECT idx, term, stamp, kind, blobs, checksum, CASE WHEN blobs IS NULL THEN NULL ELSE head END FROM log "
             "WHERE p = ? AND idx BETWEEN ? AND ?"),
      checksums_(connection, "SELECT idx, checksum FROM log WHERE p = ?"),
      remove_(connection, "DELETE FROM log WHERE p = ? AND idx BETWEEN ? AND ?"),
      load_(connection,
            "SELECT idx, term, stamp, kind, blobs, checksum, head, size FROM log WHERE p = ? AND idx BETWEEN ? AND ? "
            "ORDER BY idx") {}

LogTable::Appended LogTable::append(PartitionId partition, const dht::Entry& entry, PayloadHome home) {
  std::vector<PayloadId> payloads;
  Writer writer;
  for (const SharedBytes& blob : entry.blobs) {
    payloads.push_back(payloads_.insert(blob.view(), home).id);
    writer.i64(payloads.back());
  }
  std::uint64_t sum = checksum_of(partition, entry, writer.bytes());
  auto run = [&](const auto& blobs) {
    Query(append_, index_of(partition), entry.index, entry.term, entry.stamp.microseconds,
          static_cast<std::uint8_t>(entry.kind), entry.bytes(), blobs, sum, entry.head.view())
        .finish();
  };
  if (payloads.empty()) {
    run(nullptr);
  } else {
    run(std::string_view(writer.bytes()));
  }
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
        for (PayloadId payload : verified(partition, query).payloads) payloads.push_back(payload);
      } catch (const StoreFailure& failure) {
        // Which payloads it named is not known: none is released for it, lest another one's bytes go.
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

StoredEntry verified_entry(PartitionId partition, dht::LogIndex index, dht::Term term, Stamp stamp, dht::EntryKind kind,
                           std::string_view blobs, std::string_view head, std::uint64_t expected) {
  StoredEntry stored;
  stored.entry = dht::Entry{index, term, stamp, kind, SharedBytes(std::string(head)), {}};
  if (checksum_of(partition, stored.entry, blobs) != expected) {
    throw StoreFailure(ErrorCode::corrupt, name_of(partition, index) + ": checksum does not match");
  }
  stored.payloads = decode_payloads(blobs);
  return stored;
}

StoredEntry LogTable::verified(PartitionId partition, const Query& query) {
  return verified_entry(partition, query.natural(0), query.natural(1), Stamp{query.integer(2)},
                        static_cast<dht::EntryKind>(query.integer(3)), query.bytes(4), query.bytes(6),
                        query.natural(5));
}

void LogTable::load(PartitionId partition, dht::LogIndex first, dht::LogIndex last,
                    const std::function<bool(StoredEntry&&)>& visit) {
  Query query(load_, index_of(partition), first, last);
  while (query.step()) {
    StoredEntry stored = verified(partition, query);
    dht::Entry& entry = stored.entry;
    try {
      for (PayloadId payload : stored.payloads) entry.blobs.push_back(payloads_.read(payload));
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::corrupt) throw;
      throw StoreFailure(ErrorCode::corrupt, name_of(partition, entry.index) + ": " + failure.error().context);
    }
    if (!visit(std::move(stored))) return;
  }
}

LogTable::Info LogTable::info_of(PartitionId partition, const Query& query) {
  StoredEntry stored = verified(partition, query);
  // The size is not part of the sum: it follows from what is.
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
  return entries.digest == group.log_digest && entries.end.value_or(group.base_index) == group.last_index;
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
