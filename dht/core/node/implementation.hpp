// The inside of Node (node.hpp).
//   node.cpp             life, effects, timers
//   receive.cpp     who may speak; messages to groups, chord, heartbeats
//   operations.cpp  what clients ask
//   table.cpp       genesis and the members table
//   fitness.cpp     whether this node is fit to lead: measured, told, asked of peers
//   members.cpp     who answers, and how members change their state
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "dht/core/chord/chord.hpp"
#include "dht/core/members/keeper.hpp"
#include "dht/core/node/node.hpp"
#include "dht/core/node/ring_time.hpp"
#include "dht/core/raft/group.hpp"
#include "dht/core/raft/heartbeats.hpp"
#include "dht/core/raft/outbox.hpp"

namespace ringfs::dht {

inline constexpr Duration timer_granularity = std::chrono::milliseconds(10);  // deadlines are rounded up to it
inline constexpr Duration urgent_gap = std::chrono::milliseconds(10);         // between heartbeats out of turn
inline constexpr Duration table_fetch_timeout = std::chrono::seconds(1);
inline constexpr Duration table_read_retry = std::chrono::seconds(1);
inline constexpr Duration refusal_event_gap = std::chrono::seconds(1);  // one event per name and this long
inline constexpr std::size_t max_known_peers = 4 * max_members;         // incarnations that are remembered
inline constexpr std::size_t max_waiting_creates = 16;

class Node::Implementation {
 public:
  Implementation(NodeOptions options, PersistedNode persisted, Random& random, Clock clock);

  void receive(const Envelope& envelope);
  void tick();
  void peer_disconnected(const Uuid& peer);
  void submit(OperationId id, Operation operation);
  void written(EffectId write);
  void applied(PartitionId partition, LogIndex through, const std::vector<AppliedBatch>& results);
  void read_done(EffectId id, Result<ReadAnswer> answer);
  void loaded(EffectId id, Result<std::vector<Entry>> entries);
  void snapshot_read(EffectId id, Result<SnapshotData> data);
  void apply_failed(PartitionId partition, LogIndex through, Damage damage);
  void mark_damaged(PartitionId partition, Damage damage);
  void entry_damaged(PartitionId partition, LogIndex index);
  void set_room(Room room);
  Effects take_effects();

  NodeStatus status() const;
  Status check_peer(const Uuid& peer, const Incarnation& incarnation);
  std::vector<PartitionId> led_partitions() const;
  LogIndex applied_index(PartitionId partition) const;

  void set_clock(Clock clock);
  Stamp ring_time(TimePoint now) const { return ring_time_.at(now); }

  // Constant after construction.
  const NodeOptions options_;
  const Uuid self_;
  const Incarnation incarnation_;

  Outbox out_;
  mutable GroupServices services_;  // the clock is set by const calls, too

  std::optional<Genesis> genesis_;
  MembersTable table_;

 private:
  TimePoint now() const { return services_.clock.now; }
  Group* group(PartitionId partition);
  void refused_event(const char* name, const Uuid& source);

  // node.cpp
  void watch(const Group& group);
  TimePoint next_deadline() const;
  void keep_log_budget();
  Duration heartbeat_interval() const;
  void send_due_heartbeats();
  void send_heartbeats(const std::set<Uuid>& peers);
  using HeartbeatLists = std::map<Uuid, Heartbeats::Groups>;
  const HeartbeatLists& heartbeat_lists();
  void send_heartbeat(const Uuid& peer, const Heartbeats::Groups& list);

  // receive.cpp
  bool admit(const Header& header);
  // The name of what speaks against it; null: nothing does.
  const char* identity_refusal(const Uuid& peer, const Incarnation& incarnation) const;
  Group* new_replica(const RaftHeader& header);
  void on(const Uuid& source, const Heartbeat& message);
  void on(const Uuid& source, const HeartbeatReply& message);
  void heard_room(const Uuid& peer, Room room);
  void on(const Uuid& source, const TableRequest& message);
  void on(const Uuid& source, const TableReply& message);
  void on(const Uuid& source, const Ping& message);
  template <class ToChord>
  void on_chord(const Uuid& source, const ToChord& message);
  template <class ToGroup>
  void on_group(const Uuid& source, const ToGroup& message);

  // operations.cpp
  void fail(OperationId id, ErrorCode code, std::string context, Redirect redirect = {});
  void start(OperationId id, ReadOperation operation);
  void start(OperationId id, CommitOperation operation);
  void start(OperationId id, const FindOperation& operation);
  void start(OperationId id, const TableOperation& operation);
  void start(OperationId id, const StatusOperation& operation);
  void start(OperationId id, CreateOperation operation);
  void start(OperationId id, JoinOperation operation);
  void take_genesis(OperationId id, Genesis genesis, MembersTable table);
  Group* group_for(OperationId id, PartitionId partition);
  bool belongs(const std::string& key, PartitionId partition) const;
  bool belongs(const Batch& batch, PartitionId partition) const;

  // table.cpp
  void start_ring();
  void place_voters();
  void start_groups(const std::vector<PersistedGroup>& groups, bool created);
  void genesis_durable();
  void set_table(MembersTable table);
  void adopt(MembersTable table, const char* from);
  void fetch_table(const Uuid& source);
  void refresh_table();
  void table_read(Result<ReadAnswer> answer);

  // fitness.cpp
  void watch_storage(Effects& effects);
  void probe_disk();
  void judge_fitness();
  void tell_fitness();

  // members.cpp
  void tend_members();
  TimePoint heard(const Uuid& node) const;
  void keep_time();
  NodeReport make_report() const;
  void keep_table(Group& home);

  Random& random_;
  std::map<PartitionId, std::unique_ptr<Group>> groups_;
  std::unique_ptr<Chord> chord_;
  Heartbeats heartbeats_;
  HeartbeatLists heartbeat_lists_;
  std::uint64_t heartbeat_lists_of_ = UINT64_MAX;  // services_.heartbeat_changes when they were made
  std::set<Uuid> answered_;                        // in this turn: a round that is due leaves with the answer
  std::map<Uuid, Incarnation> peers_;
  std::set<Uuid> disconnected_;  // since they were heard last

  // Creation.
  struct Creation {
    Genesis genesis;
    MembersTable table;
    EffectId write = 0;
    std::vector<OperationId> operations;
  };
  std::optional<Creation> creation_;

  // Members.
  std::map<Uuid, TimePoint> heard_;  // of members of the table
  TimePoint started_at_{};
  MembersKeeper keeper_;
  RingTime ring_time_;
  std::vector<Uuid> voices_;             // members whose clocks count
  bool clock_wrong_ = false;             // the own one, as was said last
  std::uint64_t last_table_change_ = 0;  // sequence of the own batches
  TimePoint next_table_change_ = TimePoint::min();

  // What events last said of the own fitness.
  bool told_hangs_ = false, told_slow_ = false, told_late_ = false;

  // Timers.
  TimePoint tick_due_ = never;  // the deadline handed out last
  TimePoint report_at_ = never;
  TimePoint heartbeat_at_ = never;
  TimePoint groups_at_ = never;
  TimePoint urgent_sent_at_ = TimePoint::min();
  TimePoint fetch_until_ = TimePoint::min();
  std::map<std::string, TimePoint> refusal_events_;  // keys are this file's fixed names

  // Reading the members table's rows on this replica.
  PartitionId table_partition_{};
  EffectId table_read_ = 0;
  std::vector<Row> table_rows_;  // pages so far
  bool table_read_again_ = false;
  TimePoint table_read_at_ = never;
};

}  // namespace ringfs::dht
