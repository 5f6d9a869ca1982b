// The sum that each page of a database of format 6 carries in its last bytes, which SQLite leaves to whoever reserves
// them.
//
// It covers the page's other bytes and its number: a flipped bit is noticed, and so is a page that was written to, or
// read from, another page's place, in leaves, interior pages, overflow, free-list trunks and the schema alike. Why in
// the file layer: SQLite believes what the structure of a page says, and a flipped bit of a key makes a row that is
// there look absent. What a sum cannot tell is a write that never reached the disk: the old page is whole
// (row_digest.hpp). Pages that are all zeros were never written: see database_files.hpp for who may read them. Threads:
// plain functions. Limits: SQLite's page sizes. Source: sqlite.org/fileformat2.html, section 1.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ringfs::nodes {

inline constexpr std::size_t page_sum_bytes = 8;
inline constexpr std::uint32_t most_page_bytes = 65536;
inline constexpr int summed_format = 6;  // user_version of databases whose pages carry sums

// What the first page says about all of them.
struct PageLayout {
  std::uint32_t page_bytes = 0;
  bool summed = false;  // pages carry sums; also when only one of the two places that say so does, for the other one is
                        // damaged then
  bool operator==(const PageLayout&) const = default;
};
inline constexpr std::size_t database_header_bytes = 100;
// None: these bytes are not the header of an SQLite database.
std::optional<PageLayout> page_layout(std::string_view header);

// `page` is a whole page, sum included; `number` counts from 1.
std::uint64_t page_sum(std::string_view page, std::uint64_t number);
void put_page_sum(char* page, std::size_t page_bytes, std::uint64_t number);
bool page_sum_holds(std::string_view page, std::uint64_t number);
bool all_zeros(std::string_view bytes);

}  // namespace ringfs::nodes
