// Which fields of the first page are left out of its copy, and when it is whole.
#include "nodes/store/files/first_page.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "nodes/store/files/failure.hpp"
#include "nodes/store/files/page_sums.hpp"
#include "nodes/store/files/whole_file.hpp"

namespace ringfs::nodes {

namespace {

// Fields that change with transactions (sqlite.org/fileformat2.html, section 1.3): the change counter, the size in
// pages, the first trunk and the length of the free list; the counter for which the size is valid, and the version that
// wrote it.
struct Field {
  std::size_t place = 0, bytes = 0;
};
constexpr Field changing[] = {{24, 16}, {92, 8}};

std::string first_bytes(const std::filesystem::path& file, std::size_t most) {
  std::ifstream stream(file, std::ios::binary);
  std::string bytes(most, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(stream.gcount()));
  return bytes;
}

// None: this is not the first page of a database with sums, or it is damaged.
std::optional<std::string> whole_page(const std::filesystem::path& file) {
  std::string page = first_bytes(file, most_page_bytes);
  const std::optional<PageLayout> layout = page_layout(page);
  if (!layout || !layout->summed || page.size() < layout->page_bytes) return std::nullopt;
  page.resize(layout->page_bytes);
  if (!page_sum_holds(page, 1)) return std::nullopt;
  return page;
}

}  // namespace

std::filesystem::path first_page_of(const std::filesystem::path& database) { return database.string() + "-first"; }

std::optional<std::string> read_first_page(const std::filesystem::path& database) {
  return whole_page(first_page_of(database));
}

bool first_page_holds(const std::filesystem::path& database) { return whole_page(database).has_value(); }

void keep_first_page(const std::filesystem::path& database) {
  std::optional<std::string> page = whole_page(database);
  if (!page) return;
  for (const Field& field : changing)
    std::fill_n(page->begin() + static_cast<std::ptrdiff_t>(field.place), field.bytes, '\0');
  put_page_sum(page->data(), page->size(), 1);
  if (read_first_page(database) == page) return;
  write_whole_file(first_page_of(database), *page);
}

void forget_first_page(const std::filesystem::path& database) {
  const std::filesystem::path file = first_page_of(database);
  if (unlink(file.c_str()) != 0 && errno != ENOENT) file_failed(file, errno);
}

}  // namespace ringfs::nodes
