// The transactions of the partition that is being walked, and what they add behind the walker.
#include "nodes/store/rows/row_watch.hpp"

namespace ringfs::nodes {

void RowWatch::forget() {
  transactions_.clear();
  noted_ = 0;
  announced_ = false;
}

void RowWatch::begin(PartitionId partition) {
  std::lock_guard guard(mutex_);
  forget();
  partition_ = partition;
  unknown_ = false;
}

void RowWatch::end() {
  std::lock_guard guard(mutex_);
  forget();
  partition_.reset();
}

void RowWatch::announce(const std::map<PartitionId, HotChanges>& transaction) {
  std::lock_guard guard(mutex_);
  if (!partition_ || unknown_) return;
  const auto found = transaction.find(*partition_);
  if (found == transaction.end()) return;
  const HotChanges& changes = found->second;
  noted_ += changes.rows.size();
  if (changes.all || noted_ > max_noted) {
    forget();
    unknown_ = true;
    return;
  }
  Transaction noted{changes.before, changes.applied, {}};
  noted.changes.reserve(changes.rows.size());
  for (const HotChange& change : changes.rows) noted.changes.push_back({change.row, change.prefix, change.digest});
  transactions_.push_back(std::move(noted));
  announced_ = true;
}

void RowWatch::committed() {
  std::lock_guard guard(mutex_);
  announced_ = false;
}

void RowWatch::rolled_back() {
  std::lock_guard guard(mutex_);
  if (!std::exchange(announced_, false) || transactions_.empty()) return;
  noted_ -= transactions_.back().changes.size();
  transactions_.pop_back();
}

std::optional<RowDigest> RowWatch::added(const Transaction& transaction, const RowAddress& walked) {
  RowDigest sum = 0;
  for (const Change& change : transaction.changes) {
    if (walked < change.row || change.added == 0) continue;
    // Some rows with this prefix have been passed and some have not; how much each of them adds is not known.
    if (change.prefix && walked.key == change.row.key && walked.sort.starts_with(change.row.sort)) return std::nullopt;
    sum += change.added;
  }
  return sum;
}

std::optional<RowDigest> RowWatch::added(dht::LogIndex from, dht::LogIndex to, const RowAddress& walked) {
  std::lock_guard guard(mutex_);
  if (unknown_) return std::nullopt;
  RowDigest sum = 0;
  dht::LogIndex reached = from;
  while (!transactions_.empty() && transactions_.front().applied <= to) {
    const Transaction& transaction = transactions_.front();
    if (transaction.applied > from) {
      const std::optional<RowDigest> more = transaction.before == reached ? added(transaction, walked) : std::nullopt;
      if (!more) {
        unknown_ = true;
        return std::nullopt;
      }
      sum += *more;
      reached = transaction.applied;
    }
    noted_ -= transaction.changes.size();
    transactions_.pop_front();
  }
  if (reached == to) return sum;
  unknown_ = true;
  return std::nullopt;
}

}  // namespace ringfs::nodes
