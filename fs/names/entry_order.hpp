// The order of a directory's entries, and positions in it.
//
// A position (the cookie of a listing, telldir) must stay right when entries come and go, in other open streams, on
// other mounts and at later times. A count does not; a place in the order of the names would, but a name does not fit
// 63 bits. So entries lie in the order of a hash of their names, and a position is that hash. The listing goes on
// behind it, whether or not the entry is still there. Names with equal hashes follow each other by name; their rank
// among those present is in the position's last bits. Source: telldir(3); ext4 and others do likewise.
//
// Threads: pure functions. Limits: 56 bits of SHA-256: of directories with 10^6 names, one in 140,000 has two names
// with equal hashes. If more than max_same_hash names had one hash, the rest would not be listed; nobody can find as
// many.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ringfs::fs {

inline constexpr std::size_t entry_hash_size = 7;  // bytes
inline constexpr unsigned rank_bits = 6;
inline constexpr std::uint64_t max_same_hash = std::uint64_t{1} << rank_bits;
// Positions below belong to `.`, `..` and `.ring`. Positions stay below 2^63: offsets are signed.
inline constexpr std::uint64_t first_entry_position = std::uint64_t{1} << 62;

std::uint64_t entry_hash(std::string_view name);
std::string entry_hash_bytes(std::uint64_t hash);     // in the order of the numbers
std::uint64_t entry_hash_of(std::string_view bytes);  // the other way round; at least entry_hash_size bytes

constexpr std::uint64_t entry_position(std::uint64_t hash, std::uint64_t rank) {
  return first_entry_position | hash << rank_bits | rank;
}
constexpr std::uint64_t hash_of_position(std::uint64_t position) {
  return (position & (first_entry_position - 1)) >> rank_bits;
}
constexpr std::uint64_t rank_of_position(std::uint64_t position) { return position & (max_same_hash - 1); }

}  // namespace ringfs::fs
