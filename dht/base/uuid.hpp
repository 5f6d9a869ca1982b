// Identities: of a node (kept in its database), of a ring, of a client, of a transaction.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "dht/base/bytes.hpp"
#include "dht/base/error.hpp"
#include "dht/base/random.hpp"

namespace ringfs {

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  // In the order of the bytes, as two words: maps of nodes are looked through for every message.
  friend std::strong_ordering operator<=>(const Uuid& left, const Uuid& right) {
    if (auto upper = left.word(0) <=> right.word(0); upper != 0) return upper;
    return left.word(8) <=> right.word(8);
  }
  friend bool operator==(const Uuid& left, const Uuid& right) {
    return left.word(0) == right.word(0) && left.word(8) == right.word(8);
  }
  bool is_nil() const { return *this == Uuid{}; }

  // RFC 4122 text, "8-4-4-4-12" lower-case hexadecimal digits.
  std::string text() const;
  std::string_view raw() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

 private:
  // Eight bytes, big-endian; compilers make one load of it.
  std::uint64_t word(std::size_t from) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) value = (value << 8) | bytes[from + i];
    return value;
  }
};

Uuid random_uuid(Random& random);                // RFC 4122 version 4
Result<Uuid> parse_uuid(std::string_view text);  // invalid_argument
void write(Writer& writer, const Uuid& uuid);    // 16 raw bytes
Uuid read_uuid(Reader& reader);

}  // namespace ringfs

template <>
struct std::hash<ringfs::Uuid> {
  std::size_t operator()(const ringfs::Uuid& uuid) const noexcept {
    std::size_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) value = (value << 8) | uuid.bytes[i + 8];
    return value;
  }
};
