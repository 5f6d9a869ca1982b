// How far a log is compacted: when it is large, for the node's budget, and when an applied entry is damaged.
#include "dht/core/raft/compaction.hpp"

namespace ringfs::dht {

namespace {

LogIndex needed_from(const ReplicatedLog& log, const Followers* followers, Duration timeout) {
  return followers == nullptr ? log.applied() : followers->needed_from(timeout);
}

// Compacts as far as `keep`, but beyond `needed` only as far as `tail`. `left`: what remains.
LogIndex compaction_point(const ReplicatedLog& log, const LogSize& keep, LogIndex needed, const LogSize& tail,
                          LogSize& left) {
  LogIndex through = log.base_index();
  left = log.applied_size();
  while (through < log.applied() && left.exceeds(keep)) {
    if (through >= needed && !left.exceeds(tail)) break;
    ++through;
    --left.entries;
    left.bytes -= log.entries().entry_bytes(through);
  }
  return through;
}

std::string through_text(LogIndex through) { return "through=" + std::to_string(through); }

}  // namespace

void compact_when_large(ReplicaState& state, GroupServices& services, const Followers* followers) {
  LogSize limit{LogLimits::entries, LogLimits::bytes};
  LogSize tail{LogLimits::tail_entries, LogLimits::tail_bytes};
  if (services.log_keep_entries != 0) limit.entries = tail.entries = 2 * services.log_keep_entries;
  ReplicatedLog& log = state.log();
  LogSize left = log.applied_size();
  if (left.exceeds(limit)) {
    const LogIndex needed = followers == nullptr ? log.applied() : followers->needed_from(followers->answer_timeout());
    const LogIndex through = compaction_point(log, {limit.entries / 2, limit.bytes / 2}, needed, tail, left);
    if (through > log.base_index()) {
      log.compact_through(through);
      state.event("log_compacted", through_text(through));
    }
  }
  log.note_size();
}

void compact_for_budget(ReplicaState& state, GroupServices& services, const Followers* followers,
                        const LogBudget::Compaction& wanted) {
  constexpr LogSize unlimited{SIZE_MAX, SIZE_MAX};
  ReplicatedLog& log = state.log();
  const LogSize before = log.applied_size();
  const LogIndex needed = wanted.even_if_needed ? log.applied() : needed_from(log, followers, LogLimits::restart);
  LogSize left;
  const LogIndex through = compaction_point(log, {unlimited.entries, wanted.keep_bytes}, needed, unlimited, left);
  // A little is not worth a write of its own.
  if (2 * (before.bytes - left.bytes) < before.bytes - wanted.keep_bytes) {
    services.log_budget.pass_over(state.partition());
    return;
  }
  log.compact_through(through);
  const bool tail = through > needed_from(log, followers, LogLimits::restart);
  state.event(tail ? "log_tail_compacted" : "log_compacted_for_budget", through_text(through));
}

void compact_for_damage(ReplicaState& state) {
  const LogIndex applied = state.log().applied();
  state.log().compact_through(applied);
  state.event("log_compacted_for_damage", through_text(applied));
}

}  // namespace ringfs::dht
