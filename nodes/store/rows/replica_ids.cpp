// The names and encodings of these values of `meta`.
#include "nodes/store/rows/replica_ids.hpp"

#include <cstdlib>
#include <set>

#include "dht/base/bytes.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::string_view added_prefix = "replica/";
constexpr std::string_view added_end = "replica0";  // '0' follows '/'
constexpr std::string_view vote_prefix = "vote/";
constexpr const char* nameless_name = "nameless_spaces";

std::string name_of(std::string_view prefix, PartitionId partition) {
  return std::string(prefix) + std::to_string(index_of(partition));
}

dht::LogIndex decode_added(const std::string& name, const std::string& value) {
  Reader reader(value);
  const dht::LogIndex added = reader.u64();
  if (!reader.done()) throw StoreFailure(ErrorCode::corrupt, "meta \"" + name + "\" does not decode");
  return added;
}

}  // namespace

ReplicaIds::ReplicaIds(Connection& connection)
    : meta_(connection),
      names_(connection,
             "SELECT CAST(name AS BLOB) FROM meta WHERE name >= CAST(?1 AS TEXT) AND name < CAST(?2 AS TEXT)"),
      remove_(connection, "DELETE FROM meta WHERE name = CAST(? AS TEXT)") {}

dht::LogIndex ReplicaIds::added(PartitionId partition) {
  const std::string name = name_of(added_prefix, partition);
  const std::optional<std::string> value = meta_.get(name);
  return value ? decode_added(name, *value) : 0;
}

std::map<PartitionId, dht::LogIndex> ReplicaIds::all_added() {
  std::set<PartitionId> named;
  {
    Query query(names_, added_prefix, added_end);
    while (query.step()) {
      const std::string name(query.bytes(0));
      char* rest = nullptr;
      const unsigned long number = std::strtoul(name.c_str() + added_prefix.size(), &rest, 10);
      if (*rest != '\0' || number > UINT32_MAX)
        throw StoreFailure(ErrorCode::corrupt, "meta \"" + name + "\" names no partition");
      named.insert(PartitionId{static_cast<std::uint32_t>(number)});
    }
  }
  std::map<PartitionId, dht::LogIndex> found;
  for (PartitionId partition : named) found[partition] = added(partition);
  return found;
}

void ReplicaIds::set_added(PartitionId partition, dht::LogIndex added) {
  Writer writer;
  writer.u64(added);
  meta_.set(name_of(added_prefix, partition), writer.bytes());
}

bool is_later(const dht::HardState& state, const dht::HardState& former) {
  return state.term > former.term || (state.term == former.term && former.vote.is_nil() && !state.vote.is_nil());
}

std::optional<dht::HardState> ReplicaIds::vote(PartitionId partition) {
  const std::string name = name_of(vote_prefix, partition);
  const std::optional<std::string> value = meta_.get(name);
  if (!value) return std::nullopt;
  Reader reader(*value);
  dht::HardState state;
  state.term = reader.u64();
  state.vote = read_uuid(reader);
  if (!reader.done()) throw StoreFailure(ErrorCode::corrupt, "meta \"" + name + "\" does not decode");
  return state;
}

void ReplicaIds::set_vote(PartitionId partition, const dht::HardState& state) {
  Writer writer;
  writer.u64(state.term);
  write(writer, state.vote);
  meta_.set(name_of(vote_prefix, partition), writer.bytes());
}

bool ReplicaIds::nameless_spaces() { return meta_.get(nameless_name).has_value(); }

void ReplicaIds::set_nameless_spaces(bool any) {
  if (any)
    meta_.set(nameless_name, "1");
  else
    Query(remove_, std::string(nameless_name)).finish();
}

}  // namespace ringfs::nodes
