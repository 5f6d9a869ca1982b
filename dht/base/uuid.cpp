#include "dht/base/uuid.hpp"

namespace ringfs {

std::string Uuid::text() const {
  std::string hex = to_hex(raw());
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" +
         hex.substr(20);
}

Uuid random_uuid(Random& random) {
  Uuid uuid;
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t value = random.next();
    for (std::size_t i = 0; i < 8; ++i) uuid.bytes[8 * half + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
  uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);
  uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

namespace {

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

Result<Uuid> parse_uuid(std::string_view text) {
  Uuid uuid;
  if (text.size() != 36) return fail(ErrorCode::invalid_argument, "a uuid has 36 characters");
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash) {
      if (text[i] != '-') return fail(ErrorCode::invalid_argument, "a uuid is written 8-4-4-4-12");
      continue;
    }
    int value = hex_value(text[i]);
    if (value < 0) return fail(ErrorCode::invalid_argument, "a uuid has hexadecimal digits");
    auto& byte = uuid.bytes[digits / 2];
    byte = static_cast<std::uint8_t>((byte << 4) | value);
    ++digits;
  }
  return uuid;
}

void write(Writer& writer, const Uuid& uuid) { writer.raw(uuid.raw()); }

Uuid read_uuid(Reader& reader) {
  Uuid uuid;
  std::string_view bytes = reader.raw(16);
  for (std::size_t i = 0; i < bytes.size(); ++i) uuid.bytes[i] = static_cast<std::uint8_t>(bytes[i]);
  return uuid;
}

}  // namespace ringfs
