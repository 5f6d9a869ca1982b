// The hash of a name, and its bytes.
#include "fs/names/entry_order.hpp"

#include "dht/base/error.hpp"
#include "dht/base/hash.hpp"

namespace ringfs::fs {

std::uint64_t entry_hash(std::string_view name) {
  const std::array<std::uint8_t, 32> digest = sha256(name);
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < entry_hash_size; ++i) hash = hash << 8 | digest[i];
  return hash;
}

std::string entry_hash_bytes(std::uint64_t hash) {
  std::string bytes(entry_hash_size, '\0');
  for (std::size_t i = 0; i < entry_hash_size; ++i)
    bytes[i] = static_cast<char>(hash >> (8 * (entry_hash_size - 1 - i)));
  return bytes;
}

std::uint64_t entry_hash_of(std::string_view bytes) {
  RINGFS_CHECK(bytes.size() >= entry_hash_size);
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < entry_hash_size; ++i) hash = hash << 8 | static_cast<std::uint8_t>(bytes[i]);
  return hash;
}

}  // namespace ringfs::fs
