// The log of one replica, how far it is durable, committed and applied, and the configurations in it.
//
//   base_index <= applied <= applying_through <= commit <= last_index      stable <= last_index
//
// Every change of the log goes through here. It changes what is in memory at once and is put into the write that is
// being collected (Outbox), in order; `stable` follows when that write is durable. check() asserts the line above: it
// is called wherever one of these numbers changes, in release, too.
//
// Threads: none. Errors: a broken order, a committed entry that would change, or a wrong answer of the driver aborts.
// Limits: LogLimits (compaction.hpp), ApplyLimits, CacheLimits.
#pragma once

#include <deque>
#include <set>
#include <vector>

#include "dht/core/protocol/persisted_state.hpp"
#include "dht/core/raft/group_services.hpp"
#include "dht/core/raft/log.hpp"
#include "dht/core/raft/log_clock.hpp"

namespace ringfs::dht {

// Of one Apply. One is outstanding for a group.
struct ApplyLimits {
  static constexpr std::size_t entries = 256;
  static constexpr std::size_t bytes = 4 << 20;
};

// Bodies of entries kept in memory, in bytes.
struct CacheLimits {
  static constexpr std::size_t leader = 2 << 20;  // for followers that lag a little
  static constexpr std::size_t follower = 256 << 10;
};

struct ConfigurationAt {
  LogIndex index = 0;  // of its entry
  Configuration configuration;
};

struct LogSize {
  std::size_t entries = 0;
  std::size_t bytes = 0;
  bool exceeds(const LogSize& limit) const { return entries > limit.entries || bytes > limit.bytes; }
};

class ReplicatedLog {
 public:
  ReplicatedLog(const PersistedGroup& persisted, bool holds_members_table, GroupServices& services);
  ReplicatedLog(const ReplicatedLog&) = delete;
  ReplicatedLog& operator=(const ReplicatedLog&) = delete;
  ~ReplicatedLog();

  PartitionId partition() const { return partition_; }
  bool holds_members_table() const { return holds_members_table_; }
  const Log& entries() const { return log_; }
  LogIndex base_index() const { return log_.base_index(); }
  LogIndex last_index() const { return log_.last_index(); }
  LogIndex stable() const { return stable_; }  // entries up to here are durable on this node
  LogIndex commit() const { return commit_; }
  LogIndex applied() const { return applied_; }
  bool applying() const { return applying_through_ > applied_; }  // an apply is outstanding
  std::size_t unapplied_bytes() const { return unapplied_bytes_; }
  LogSize applied_size() const { return {applied_ - log_.base_index(), log_.bytes() - unapplied_bytes_}; }
  Stamp next_stamp() const;  // what an entry would be stamped with now

  // The newest one: it counts from when it is in the log (dissertation, section 4.1).
  const Configuration& configuration() const { return configurations_.back().configuration; }
  // The newest applied one, then those above it in the log.
  const std::vector<ConfigurationAt>& configurations() const { return configurations_; }
  // What is known to be committed here: the configuration in force, and through which index it is. (A stub keeps both.)
  ConfigurationAt committed_configuration() const;
  bool names_node(const Uuid& node) const;  // in any configuration that may count

  // `entry` is a configuration that does not decode: false, and nothing happened.
  bool append(Entry entry, bool may_touch_members);
  // This entry and all after it go. True: configurations were among them.
  bool truncate_from(LogIndex from);
  void compact_through(LogIndex through);
  // Bodies up to `through` that are durable, while more than keep_bytes are in memory. LoadEntries finds them on disk.
  void evict(LogIndex through, std::size_t keep_bytes);

  void written(EffectId write);         // the driver's answer
  void advance_commit(LogIndex index);  // as far as the log reaches, and never back
  void hand_out_apply();                // of what is committed, if none is outstanding
  void applied(LogIndex through);       // the driver's answer
  // The outstanding apply failed, or its answer will be ignored. Returns its last index.
  LogIndex take_back_apply();
  // The oldest configuration, if the next one is applied: that one takes its place.
  std::optional<Configuration> drop_superseded_configuration();

  // Everything is replaced: by a snapshot, or by nothing.
  void install(const InstallSnapshot& snapshot);
  void reset(ConfigurationAt where_to_ask);

  // Tells the node's budget how much of the log is applied.
  void note_size() { services_.log_budget.set(partition_, applied_size().bytes); }
  // True once after the rows of the members table may have changed here.
  bool take_members_touched() { return std::exchange(members_touched_, false); }

  void check() const;

 private:
  struct PendingWrite {
    EffectId id = 0;
    LogIndex last = 0;
  };

  void note_write();
  void add_unapplied(std::size_t bytes);
  void drop_unapplied(std::size_t bytes);

  // Constant after construction.
  const PartitionId partition_;
  const bool holds_members_table_;
  GroupServices& services_;

  Log log_;
  LogClock clock_;
  std::vector<ConfigurationAt> configurations_;
  LogIndex stable_ = 0;
  std::deque<PendingWrite> pending_writes_;  // not durable yet; ids rise
  EffectId written_ = 0;                     // the newest write that is durable
  LogIndex commit_ = 0;
  LogIndex applied_ = 0;
  LogIndex applying_through_ = 0;  // handed out
  std::size_t unapplied_bytes_ = 0;

  std::set<LogIndex> members_touches_;  // entries above applied_ that may change the members table
  bool members_touched_ = false;
  EffectId members_install_ = 0;  // a snapshot's install that is not durable yet
};

}  // namespace ringfs::dht
