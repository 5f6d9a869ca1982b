// Rows in a std::map.
#include "tests/support/memory_rows.hpp"

#include "dht/base/hash.hpp"

namespace ringfs {

std::optional<Row> MemoryRows::get(const RowAddress& row) {
  auto place = rows_.find(row);
  if (place == rows_.end()) return std::nullopt;
  return Row{row.sort, place->second.version, place->second.value};
}

std::optional<std::uint64_t> MemoryRows::version(const RowAddress& row) {
  auto place = rows_.find(row);
  if (place == rows_.end()) return std::nullopt;
  return place->second.version;
}

void MemoryRows::scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
                      const std::function<bool(Row&&)>& visit) {
  auto place = after < prefix || after.empty() ? rows_.lower_bound({key, prefix}) : rows_.upper_bound({key, after});
  for (; place != rows_.end() && place->first.key == key && place->first.sort.starts_with(prefix); ++place) {
    if (!visit(Row{place->first.sort, place->second.version, values ? place->second.value : SharedBytes()})) return;
  }
}

void MemoryRows::put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) {
  rows_[row] = Stored{version, value};
}

void MemoryRows::erase(const RowAddress& row) { rows_.erase(row); }

void MemoryRows::erase_prefix(const std::string& key, const std::string& prefix) {
  auto first = rows_.lower_bound({key, prefix});
  auto last = first;
  while (last != rows_.end() && last->first.key == key && last->first.sort.starts_with(prefix)) ++last;
  rows_.erase(first, last);
}

void MemoryRows::overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) {
  auto place = rows_.find(row);
  RINGFS_CHECK(place != rows_.end() && place->second.value.size() >= offset + bytes.size());
  std::string changed = place->second.value.str();
  changed.replace(offset, bytes.size(), bytes);
  place->second = Stored{version, SharedBytes(std::move(changed))};
}

std::uint64_t MemoryRows::state_hash() const {
  std::uint64_t hash = 0;
  for (const auto& [row, stored] : rows_) {
    Writer writer;
    writer.string(row.key);
    writer.string(row.sort);
    writer.u64(stored.version);
    hash = checksum(stored.value.view(), checksum(writer.bytes(), hash));
  }
  return hash;
}

}  // namespace ringfs
