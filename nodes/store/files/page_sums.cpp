// The layout of pages from the header of the database, and their XXH3 sums.
#include "nodes/store/files/page_sums.hpp"

#include <algorithm>
#include <bit>
#include <boost/endian/conversion.hpp>
#include <cstring>

#include "dht/base/hash.hpp"

namespace ringfs::nodes {

using boost::endian::load_big_u16;
using boost::endian::load_big_u32;
using boost::endian::load_big_u64;

namespace {

constexpr std::size_t page_size_place = 16;
constexpr std::size_t reserved_place = 20;
constexpr std::size_t user_version_place = 60;
constexpr std::uint32_t least_page_bytes = 512;

const unsigned char* place_in(std::string_view bytes, std::size_t place) {
  return reinterpret_cast<const unsigned char*>(bytes.data() + place);
}

}  // namespace

std::optional<PageLayout> page_layout(std::string_view header) {
  if (header.size() < database_header_bytes || !header.starts_with(database_magic)) return std::nullopt;
  PageLayout layout;
  layout.page_bytes = load_big_u16(place_in(header, page_size_place));
  if (layout.page_bytes == 1) layout.page_bytes = most_page_bytes;
  if (layout.page_bytes < least_page_bytes || !std::has_single_bit(layout.page_bytes)) return std::nullopt;
  layout.summed = static_cast<unsigned char>(header[reserved_place]) == page_sum_bytes ||
                  load_big_u32(place_in(header, user_version_place)) == summed_format;
  return layout;
}

std::uint64_t page_sum(std::string_view page, std::uint64_t number) {
  return checksum(page.substr(0, page.size() - page_sum_bytes), number);
}

void put_page_sum(char* page, std::size_t page_bytes, std::uint64_t number) {
  boost::endian::store_big_u64(reinterpret_cast<unsigned char*>(page + page_bytes - page_sum_bytes),
                               page_sum(std::string_view(page, page_bytes), number));
}

bool page_sum_holds(std::string_view page, std::uint64_t number) {
  return load_big_u64(place_in(page, page.size() - page_sum_bytes)) == page_sum(page, number);
}

bool all_zeros(std::string_view bytes) {
  // The first byte is zero, and each byte equals the next one.
  return bytes.empty() || (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace ringfs::nodes
