// Simulates a disk that acknowledged writes and lost them: pages of a closed database become what they were before,
// with the sums of then.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/read_file.hpp"
#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

inline constexpr std::size_t lost_page_bytes = 4096;

// False: it could not be written.
inline bool write_at(const std::filesystem::path& file, std::size_t place, std::string_view bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(place));
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return static_cast<bool>(stream.flush());
}

// The leaf pages of a table. No descriptor of the database may be open.
inline std::vector<std::size_t> leaves_of(const std::filesystem::path& database, const std::string& table) {
  std::vector<std::size_t> pages;
  Connection connection(database, SQLITE_OPEN_READWRITE);
  Statement statement(connection,
                      "SELECT pageno FROM dbstat WHERE name = '" + table + "' AND pagetype = 'leaf' ORDER BY pageno");
  Query query(statement);
  while (query.step()) pages.push_back(static_cast<std::size_t>(query.natural(0)));
  return pages;
}

inline std::string_view page_in(const std::string& database, std::size_t page) {
  return std::string_view(database).substr((page - 1) * lost_page_bytes, lost_page_bytes);
}

inline void put_page_back(const std::filesystem::path& database, const std::string& before, std::size_t page) {
  if (!write_at(database, (page - 1) * lost_page_bytes, page_in(before, page)))
    throw std::runtime_error("cannot write " + database.string());
}

// Makes changed leaves what they were before, if they had `marker` before or have it now. Returns how many.
inline unsigned lose_writes(const std::filesystem::path& database, const std::string& before, const std::string& table,
                            const std::string& marker) {
  const std::vector<std::size_t> leaves = leaves_of(database, table);
  const std::string after = read_file(database).value();
  unsigned lost = 0;
  for (std::size_t page : leaves) {
    if (page * lost_page_bytes > before.size() || page_in(before, page) == page_in(after, page)) continue;
    const bool marked = page_in(before, page).find(marker) != std::string::npos ||
                        page_in(after, page).find(marker) != std::string::npos;
    if (!marked) continue;
    put_page_back(database, before, page);
    ++lost;
  }
  return lost;
}

}  // namespace ringfs::nodes
