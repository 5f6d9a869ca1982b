// One Raft group: this node's replica of one partition (docs/design.md#partitions-and-groups).
//
// Raft as published (Ongaro, "Consensus: Bridging Theory and Practice", 2014) with PreVote, CheckQuorum, leader leases,
// ReadIndex as their fall-back, leadership transfer, pipelined appends, chunked snapshots and joint configurations.
//   group.cpp              state, configurations, applying
//   election.cpp     terms, votes, time-outs, transfer of leadership
//   leader_fitness.cpp      a leader whose disk hangs or is slow hands over
//   replication.cpp  proposals, appends, commit, heartbeats
//   snapshot.cpp     snapshots to and from others
//   compaction.cpp          cutting the log
//   full_disks.cpp         disks that are full: what a leader admits and sends, who leads instead
//   read.cpp         reads and the lease
//   membership.cpp   a leader moves its group to the nodes that the placement wants
//   replica.cpp      how a replica comes into being, and how it learns that it is none any more
//   damage.cpp       what a replica whose data is damaged still does, and who follows it
//
// Inputs change the state and put votes, replies and writes into the Outbox; flush(), once a turn, sends the appends
// and hands out the applies, so that many proposals of one turn share a message. Threads: none. Errors: messages that
// do not make sense are dropped; a broken promise of the driver, or a committed entry that would change, aborts.
// Limits: below.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dht/core/members/placement.hpp"
#include "dht/core/protocol/node_options.hpp"
#include "dht/core/protocol/persisted_state.hpp"
#include "dht/core/raft/fitness.hpp"
#include "dht/core/raft/log.hpp"
#include "dht/core/raft/log_budget.hpp"
#include "dht/core/raft/log_clock.hpp"
#include "dht/core/raft/outbox.hpp"
#include "dht/core/raft/progress.hpp"
#include "dht/core/raft/quorum.hpp"
#include "dht/core/raft/snapshot_pace.hpp"
#include "dht/core/rows/row_leases.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_apply_entries = 256;  // of one Apply; one is outstanding per group
inline constexpr std::size_t max_apply_bytes = 4 << 20;
inline constexpr std::size_t leader_cache_bytes = 2 << 20;  // bodies kept for followers that lag a little
inline constexpr std::size_t follower_cache_bytes = 256 << 10;
inline constexpr std::size_t log_limit_entries = 4096;  // beyond either of these the log is cut ...
inline constexpr std::size_t log_limit_bytes = 8 << 20;
inline constexpr std::size_t log_tail_entries = 20000;  // ... but kept for a slow follower that answers, up to these
inline constexpr std::size_t log_tail_bytes = 64 << 20;
inline constexpr std::size_t max_turn_compaction_bytes =
    16 << 20;  // for the node's budget, one turn: a transaction that nobody notices
inline constexpr Duration log_timeout =
    std::chrono::seconds(30);  // the budget spares what somebody needs who answered so lately: a restart
inline constexpr std::size_t max_node_pending_bytes =
    256 << 20;  // of one node's groups: entries that are not applied; beyond it leaders refuse
inline constexpr std::size_t max_running_reads =
    16384;  // of one node: reads that the store has not answered, cancelled ones too
inline constexpr unsigned max_snapshots_sending = 8;  // of one node at a time
inline constexpr unsigned max_learner_snapshots =
    6;  // of these to learners, so that a voter that lags never waits for moves
inline constexpr std::size_t snapshot_chunk_estimate = 512 << 10;
inline constexpr Duration paced_chunk_interval =
    std::chrono::seconds(5);  // a slow pace sends fewer snapshots at once, or each would take for ever
inline constexpr Duration paced_transaction_age =
    std::chrono::seconds(30);                               // of a snapshot that waits for the pace: then it is renewed
inline constexpr std::size_t max_snapshots_receiving = 32;  // likewise: each has a chunk under way
inline constexpr std::size_t max_held_read_bytes = 64 << 20;  // of one node: answers that wait for a heartbeat round
inline constexpr std::size_t max_waiting_reads = 4096;        // of one group: reads that wait for its leader's no-op
inline constexpr std::size_t max_delayed_batches = 4096;      // of one group: they wait for the end of a row lease
// Of one node's groups: of 256 groups each may be within its own limits. As many batches of ordinary size (4 KiB) as
// these bytes hold.
inline constexpr std::size_t max_node_delayed_bytes = 64 << 20;
inline constexpr std::size_t max_node_delayed_batches = 16384;
inline constexpr LogIndex transfer_slack_entries = 256;  // a preferred primary that lags less has caught up
inline constexpr Duration transfer_timeout = std::chrono::seconds(2);   // it must answer and keep up for so long
inline constexpr Duration transfer_pause = std::chrono::seconds(10);    // after an attempt that failed
inline constexpr Duration snapshot_timeout = std::chrono::seconds(10);  // without an answer: give the snapshot up
inline constexpr std::size_t max_groups_moving = 16;  // led by one node, with a learner that is being filled
inline constexpr Duration stuck_timeout =
    std::chrono::seconds(2);  // entries that a majority has no room for: let it elect without them
inline constexpr unsigned max_starved_snapshots =
    2;  // then a voter that cannot catch up for want of room gives its replica up
inline constexpr Duration learner_timeout = std::chrono::seconds(5);  // without an answer: others need not wait for it
inline constexpr Duration hand_over_timeout = std::chrono::seconds(3);  // of a leader that is removed, to find a target
inline constexpr Duration replica_query_timeout =
    std::chrono::seconds(3);  // without a leader: ask whether it still is a member

// What the groups of a node share. Outlives them.
struct GroupServices {
  GroupServices(const Uuid& node, Random& random_source, Outbox& outbox)
      : self(node), random(random_source), out(outbox) {}

  const Uuid self;
  Random& random;
  Outbox& out;
  NodeOptions::Faults faults;
  Timing timing;
  Placement placement;
  Clock clock{};                           // of the call that is being carried out
  Stamp ring_time;                         // likewise, as the members agree
  Fitness fitness;                         // of this node and of its peers
  TimePoint ask_until = TimePoint::min();  // heartbeats ask the peers whether their disks answer
  Room room = Room::ample;                 // of this node's disk
  std::map<Uuid, Room> peer_rooms;         // as they said last
  TimePoint appended_at{};                 // the newest entry of any group here
  TimePoint active_at = TimePoint::min();  // a group that this node leads had something to replicate
  LogIndex log_keep_entries = 0;           // NodeOptions; 0: cut by size
  LogBudget log_budget;
  std::size_t append_bytes = max_append_bytes;
  std::uint64_t last_round = 0;         // newest heartbeat round that left to anybody
  std::set<Uuid> urgent_heartbeats;     // peers that should get a round at once
  std::set<PartitionId> dirty;          // groups that want flush()
  std::uint64_t heartbeat_changes = 0;  // grows whenever heartbeat_for() of some group may say something else
  unsigned snapshots_sending = 0;
  unsigned learner_snapshots = 0;  // of these
  std::set<PartitionId> moving;    // groups led here whose learners are being filled
  bool moves_paused = false;       // no learner is added
  SnapshotPace pace;
  std::set<PartitionId> receiving;  // groups that take in a snapshot
  std::size_t unapplied_bytes = 0;  // of all groups
  std::size_t delayed_bytes = 0;    // likewise
  std::size_t delayed_batches = 0;
  std::map<Uuid, std::shared_ptr<std::size_t>>
      inflight_bytes;  // appends to each peer that are not answered, of all groups
  std::size_t held_read_bytes = 0;
};

class Group {
 public:
  // `created`: genesis made it just now, so no earlier life can have granted a lease.
  Group(const PersistedGroup& persisted, bool created, bool holds_members_table, GroupServices& services);
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group();

  void receive(const Uuid& source, const RequestVote& message);
  void receive(const Uuid& source, const VoteReply& message);
  void receive(const Uuid& source, const Append& message);
  void receive(const Uuid& source, const AppendReply& message);
  void receive(const Uuid& source, const TimeoutNow& message);
  void receive(const Uuid& source, const SnapshotChunk& message);
  void receive(const Uuid& source, const SnapshotReply& message);
  void receive(const Uuid& source, const ReplicaQuery& message);
  void receive(const Uuid& source, const ReplicaRemoved& message);

  // Heartbeats (heartbeats.hpp): as a leader what to say to a peer, as a follower whether to acknowledge.
  std::optional<HeartbeatGroup> heartbeat_for(const ReplicaId& peer) const;
  struct HeartbeatAnswer {
    bool acknowledged = false;
    Term term = 0;         // when not: this replica's, 0 when it is another replica
    bool damaged = false;  // acknowledged: its rows; otherwise this very replica is out of service
  };
  HeartbeatAnswer heartbeat(const Uuid& source, const HeartbeatGroup& heartbeat);
  void heartbeat_acknowledged(const Uuid& source, const HeartbeatGroup& sent, std::uint64_t round, TimePoint sent_at,
                              bool damaged);
  void heartbeat_refused(const Uuid& source, const HeartbeatGroup& sent, const HeartbeatReply::Refusal& refusal);

  void tick();                 // election time-outs
  TimePoint deadline() const;  // of tick()
  void interval();             // as a leader: once every heartbeat interval
  void peer_disconnected(const Uuid& peer);
  void peer_restarted(const Uuid& peer);

  struct BatchKind {
    bool touches_members = false;
    bool needs_room = true;  // room_need.hpp
  };
  void propose(OperationId operation, EncodedBatch batch, RowChanges changes, BatchKind kind);
  void read(OperationId operation, ReadRequest request, const RowLease& lease);

  void written(EffectId write);
  void applied(LogIndex through, const std::vector<AppliedBatch>& results);
  void apply_failed(LogIndex through, Damage damage);
  void read_done(EffectId id, Result<ReadAnswer> answer);
  void loaded(EffectId id, Result<std::vector<Entry>> entries);
  void snapshot_read(EffectId id, Result<SnapshotData> data);

  void flush();
  void compact_for_budget(const LogBudget::Cut& wanted);
  void drop_staged_snapshot();           // for want of room
  void peer_has_room(const Uuid& peer);  // again, or more than before

  PartitionId partition() const { return partition_; }
  bool leading() const { return role_ == Role::leader; }
  const std::map<ReplicaId, Progress>& progress() const { return progress_; }  // as a leader
  const Configuration& configuration() const { return configurations_.back().configuration; }
  bool lease_holds() const;
  // False: it waits for its first snapshot, is what a removed replica leaves, or is out of service.
  bool serves() const { return holds_data_ && !has_lost_log(); }
  void mark_damaged(Damage damage);
  void entry_damaged(LogIndex index);
  bool removed() const;
  bool owes(const Uuid& node)
      const;  // as a leader: the placement wants it, and it does not vote in a configuration of its own yet
  bool names_node(const Uuid& node) const;  // in any configuration that may count
  bool settled() const;                     // as a leader: its members are those that the placement wants
  Redirect redirect() const;
  GroupStatus status() const;
  LogIndex applied_index() const { return applied_; }
  Stamp log_time() const;  // as a leader: what an entry would be stamped with now
  // True once after the rows of the members table may have changed here.
  bool take_members_touched() { return std::exchange(members_touched_, false); }

 private:
  struct ConfigurationAt {
    LogIndex index = 0;
    Configuration configuration;
  };
  struct PendingOperation {
    OperationId operation = 0;
    Term term = 0;
  };
  struct PendingWrite {
    EffectId id = 0;
    LogIndex last = 0;
  };
  struct WaitingRead {
    OperationId operation = 0;
    ReadRequest request;
  };
  struct RunningRead {
    OperationId operation = 0;
    Duration lease{};                 // granted when it began
    std::vector<std::uint64_t> rows;  // for these
  };
  struct DelayedBatch {
    OperationId operation = 0;
    EncodedBatch batch;
    RowChanges changes;
    BatchKind kind;
  };
  struct HeldRead {
    OperationId operation = 0;
    ReadAnswer answer;
    std::uint64_t round = 0;  // this one or a later one must be acknowledged by a quorum
  };
  struct Transfer {
    ReplicaId target;
    TimePoint deadline{};
    bool sent = false;
  };
  struct IncomingSnapshot {
    Uuid source;
    std::uint64_t number = 0;
    std::uint32_t next_chunk = 0;
    RaftHeader raft;                         // of its last chunk
    LogIndex last_index = 0;                 // of what it contains
    std::optional<InstallSnapshot> install;  // all chunks are staged; waits for the outstanding apply
  };

  // group.cpp
  TimePoint now() const { return services_.clock.now; }
  void mark() {
    services_.dirty.insert(partition_);
    ++services_.heartbeat_changes;
  }
  void event(const char* name, const std::string& detail = {}) const;
  bool accept(const Uuid& source, const RaftHeader& header) const;
  std::map<ReplicaId, Progress>::iterator progress_of(const ReplicaId& replica);
  RaftHeader header(const ReplicaId& to) const { return {partition_, term_, replica_.added, to.added}; }
  RaftHeader answer_header(const RaftHeader& asked) const {
    return {partition_, term_, replica_.added, asked.source_added};
  }
  bool append_to_log(Entry entry, bool may_touch_members);
  void add_unapplied(std::size_t bytes);
  void drop_unapplied(std::size_t bytes);
  void truncate_log(LogIndex from);
  void note_write();
  void configuration_changed();
  void advance_commit(LogIndex index);
  void emit_apply();
  void fail_operation(OperationId operation, ErrorCode code, std::string context = {});

  // election.cpp
  bool promotable() const;
  bool must_refuse_votes() const;
  void persist_hard_state();
  void hard_state_written();
  void reset_election_deadline();
  Duration unfit_delay() const;
  Duration retry_wait() const;
  void set_retry_deadline();
  void become_follower(Term term, std::optional<Uuid> leader);
  bool follow(const Uuid& source, const RaftHeader& header);
  void become_leader();
  void stop_leading(std::optional<Uuid> next_leader);
  void pre_campaign();
  void campaign(bool transfer);
  void tally();
  void check_quorum();
  void drift_to_preferred();
  void transfer_if_ready();
  std::optional<ReplicaId> preferred_primary();
  unsigned preference_rank(const Uuid& node) const;

  // leader_fitness.cpp
  bool disk_hangs() const;
  bool should_not_lead() const;
  bool said_unfit(const ReplicaId& replica) const;
  bool known_fit(const ReplicaId& replica) const;
  bool disk_answers(const ReplicaId& replica) const;
  bool others_can_elect() const;
  void ask_about_disks();
  std::optional<ReplicaId> target_of_unfit() const;
  void give_up_leading();

  // full_disks.cpp
  Room room_of(const Uuid& node) const;
  Room quorum_room() const;
  bool quorum_has_room_without(const ReplicaId& replica) const;
  std::optional<Error> room_refusal(bool needs_room) const;
  std::optional<ReplicaId> target_with_room() const;
  void trim_to_room(const ReplicaId& replica, std::vector<Entry>& entries) const;
  std::size_t fitting_entries(const Append& message, std::size_t first) const;
  void give_way_when_stuck();
  void starved(const ReplicaId& replica, Progress& progress);

  // replication.cpp
  std::optional<Error> refusal(std::size_t bytes, bool needs_room) const;
  void append_batch(DelayedBatch batch);
  bool may_delay(std::size_t bytes) const;
  void delay(TimePoint until, DelayedBatch batch);
  DelayedBatch take_delayed(std::multimap<TimePoint, DelayedBatch>::iterator place);
  void append_delayed();
  void fail_delayed();
  void append_local(EntryKind kind, SharedBytes head, std::vector<SharedBytes> blobs, bool touches_members);
  void replicate(const ReplicaId& replica, Progress& progress);
  void send_append(const ReplicaId& replica, Progress& progress, std::vector<Entry> entries);
  LogIndex quorum_match() const;
  void maybe_commit();
  Duration answer_timeout() const;
  bool answering(const Progress& progress) const;
  void tick_progress(const ReplicaId& replica, Progress& progress);
  void evict_bodies();
  std::optional<LogIndex> place_entries(const Append& message, AppendReply& reply);

  // snapshot.cpp
  void start_snapshot(const ReplicaId& replica, Progress& progress);
  bool snapshot_slot_free(bool learner) const;
  void stop_snapshot(Progress& progress);
  void send_chunk(const ReplicaId& replica, Progress& progress);
  void tick_snapshot(const ReplicaId& replica, Progress& progress);
  void drop_incoming();
  void read_next_chunk(const ReplicaId& replica, Progress& progress);
  void maybe_install();

  // compaction.cpp
  struct LogSize {
    std::size_t entries = 0;
    std::size_t bytes = 0;
    bool exceeds(const LogSize& limit) const { return entries > limit.entries || bytes > limit.bytes; }
  };
  LogSize applied_log() const { return {applied_ - log_.base_index(), log_.bytes() - unapplied_bytes_}; }
  void note_log_size() { services_.log_budget.set(partition_, applied_log().bytes); }
  LogIndex needed_from(Duration timeout) const;
  LogIndex compaction_point(const LogSize& keep, LogIndex needed, const LogSize& tail, LogSize& left) const;
  void compact_log(LogIndex through);
  void maybe_compact();

  // damage.cpp
  bool has_lost_log() const { return damage_ == Damage::log; }
  std::optional<ReplicaId> target_of_damaged() const;
  Error damage_error(std::string context) const;
  void damage_ends(bool by_reset);

  // read.cpp
  template <class Value, class ValueOf>
  Value acknowledged_value(Value lowest, Value own, const ValueOf& value_of) const;
  TimePoint quorum_acknowledged_at() const;
  std::uint64_t quorum_acknowledged_round() const;
  bool may_read() const;
  TimePoint lease_end() const;
  RunningRead grant_lease(OperationId operation, const std::vector<RowAddress>& rows, const RowLease& wanted);
  Duration grant_lease(const RowChanges& changed);
  Duration promisable(Duration wanted) const;
  void start_waiting_reads();
  void release_held_reads();
  void fail_reads();

  // membership.cpp
  void move_members();
  void append_configuration(const Configuration& next);
  std::optional<Configuration> with_learners(const std::vector<Uuid>& wanted);
  std::optional<Configuration> with_voters(const std::vector<Uuid>& wanted) const;
  std::vector<ReplicaId> target_voters(const std::vector<Uuid>& wanted) const;
  bool caught_up(const ReplicaId& replica, const Progress& progress) const;
  bool answers(const ReplicaId& replica) const;
  bool quorum_answers(const std::vector<ReplicaId>& voters) const;
  void leave_joint();
  bool leaving() const;
  std::optional<ReplicaId> target_of_leaving() const;
  void note_moving();
  bool to_be_replaced(const ReplicaId& replica) const;  // damaged, or without room for what it lacks
  bool is_replaced_now(const ReplicaId& voter) const;

  // replica.cpp
  ConfigurationAt committed_configuration() const;
  bool excludes(const ConfigurationAt& committed) const;
  bool accept_from_leader(const Uuid& source, const RaftHeader& header);
  bool take_identity(const RaftHeader& header);
  void reset_replica(LogIndex added, ConfigurationAt where_to_ask);
  void leave_to_others();
  void maybe_retire();
  Duration query_timeout() const;
  void ask_membership();
  ReplicaRemoved removed_message(const ReplicaId& replica, const ConfigurationAt& committed) const;
  void tell_removed(const Configuration& before, const ConfigurationAt& committed);

  // Constant after construction.
  const PartitionId partition_;
  const bool holds_members_table_;
  GroupServices& services_;

  // Durable, or on its way to disk in order.
  ReplicaId replica_;  // this one
  bool holds_data_ = true;
  Term term_ = 0;
  Uuid vote_;
  Log log_;
  LogClock log_clock_;
  std::vector<ConfigurationAt> configurations_;  // the newest applied one, then those above it in the log

  // How far.
  LogIndex stable_ = 0;  // entries up to here are durable on this node
  std::deque<PendingWrite> pending_writes_;
  LogIndex commit_ = 0;
  LogIndex applied_ = 0;
  LogIndex applying_through_ = 0;  // handed out; > applied_: an apply is outstanding
  std::size_t unapplied_bytes_ = 0;
  std::set<LogIndex> members_touches_;  // entries above applied_ that may change the members table
  bool members_touched_ = false;
  EffectId members_install_ = 0;  // a snapshot's install that is not durable yet

  // Election.
  Role role_ = Role::follower;
  std::optional<Uuid> leader_;
  TimePoint last_heard_ = TimePoint::min();          // from a leader of the term of that moment
  TimePoint refuse_votes_until_ = TimePoint::min();  // an earlier life of this process may have granted a lease
  TimePoint election_deadline_{};
  Duration election_timeout_{};      // drawn with the last reset, without unfit_delay()
  std::map<ReplicaId, bool> votes_;  // of the campaign or pre-campaign that is on
  std::map<ReplicaId, bool>
      late_votes_;                 // of the campaign in term_ that ran into its time-out: they are as good as before
  EffectId hard_state_write_ = 0;  // of the newest term and vote; 0: they are durable
  unsigned failed_campaigns_ = 0;  // since a leader was heard

  // Leader.
  std::map<ReplicaId, Progress> progress_;
  std::map<LogIndex, PendingOperation> operations_;
  LogIndex term_start_ = 0;  // the own no-op
  TimePoint led_since_{};
  bool lease_void_ = false;  // TimeoutNow was sent in this term
  bool lease_seen_ = false;
  std::optional<Transfer> transfer_;
  std::optional<TimePoint> preferred_since_;  // caught up and answering
  bool handing_over_ = false;                 // the transfer waits for the ends of row leases
  LogIndex stuck_at_ = 0;
  std::optional<TimePoint> stuck_since_;  // a majority has no room for the entry after commit_
  TimePoint next_transfer_ = TimePoint::min();

  // Row leases, and batches that wait for their ends.
  RowLeases row_leases_;
  std::multimap<TimePoint, DelayedBatch> delayed_;
  std::size_t delayed_bytes_ = 0;

  // Reads.
  std::deque<WaitingRead> waiting_reads_;
  std::map<EffectId, RunningRead> running_reads_;
  std::deque<HeldRead> held_reads_;

  std::optional<IncomingSnapshot> incoming_;

  // Membership.
  std::optional<TimePoint> joint_since_;   // as a leader: the joint configuration is committed
  std::optional<ConfigurationAt> retire_;  // committed, and excludes this replica; waits for the outstanding apply
  TimePoint query_at_ = never;

  // Damage.
  Damage damage_ = Damage::none;
  bool apply_blocked_ = false;             // the next entry cannot be applied here
  bool repairing_ = false;                 // what was damaged is gone; waits for fresh rows
  std::optional<LogIndex> ignored_apply_;  // was under way when it was taken out of service
};

}  // namespace ringfs::dht
