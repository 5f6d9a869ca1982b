// SHA-256 (OpenSSL) for positions, XXH3 (xxHash) for checksums.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ringfs {

std::array<std::uint8_t, 32> sha256(std::string_view bytes);
// XXH3-64 with seed 0 unless one is given: chain calls by passing the last result as the seed.
std::uint64_t checksum(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace ringfs
