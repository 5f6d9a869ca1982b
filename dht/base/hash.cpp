// SHA-256 by OpenSSL, XXH3 compiled in.
#include "dht/base/hash.hpp"

#include <openssl/sha.h>

#define XXH_INLINE_ALL  // NOLINT(readability-identifier-naming): xxHash's own name
#include <xxhash.h>

namespace ringfs {

std::array<std::uint8_t, 32> sha256(std::string_view bytes) {
  std::array<std::uint8_t, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

std::uint64_t checksum(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace ringfs
