// Rows in memory, with their hash and their damage.
#include "tests/sim/machines/sim_rows.hpp"

#include <algorithm>

#include "dht/base/hash.hpp"

namespace ringfs::sim {

std::uint64_t SimRows::hash_of(const RowAddress& row, const Stored& stored) {
  std::uint64_t hash = checksum(row.key, stored.version);
  hash = checksum(row.sort, hash ^ row.key.size());
  return checksum(stored.value.view(), hash ^ row.sort.size());
}

void SimRows::rot(const RowAddress& row, bool served) {
  if (rows_.contains(row)) rotten_.insert(row);
  served_ = served;
}

bool SimRows::met(const RowAddress& row) {
  if (rotten_.empty() || !rotten_.contains(row)) return false;
  noticed_ = noticed_ || !served_;
  return true;
}

void SimRows::remove(std::map<RowAddress, Stored>::iterator position) {
  if (!rotten_.empty() && met(position->first)) rotten_.erase(position->first);
  hash_ -= hash_of(position->first, position->second);
  rows_.erase(position);
}

std::optional<Row> SimRows::get(const RowAddress& row) {
  auto found = rows_.find(row);
  if (found == rows_.end() || met(row)) return std::nullopt;
  return Row{row.sort, found->second.version, found->second.value};
}

std::optional<std::uint64_t> SimRows::version(const RowAddress& row) {
  auto found = rows_.find(row);
  if (found == rows_.end() || met(row)) return std::nullopt;
  return found->second.version;
}

void SimRows::scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
                   const std::function<bool(Row&&)>& visit) {
  auto position = after.empty() ? rows_.lower_bound({key, prefix}) : rows_.upper_bound({key, std::max(after, prefix)});
  // `after` below the prefix: a row that equals the prefix itself is still wanted.
  if (!after.empty() && after < prefix) position = rows_.lower_bound({key, prefix});
  for (; position != rows_.end() && position->first.key == key && position->first.sort.starts_with(prefix);
       ++position) {
    if (met(position->first)) continue;
    if (!visit(Row{position->first.sort, position->second.version, values ? position->second.value : SharedBytes()}))
      return;
  }
}

void SimRows::put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) {
  if (met(row)) rotten_.erase(row);
  auto [position, inserted] = rows_.try_emplace(row);
  if (!inserted) hash_ -= hash_of(row, position->second);
  position->second = {version, value};
  hash_ += hash_of(row, position->second);
}

void SimRows::erase(const RowAddress& row) {
  if (auto found = rows_.find(row); found != rows_.end()) remove(found);
}

void SimRows::erase_prefix(const std::string& key, const std::string& prefix) {
  auto position = rows_.lower_bound({key, prefix});
  while (position != rows_.end() && position->first.key == key && position->first.sort.starts_with(prefix)) {
    remove(position++);
  }
}

void SimRows::overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) {
  auto found = rows_.find(row);
  if (met(row)) return;  // noticed: the caller takes everything back
  RINGFS_CHECK(found != rows_.end() && offset + bytes.size() <= found->second.value.size());
  const SharedBytes before = found->second.value;
  std::string patched = before.str();
  patched.replace(offset, bytes.size(), bytes);
  const SharedBytes after(std::move(patched));
  if (before.size() >= payload_threshold) patches_.push_back({before, after});
  put(row, after, version);
}

void SimRows::clear() {
  rows_.clear();
  rotten_.clear();
  noticed_ = false;
  hash_ = 0;
}

}  // namespace ringfs::sim
