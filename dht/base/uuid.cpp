// Identities as text (Boost.UUID) and as bytes.
#include "dht/base/uuid.hpp"

#include <algorithm>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <stdexcept>

namespace ringfs {

std::string Uuid::text() const {
  boost::uuids::uuid uuid;
  std::copy(bytes.begin(), bytes.end(), uuid.begin());
  return boost::uuids::to_string(uuid);
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

Result<Uuid> parse_uuid(std::string_view text) {
  constexpr std::size_t text_bytes = 36;  // Boost also takes it without dashes, or in braces
  if (text.size() != text_bytes) return fail(ErrorCode::invalid_argument, "a uuid has 36 characters");
  try {
    const boost::uuids::uuid parsed = boost::uuids::string_generator()(text.begin(), text.end());
    Uuid uuid;
    std::copy(parsed.begin(), parsed.end(), uuid.bytes.begin());
    return uuid;
  } catch (const std::runtime_error&) {
    return fail(ErrorCode::invalid_argument, "a uuid is written 8-4-4-4-12, in hexadecimal digits");
  }
}

void write(Writer& writer, const Uuid& uuid) { writer.raw(uuid.raw()); }

Uuid read_uuid(Reader& reader) {
  Uuid uuid;
  std::string_view bytes = reader.raw(uuid.bytes.size());
  std::copy(bytes.begin(), bytes.end(), uuid.bytes.begin());
  return uuid;
}

}  // namespace ringfs
