// The bytes of configurations, and the size of entries.
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t entry_overhead_bytes = 64;

void write_replicas(Writer& writer, const std::vector<ReplicaId>& replicas) {
  writer.u32(static_cast<std::uint32_t>(replicas.size()));
  for (const ReplicaId& replica : replicas) {
    write(writer, replica.node);
    writer.u64(replica.added);
  }
}

std::vector<ReplicaId> read_replicas(Reader& reader) {
  std::size_t count = reader.count(24);
  std::vector<ReplicaId> replicas;
  replicas.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    ReplicaId replica;
    replica.node = read_uuid(reader);
    replica.added = reader.u64();
    replicas.push_back(replica);
  }
  return replicas;
}

}  // namespace

std::string encode(const Configuration& configuration) {
  Writer writer;
  write_replicas(writer, configuration.voters);
  write_replicas(writer, configuration.old_voters);
  write_replicas(writer, configuration.learners);
  return writer.take();
}

Result<Configuration> decode_configuration(std::string_view bytes) {
  Reader reader(bytes);
  Configuration configuration;
  configuration.voters = read_replicas(reader);
  configuration.old_voters = read_replicas(reader);
  configuration.learners = read_replicas(reader);
  if (!reader.done()) return fail(ErrorCode::corrupt, "group configuration does not decode");
  return configuration;
}

std::size_t Entry::bytes() const {
  std::size_t total = head.size() + entry_overhead_bytes;
  for (const SharedBytes& blob : blobs) total += blob.size();
  return total;
}

}  // namespace ringfs::dht
