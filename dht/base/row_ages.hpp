// How long rows of one partition have been as they are, by the time of the partition's own log.
//
// A row's version is the index of the log entry that wrote it, and an entry's stamp is the log's time when it was
// written. So a mark, the index and the stamp of some entry, says of every row whose version is not above the index
// that nobody has changed it since that stamp. No clock of a node or mount takes part. A change of a row makes its age
// zero again (fs/claims.hpp makes the marks).
//
// Units: the log's time, which runs at nine to eleven tenths of a leader's boot clock (dht/core/raft/log_clock.hpp).
// Threads: a plain value. Limits: max_marks; with more, neighbours are merged, so that a row counts as a little younger
// than it is, never as older.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dht/base/time.hpp"

namespace ringfs {

struct LogMark {
  std::uint64_t version = 0;  // the index of an entry
  Stamp stamp;                // of that entry
  friend bool operator==(const LogMark&, const LogMark&) = default;
};

inline constexpr std::size_t max_marks = 40;
inline constexpr std::size_t mark_bytes = 16;  // an index and a stamp
// The sort key of the row in which a partition's marks are kept, in the object of its anchor (fs/names/keys.hpp). It is
// named here because full disks must take it (dht/core/rows/room_need.cpp): without ages nothing is removed.
inline constexpr std::string_view marks_sort = "T/";
inline constexpr std::size_t max_marks_bytes = 4 + max_marks * mark_bytes;
inline constexpr Duration mark_spacing = std::chrono::milliseconds(5500);  // closer marks say nothing that matters
inline constexpr Duration longest_age = std::chrono::seconds(200);         // more is never asked for

class RowAges {
 public:
  RowAges() = default;  // nothing is known to have any age
  RowAges(std::vector<LogMark> marks, Stamp now) : marks_(std::move(marks)), now_(now) {}

  // A lower bound of the time for which a row with this version is unchanged. Zero: nothing is known.
  Duration at_least(std::uint64_t version) const {
    for (const LogMark& mark : marks_) {
      if (mark.version >= version) return std::max(Duration::zero(), now_ - mark.stamp);
    }
    return Duration::zero();
  }
  const std::vector<LogMark>& marks() const { return marks_; }
  Stamp now() const { return now_; }

 private:
  std::vector<LogMark> marks_;  // ascending in both
  Stamp now_;
};

// What is worth keeping of `marks` at `now`, one of them or later: one that is longest_age old, and younger ones
// mark_spacing apart.
inline std::vector<LogMark> worth_keeping(const std::vector<LogMark>& marks, Stamp now) {
  std::vector<LogMark> kept;
  for (const LogMark& mark : marks) {
    while (!kept.empty() && now - mark.stamp >= longest_age) kept.pop_back();
    if (kept.empty() || mark.stamp - kept.back().stamp >= mark_spacing) kept.push_back(mark);
  }
  if (kept.size() > max_marks) kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(max_marks));
  return kept;
}

}  // namespace ringfs
