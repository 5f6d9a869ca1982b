// Arithmetic on the identifier circle, and where keys and partitions lie on it.
#include "dht/base/position.hpp"

#include <algorithm>
#include <bit>

#include "dht/base/error.hpp"
#include "dht/base/hash.hpp"

namespace ringfs {

std::string Position::hex() const { return to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()}); }

std::uint64_t Position::top64() const {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = (value << 8) | bytes[i];
  return value;
}

Position plus_power_of_two(const Position& position, unsigned exponent) {
  RINGFS_CHECK(exponent < 160);
  Position result = position;
  std::size_t i = 19 - exponent / 8;
  unsigned carry = 1U << (exponent % 8);
  while (carry != 0) {
    unsigned sum = result.bytes[i] + carry;
    result.bytes[i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
    if (i == 0) break;
    --i;
  }
  return result;
}

unsigned log2_distance(const Position& from, const Position& to) {
  Position distance;
  int borrow = 0;
  for (std::size_t i = 20; i-- > 0;) {
    int difference = static_cast<int>(to.bytes[i]) - static_cast<int>(from.bytes[i]) - borrow;
    borrow = difference < 0 ? 1 : 0;
    distance.bytes[i] = static_cast<std::uint8_t>(difference);
  }
  for (std::size_t i = 0; i < 20; ++i) {
    if (distance.bytes[i] == 0) continue;
    auto top = static_cast<unsigned>(std::bit_width(static_cast<unsigned>(distance.bytes[i])) - 1);
    return static_cast<unsigned>(19 - i) * 8 + top;
  }
  return 0;
}

bool in_open_arc(const Position& from, const Position& position, const Position& to) {
  if (from < to) return from < position && position < to;
  if (from == to) return position != from;
  return position > from || position < to;
}

bool in_half_open_arc(const Position& from, const Position& position, const Position& to) {
  if (from == to) return true;
  return position == to || in_open_arc(from, position, to);
}

void write(Writer& writer, const Position& position) {
  writer.raw({reinterpret_cast<const char*>(position.bytes.data()), position.bytes.size()});
}

Position read_position(Reader& reader) {
  Position position;
  std::string_view bytes = reader.raw(position.bytes.size());
  std::copy(bytes.begin(), bytes.end(), position.bytes.begin());
  return position;
}

PartitionId partition_of(const Position& position, unsigned partition_bits) {
  if (partition_bits == 0) return PartitionId{0};
  return PartitionId{static_cast<std::uint32_t>(position.top64() >> (64 - partition_bits))};
}

namespace {

Position with_top64(std::uint64_t value) {
  Position position;
  for (std::size_t i = 0; i < 8; ++i) position.bytes[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
  return position;
}

}  // namespace

Position anchor_of(PartitionId partition, unsigned partition_bits) {
  if (partition_bits == 0) return Position{};
  return with_top64(static_cast<std::uint64_t>(index_of(partition)) << (64 - partition_bits));
}

Position key_position(std::string_view key) {
  if (key.size() >= placement_prefix.size() + 4 && key.starts_with(placement_prefix)) {
    Reader reader(key.substr(placement_prefix.size()));
    return with_top64((reader.u32() & 0x7ffffffULL) << 37);
  }
  std::array<std::uint8_t, 32> digest = sha256(key);
  Position position;
  std::copy_n(digest.begin(), position.bytes.size(), position.bytes.begin());
  return position;
}

std::string placement_key(std::uint32_t placement) {
  RINGFS_CHECK(placement < (1U << 27));
  Writer writer;
  writer.raw(placement_prefix);
  writer.u32(placement);
  return writer.take();
}

}  // namespace ringfs
