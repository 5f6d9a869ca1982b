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

  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  bool is_nil() const { return *this == Uuid{}; }

  // RFC 4122 text, "8-4-4-4-12" lower-case hexadecimal digits.
  std::string text() const;
  std::string_view raw() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

Uuid random_uuid(Random& random);               // RFC 4122 version 4
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
