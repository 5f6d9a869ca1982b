#include "nodes/store_identity.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "dht/base/bytes.hpp"
#include "dht/base/hash.hpp"
#include "nodes/descriptor.hpp"
#include "nodes/sqlite_handle.hpp"
#include "nodes/store_lock.hpp"

namespace ringfs {

namespace {

constexpr std::uint8_t identity_format = 1;
constexpr std::size_t sum_bytes = 8;

}  // namespace

std::optional<StoredIdentity> read_identity(const std::filesystem::path& directory) {
  std::ifstream stream(directory / identity_file_name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
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
  const std::filesystem::path file = directory / identity_file_name;
  const std::filesystem::path fresh = file.string() + "-new";
  {
    Descriptor descriptor(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (descriptor.value < 0) file_failed(fresh, errno);
    std::string_view left = writer.bytes();
    while (!left.empty()) {
      const ssize_t written = ::write(descriptor.value, left.data(), left.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) file_failed(fresh, errno);
      left.remove_prefix(static_cast<std::size_t>(written));
    }
    if (fsync(descriptor.value) != 0) file_failed(fresh, errno);
  }
  if (rename(fresh.c_str(), file.c_str()) != 0) file_failed(file, errno);
  if (Status synced = sync_directory(directory); !synced) throw StoreFailure(synced.error().code, synced.error().context);
}

}  // namespace ringfs
