// The log of one replica: what appends, commits, applies, installs and resets do to it (Raft paper, section 5.3).
#include "dht/core/raft/replica/replicated_log.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

ReplicatedLog::ReplicatedLog(const PersistedGroup& persisted, bool holds_members_table, GroupServices& services)
    : partition_(persisted.partition),
      holds_members_table_(holds_members_table),
      services_(services),
      log_(persisted.base_index, persisted.base_term, persisted.log),
      clock_(persisted.last_stamp, services.now()),
      stable_(log_.last_index()),
      commit_(persisted.applied),
      applied_(persisted.applied),
      applying_through_(persisted.applied),
      members_touched_(holds_members_table && persisted.holds_data) {
  check();
  configurations_.push_back({persisted.configuration_index, persisted.configuration});
  for (const Entry& entry : persisted.configuration_entries) {
    if (entry.index <= applied_) continue;
    Result<Configuration> configuration = decode_configuration(entry.head.view());
    RINGFS_CHECK(configuration.has_value());  // it was checked before it was written
    configurations_.push_back({entry.index, *configuration});
  }
  for (LogIndex index = applied_ + 1; index <= log_.last_index(); ++index) {
    add_unapplied(log_.entry_bytes(index));
    if (holds_members_table_) members_touches_.insert(index);  // their bodies are not at hand: assume the worst
  }
  note_size();
}

ReplicatedLog::~ReplicatedLog() { services_.log_budget.remove(partition_); }

void ReplicatedLog::check() const {
  RINGFS_CHECK(log_.base_index() <= applied_ && applied_ <= applying_through_);
  RINGFS_CHECK(applying_through_ <= commit_ && commit_ <= log_.last_index());
  RINGFS_CHECK(stable_ <= log_.last_index());
}

Stamp ReplicatedLog::next_stamp() const {
  if (services_.faults.believe_own_clock) return std::max(services_.clock.stamp, clock_.last());
  return clock_.next(services_.ring_time, services_.now());
}

ConfigurationAt ReplicatedLog::committed_configuration() const {
  const ConfigurationAt& newest = configurations_.front();
  return {std::max(newest.index, applied_), newest.configuration};
}

bool ReplicatedLog::names_node(const Uuid& node) const {
  return std::any_of(configurations_.begin(), configurations_.end(), [&](const ConfigurationAt& one) {
    const Configuration& known = one.configuration;
    return has_node(known.voters, node) || has_node(known.old_voters, node) || has_node(known.learners, node);
  });
}

bool ReplicatedLog::append(Entry entry, bool may_touch_members) {
  std::optional<Configuration> configuration;
  if (entry.kind == EntryKind::configuration) {
    Result<Configuration> decoded = decode_configuration(entry.head.view());
    if (!decoded || decoded->voters.empty()) return false;
    configuration = *decoded;
  }
  RINGFS_CHECK(entry.term >= log_.last_term());
  clock_.entered(entry.stamp, services_.now());
  services_.appended_at = services_.now();
  add_unapplied(entry.bytes());
  if (holds_members_table_ && may_touch_members) members_touches_.insert(entry.index);
  services_.out.group_write(partition_).append.push_back(entry);
  const LogIndex index = entry.index;
  log_.append(std::move(entry));
  note_write();
  if (configuration) configurations_.push_back({index, std::move(*configuration)});
  return true;
}

bool ReplicatedLog::truncate_from(LogIndex from) {
  RINGFS_CHECK(from > commit_);  // committed entries never change
  GroupWrite& write = services_.out.group_write(partition_);
  bool already_gone = !write.append.empty() && write.append.front().index < from;
  while (!write.append.empty() && write.append.back().index >= from) write.append.pop_back();
  if (!already_gone && log_.last_index() >= from) {
    write.truncate_from = write.truncate_from ? std::min(*write.truncate_from, from) : from;
  }
  for (LogIndex index = from; index <= log_.last_index(); ++index) drop_unapplied(log_.entry_bytes(index));
  log_.truncate_from(from);
  members_touches_.erase(members_touches_.lower_bound(from), members_touches_.end());
  stable_ = std::min(stable_, from - 1);
  for (PendingWrite& pending : pending_writes_) pending.last = std::min(pending.last, from - 1);
  note_write();
  check();
  bool changed = false;
  while (configurations_.size() > 1 && configurations_.back().index >= from) {
    configurations_.pop_back();
    changed = true;
  }
  return changed;
}

void ReplicatedLog::compact_through(LogIndex through) {
  log_.compact_through(through);
  services_.out.group_write(partition_).compact_through = through;
  check();
  note_size();
}

void ReplicatedLog::evict(LogIndex through, std::size_t keep_bytes) {
  log_.evict(std::min(through, stable_), keep_bytes);
}

// The log's end as of now becomes durable with the write that is being collected.
void ReplicatedLog::note_write() {
  EffectId id = services_.out.write_id();
  if (pending_writes_.empty() || pending_writes_.back().id != id) {
    RINGFS_CHECK(pending_writes_.empty() || pending_writes_.back().id < id);
    pending_writes_.push_back({id, 0});
  }
  pending_writes_.back().last = log_.last_index();
}

void ReplicatedLog::written(EffectId write) {
  RINGFS_CHECK(write >= written_);  // writes become durable in order
  written_ = write;
  while (!pending_writes_.empty() && pending_writes_.front().id <= write) {
    stable_ = std::max(stable_, pending_writes_.front().last);
    pending_writes_.pop_front();
  }
  if (members_install_ != 0 && members_install_ <= write) {
    members_install_ = 0;
    members_touched_ = true;
  }
  check();
}

void ReplicatedLog::advance_commit(LogIndex index) {
  index = std::min(index, log_.last_index());
  if (index <= commit_) return;
  commit_ = index;
  check();
  services_.mark(partition_);
}

void ReplicatedLog::hand_out_apply() {
  if (applying() || commit_ <= applied_) return;
  LogIndex through = applied_;
  std::size_t bytes = 0;
  while (through < commit_ && through - applied_ < ApplyLimits::entries) {
    std::size_t next = log_.entry_bytes(through + 1);
    if (through > applied_ && bytes + next > ApplyLimits::bytes) break;
    bytes += next;
    ++through;
  }
  applying_through_ = through;
  check();
  services_.out.apply(partition_, through);
}

void ReplicatedLog::applied(LogIndex through) {
  RINGFS_CHECK(through == applying_through_ && through > applied_);  // the apply that is outstanding
  for (LogIndex index = applied_ + 1; index <= through; ++index) drop_unapplied(log_.entry_bytes(index));
  applied_ = through;
  auto touched = members_touches_.upper_bound(applied_);
  if (touched != members_touches_.begin()) {
    members_touches_.erase(members_touches_.begin(), touched);
    members_touched_ = true;
  }
  check();
}

LogIndex ReplicatedLog::take_back_apply() { return std::exchange(applying_through_, applied_); }

std::optional<Configuration> ReplicatedLog::drop_superseded_configuration() {
  if (configurations_.size() < 2 || configurations_[1].index > applied_) return std::nullopt;
  Configuration old = std::move(configurations_.front().configuration);
  configurations_.erase(configurations_.begin());
  return old;
}

void ReplicatedLog::install(const InstallSnapshot& snapshot) {
  RINGFS_CHECK(!applying());
  log_.reset(snapshot.last_index, snapshot.last_term);
  clock_.entered(snapshot.last_stamp, services_.now());
  commit_ = applied_ = applying_through_ = snapshot.last_index;
  drop_unapplied(unapplied_bytes_);
  note_size();
  members_touches_.clear();
  pending_writes_.clear();
  stable_ = snapshot.last_index;  // no later than whatever depends on it: writes keep their order
  configurations_.clear();
  configurations_.push_back({snapshot.configuration_index, snapshot.configuration});
  if (holds_members_table_) members_install_ = services_.out.write_id();
  check();
}

void ReplicatedLog::reset(ConfigurationAt where_to_ask) {
  RINGFS_CHECK(!applying());
  log_ = Log();
  clock_ = LogClock();
  stable_ = commit_ = applied_ = applying_through_ = 0;
  drop_unapplied(unapplied_bytes_);
  note_size();
  pending_writes_.clear();
  members_touches_.clear();
  members_touched_ = false;
  members_install_ = 0;
  configurations_.clear();
  configurations_.push_back(std::move(where_to_ask));
  check();
}

void ReplicatedLog::add_unapplied(std::size_t bytes) {
  unapplied_bytes_ += bytes;
  services_.unapplied_bytes += bytes;
}

void ReplicatedLog::drop_unapplied(std::size_t bytes) {
  unapplied_bytes_ -= bytes;
  services_.unapplied_bytes -= bytes;
}

}  // namespace ringfs::dht
