// The checksum in the last bytes of each page of a database of format 6. SQLite leaves these bytes to whoever reserves
// them.
//
// It covers the other bytes of the page and its number. So a flipped bit is found, and so is a page that was written
// to, or read from, the place of another one: leaves, interior pages, overflow pages, trunks of the free list, the
// schema.
//
// Why in the file layer: SQLite trusts the structure of a page, and a flipped bit of a key makes an existing row look
// absent. A checksum cannot find a write that never reached the disk, because the old page is whole
// (nodes/store/rows/row_digest.hpp does). A page of zeros was never written; sqlite_wal_vfs.cpp decides who may read
// one.
//
// Threads: plain functions. Limits: SQLite's page sizes. Source: sqlite.org/fileformat2.html, section 1.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ringfs::nodes {

inline constexpr std::size_t page_sum_bytes = 8;
inline constexpr std::uint32_t most_page_bytes = 65536;
inline constexpr int summed_format = 6;  // the user_version of databases whose pages have sums

// What the first page says about all pages.
struct PageLayout {
  std::uint32_t page_bytes = 0;
  // Pages have sums. Two places of the header say so; one of them is enough, since the other may be damaged.
  bool summed = false;
  bool operator==(const PageLayout&) const = default;
};
inline constexpr std::size_t database_header_bytes = 100;
inline constexpr char database_magic_text[] = "SQLite format 3";
inline constexpr std::string_view database_magic(database_magic_text, sizeof database_magic_text);  // with its NUL
// None: these bytes are not the header of an SQLite database.
std::optional<PageLayout> page_layout(std::string_view header);

// `page`: a whole page with its sum. `number`: counts from 1.
std::uint64_t page_sum(std::string_view page, std::uint64_t number);
void put_page_sum(char* page, std::size_t page_bytes, std::uint64_t number);
bool page_sum_holds(std::string_view page, std::uint64_t number);
bool all_zeros(std::string_view bytes);

}  // namespace ringfs::nodes
