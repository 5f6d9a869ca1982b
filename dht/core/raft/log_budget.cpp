// Which group's log is compacted next for the budget of the node.
#include "dht/core/raft/log_budget.hpp"

#include <algorithm>

namespace ringfs::dht {

void LogBudget::set(PartitionId partition, std::size_t bytes) {
  remove(partition);
  groups_[partition] = bytes;
  others_.insert({bytes, partition});
  sum_ += bytes;
}

void LogBudget::remove(PartitionId partition) {
  auto known = groups_.find(partition);
  if (known == groups_.end()) return;
  Size size{known->second, partition};
  if (others_.erase(size) == 0) passed_over_.erase(size);
  sum_ -= known->second;
  groups_.erase(known);
}

void LogBudget::pass_over(PartitionId partition) {
  auto known = groups_.find(partition);
  if (known == groups_.end()) return;
  auto size = others_.extract({known->second, partition});
  if (size) passed_over_.insert(std::move(size));
}

std::size_t LogBudget::least_bytes() const {
  return std::min(max_least_log_bytes, budget() / 4 / std::max<std::size_t>(groups_.size(), 1));
}

std::optional<LogBudget::Compaction> LogBudget::next() const {
  if (sum_ <= budget()) return std::nullopt;
  bool tail_full = sum_ > 2 * budget();
  Size largest{};
  if (!others_.empty()) largest = *others_.rbegin();
  if (tail_full && !passed_over_.empty()) largest = std::max(largest, *passed_over_.rbegin());
  auto [bytes, partition] = largest;
  if (bytes <= least_bytes()) return std::nullopt;
  return Compaction{partition, std::max(least_bytes(), bytes / 2), tail_full};
}

}  // namespace ringfs::dht
