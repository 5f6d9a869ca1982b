// Cutting the log (docs/design.md#log-compaction). Only below the applied index; the cut is a write, behind which the
// applies before it are durable.
#include <algorithm>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

// Entries up to here are needed by no follower of this leader that answered within `timeout`.
LogIndex Group::needed_from(Duration timeout) const {
  LogIndex needed = applied_;
  for (const auto& [replica, progress] : progress_) {
    if (progress.snapshot && progress.snapshot->last_index != 0)
      needed = std::min(needed, progress.snapshot->last_index);
    else if (progress.short_since && *progress.short_since + timeout <= now())
      continue;  // its disk is full: as if it were dead
    else if (!progress.absent && progress.acknowledged_sent_at + timeout > now())
      needed = std::min(needed, progress.match);
  }
  return needed;
}

// Cuts as far as `keep`, but beyond `needed` only as far as `tail`. `left`: what remains.
LogIndex Group::compaction_point(const LogSize& keep, LogIndex needed, const LogSize& tail, LogSize& left) const {
  LogIndex cut = log_.base_index();
  left = applied_log();
  while (cut < applied_ && left.exceeds(keep)) {
    if (cut >= needed && !left.exceeds(tail)) break;
    ++cut;
    --left.entries;
    left.bytes -= log_.entry_bytes(cut);
  }
  return cut;
}

void Group::compact_log(LogIndex through) {
  log_.compact_through(through);
  services_.out.group_write(partition_).compact_through = through;
}

// Cuts to half the limit when the applied part of the log exceeds it. A leader keeps what slow followers that answer
// still need, up to the limits of the tail.
void Group::maybe_compact() {
  LogSize limit{log_limit_entries, log_limit_bytes};
  LogSize tail{log_tail_entries, log_tail_bytes};
  if (services_.log_keep_entries != 0) limit.entries = tail.entries = 2 * services_.log_keep_entries;
  LogSize left = applied_log();
  LogIndex cut = log_.base_index();
  if (left.exceeds(limit)) {
    cut = compaction_point({limit.entries / 2, limit.bytes / 2}, needed_from(answer_timeout()), tail, left);
  }
  if (cut > log_.base_index()) {
    compact_log(cut);
    event("log_cut", "through=" + std::to_string(cut));
  }
  note_log_size();
}

void Group::compact_for_budget(const LogBudget::Cut& wanted) {
  constexpr LogSize unlimited{SIZE_MAX, SIZE_MAX};
  const LogSize before = applied_log();
  const LogIndex needed = wanted.even_if_needed ? applied_ : needed_from(log_timeout);
  LogSize left;
  LogIndex cut = compaction_point({unlimited.entries, wanted.keep_bytes}, needed, unlimited, left);
  // A little is not worth a write of its own.
  if (2 * (before.bytes - left.bytes) < before.bytes - wanted.keep_bytes) {
    services_.log_budget.pass_over(partition_);
    return;
  }
  compact_log(cut);
  note_log_size();
  event(cut > needed_from(log_timeout) ? "log_tail_cut" : "log_cut_for_budget", "through=" + std::to_string(cut));
}

}  // namespace ringfs::dht
