// The encoding of integers, strings and hexadecimal text.
#include "dht/base/bytes.hpp"

#include <boost/algorithm/hex.hpp>
#include <iterator>

#include "dht/base/error.hpp"

namespace ringfs {

void Writer::string(std::string_view bytes) {
  RINGFS_CHECK(bytes.size() <= UINT32_MAX);
  u32(static_cast<std::uint32_t>(bytes.size()));
  raw(bytes);
}

void Writer::big_endian(std::uint64_t value, int size) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>((value >> shift) & 0xff));
}

std::string_view Reader::raw(std::size_t size) {
  if (rest_.size() < size) {
    fail();
    return {};
  }
  std::string_view result = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return result;
}

std::string_view Reader::string() {
  std::size_t size = u32();
  return raw(size);
}

std::size_t Reader::count(std::size_t smallest_size) {
  std::size_t value = u32();
  if (smallest_size != 0 && value > rest_.size() / smallest_size) {
    fail();
    return 0;
  }
  return value;
}

std::uint64_t Reader::big_endian(int size) {
  std::string_view bytes = raw(static_cast<std::size_t>(size));
  std::uint64_t value = 0;
  for (char byte : bytes) value = (value << 8) | static_cast<unsigned char>(byte);
  return value;
}

std::string to_hex(std::string_view bytes) {
  std::string result;
  result.reserve(2 * bytes.size());
  boost::algorithm::hex_lower(bytes.begin(), bytes.end(), std::back_inserter(result));
  return result;
}

}  // namespace ringfs
