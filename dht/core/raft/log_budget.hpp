// How much of their logs all groups of a node keep together of what they have applied, and which of them is compacted
// next.
//
// Each group compacts its own log (compaction.hpp), but a node has as many logs as partitions, and one that gets no
// more writes would keep its last megabytes for ever: contents of files that are long overwritten or removed. So beyond
// the budget the largest log is halved, whichever group's it is, until the sum fits again. A log that followers still
// need is passed over for a while, until all of them together exceed the budget twice.
//
// Threads: none. Cost: O(log groups) a call. Limits: a group keeps least_bytes(), so that a follower that lags for a
// moment goes on by the log; the sum of those is at most a quarter of the budget. Entries that are not applied are
// bounded by NodeLimits::unapplied_bytes and do not count here.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "dht/base/position.hpp"
#include "dht/base/time.hpp"

namespace ringfs::dht {

// A megabyte for each of 256 groups, and the time that a node may be away under full load without needing snapshots:
// some seconds.
inline constexpr std::size_t max_node_log_bytes = 256 << 20;
inline constexpr std::size_t max_least_log_bytes = 256 << 10;  // of one group
// A part of the budget is enough for a node that takes in nothing for a while, whose followers have all or need a
// snapshot anyway; and on a disk that is nearly full the contents of removed files must not stay in logs: 16 MiB are
// some seconds.
inline constexpr std::size_t quiet_log_share = 4;
inline constexpr std::size_t short_log_share = 16;
inline constexpr Duration quiet_log_after = std::chrono::seconds(60);

class LogBudget {
 public:
  struct Compaction {
    PartitionId partition{};
    std::size_t keep_bytes = 0;   // less than it has
    bool even_if_needed = false;  // by followers: the budget is exceeded twice
  };

  explicit LogBudget(std::size_t budget_bytes = max_node_log_bytes) : budget_(budget_bytes) {}

  // The applied entries that a group keeps. It is no longer passed over.
  void set(PartitionId partition, std::size_t bytes);
  void remove(PartitionId partition);
  // Its followers need too much of it: not again before set() or retry().
  void pass_over(PartitionId partition);
  void retry() { others_.merge(passed_over_); }
  void set_share(std::size_t share) { share_ = share; }  // of the budget only 1 / share counts

  std::optional<Compaction> next() const;
  std::size_t bytes() const { return sum_; }
  std::size_t least_bytes() const;

 private:
  using Size = std::pair<std::size_t, PartitionId>;

  std::size_t budget() const { return budget_ / share_; }

  std::size_t budget_;
  std::size_t share_ = 1;
  std::size_t sum_ = 0;
  std::map<PartitionId, std::size_t> groups_;
  std::set<Size> others_;  // each group is in one of the two
  std::set<Size> passed_over_;
};

}  // namespace ringfs::dht
