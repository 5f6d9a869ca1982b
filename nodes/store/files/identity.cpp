// The encoding of the second copy; its last eight bytes are the checksum of the others.
#include "nodes/store/files/identity.hpp"

#include "dht/base/bytes.hpp"
#include "dht/base/hash.hpp"
#include "dht/base/read_file.hpp"
#include "nodes/store/files/whole_file.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::uint8_t identity_format = 1;
constexpr std::size_t sum_bytes = 8;

}  // namespace

std::optional<StoredIdentity> read_identity(const std::filesystem::path& directory) {
  const std::string bytes =
      read_file(directory / identity_file_name).value_or(std::string());  // an unreadable sector is damage
  if (bytes.size() < sum_bytes) return std::nullopt;
  const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - sum_bytes);
  Reader sum(std::string_view(bytes).substr(body.size()));
  if (sum.u64() != checksum(body)) return std::nullopt;
  Reader reader(body);
  StoredIdentity identity;
  if (reader.u8() != identity_format) return std::nullopt;
  identity.id = read_uuid(reader);
  identity.incarnation.counter = reader.u64();
  identity.incarnation.nonce = reader.u64();
  identity.genesis = reader.string();
  identity.table = reader.string();
  if (!reader.done() || identity.id.is_nil()) return std::nullopt;
  return identity;
}

void write_identity(const std::filesystem::path& directory, const StoredIdentity& identity) {
  Writer writer;
  writer.u8(identity_format);
  write(writer, identity.id);
  writer.u64(identity.incarnation.counter);
  writer.u64(identity.incarnation.nonce);
  writer.string(identity.genesis);
  writer.string(identity.table);
  writer.u64(checksum(writer.bytes()));
  write_whole_file(directory / identity_file_name, writer.bytes());
}

}  // namespace ringfs::nodes
