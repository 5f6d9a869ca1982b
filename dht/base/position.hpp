// The identifier circle (Stoica et al., "Chord", SIGCOMM 2001, section 4): 160-bit positions, arcs, and
// the P = 2^k equal partitions of RingFS.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "dht/base/bytes.hpp"

namespace ringfs {

struct Position {
  std::array<std::uint8_t, 20> bytes{};  // big-endian

  friend auto operator<=>(const Position&, const Position&) = default;
  std::string hex() const;
  // The uppermost 64 bits: for shares, drawing and hashing, never for comparisons.
  std::uint64_t top64() const;
};

// this + 2^exponent on the circle; 0 <= exponent < 160 (the start of finger number `exponent`).
Position plus_power_of_two(const Position& position, unsigned exponent);
// Number of leading zero bits decides which finger reaches a distance: floor(log2(to - from)), 0 if equal.
unsigned log2_distance(const Position& from, const Position& to);

// Arcs going clockwise from `from`. An arc whose ends are equal is the whole circle (for the open arc: all but the
// end).
bool in_open_arc(const Position& from, const Position& position, const Position& to);       // (from, to)
bool in_half_open_arc(const Position& from, const Position& position, const Position& to);  // (from, to]

void write(Writer& writer, const Position& position);  // 20 raw bytes
Position read_position(Reader& reader);

// One of P equal arcs; number i covers [i/P, (i+1)/P) of the circle.
enum class PartitionId : std::uint32_t {};
inline constexpr std::uint32_t index_of(PartitionId id) { return static_cast<std::uint32_t>(id); }

// `partition_bits` = log2 P, 0..16 in all of these.
PartitionId partition_of(const Position& position, unsigned partition_bits);
Position anchor_of(PartitionId partition, unsigned partition_bits);  // the lower end

// Where an object's key lives: the first 160 bits of SHA-256 of the key; but a key that starts with
// placement_prefix and four bytes b (big-endian, 27 bits in use) lives at those 27 bits as the top of a
// position, so that a file's inode can lie beside its directory (docs/design.md#inodes-and-names).
inline constexpr std::string_view placement_prefix = "i/";
Position key_position(std::string_view key);
std::string placement_key(std::uint32_t placement);  // placement < 2^27

}  // namespace ringfs

template <>
struct std::hash<ringfs::Position> {
  std::size_t operator()(const ringfs::Position& position) const noexcept { return position.top64(); }
};
