#include "dht/core/node/node.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/node/implementation.hpp"
#include "dht/core/raft/compaction.hpp"

namespace ringfs::dht {

// ---- Life -----------------------------------------------------------------------------------------

Node::Implementation::Implementation(NodeOptions options, PersistedNode persisted, Random& random, Clock clock)
    : options_(std::move(options)),
      self_(persisted.id),
      incarnation_(persisted.incarnation),
      out_(self_, incarnation_),
      services_(self_, random, out_),
      random_(random),
      ring_time_(clock) {
  services_.clock = clock;
  services_.appended_at = clock.now;
  services_.ring_time = ring_time_.at(clock.now);
  services_.faults = options_.faults;
  services_.log_keep_entries = options_.log_keep_entries;
  if (options_.log_budget_bytes != 0) services_.log_budget = LogBudget(options_.log_budget_bytes);
  if (options_.append_bytes != 0) services_.append_bytes = options_.append_bytes;
  // Rounds of an earlier life have other numbers: an answer to one of them acknowledges nothing of this life.
  services_.last_round = incarnation_.counter << 32;
  last_table_change_ = incarnation_.counter << 32;
  for (const auto& [peer, incarnation] : persisted.peer_incarnations) peers_[peer] = incarnation;
  if (!persisted.genesis) return;
  genesis_ = std::move(persisted.genesis);
  table_ = persisted.table ? std::move(*persisted.table) : genesis_->first_table;
  start_ring();
  start_groups(persisted.groups, false);
}

// Time never goes back for the groups, whatever the driver's calls overtake.
void Node::Implementation::set_clock(Clock clock) {
  clock.now = std::max(clock.now, services_.clock.now);
  services_.clock = clock;
  services_.ring_time = ring_time_.at(clock.now);
}

Group* Node::Implementation::group(PartitionId partition) {
  auto found = groups_.find(partition);
  return found == groups_.end() ? nullptr : found->second.get();
}

// Call after anything that may have moved the group's deadline forward or made it leader.
void Node::Implementation::watch(const Group& group) {
  groups_at_ = std::min(groups_at_, group.deadline());
  if (group.leader() != nullptr && heartbeat_at_ == never) heartbeat_at_ = now() + heartbeat_interval();
}

// ---- Time -----------------------------------------------------------------------------------------

void Node::Implementation::tick() {
  if (tick_due_ != never) services_.fitness.ticked(tick_due_, now());
  tell_fitness();
  keep_time();
  if (chord_ && now() >= chord_->deadline()) chord_->tick(now());
  if (now() >= table_read_at_) refresh_table();
  if (now() >= report_at_) tend_members();
  if (now() >= heartbeat_at_) {
    heartbeat_at_ = never;
    services_.log_budget.retry();
    groups_at_ = never;  // most deadlines have moved on since: no wake-up for each that has not come
    for (auto& [partition, group] : groups_) {
      group->interval();
      watch(*group);
    }
    if (heartbeat_at_ != never) send_due_heartbeats();
  }
  if (now() < groups_at_) return;
  groups_at_ = never;
  for (auto& [partition, group] : groups_) {
    group->tick();
    watch(*group);
  }
}

// Less often while there is nothing to replicate, but so that the leader lease is renewed while it still allows row
// leases, and that whoever answers counts as answering. Rounds are at most one and a half intervals apart.
Duration Node::Implementation::heartbeat_interval() const {
  const Timing& timing = genesis_->timing;
  bool quiet = services_.active_at == TimePoint::min() || services_.active_at + options_.quiet_after <= now();
  if (!quiet) return timing.heartbeat;
  auto usable = static_cast<std::int64_t>(static_cast<double>(timing.lease.count()) * (1.0 - timing.lease_margin));
  Duration renewed_in_time = Duration(usable) - max_row_lease - timing.heartbeat / 5;
  return std::max(timing.heartbeat, std::min(timing.heartbeat * 5 / 2, renewed_in_time));
}

// What to say to each peer that shares a group which this node leads. Where nothing happens nothing is gathered anew.
const Node::Implementation::HeartbeatLists& Node::Implementation::heartbeat_lists() {
  if (heartbeat_lists_of_ == services_.heartbeat_changes) return heartbeat_lists_;
  heartbeat_lists_of_ = services_.heartbeat_changes;
  heartbeat_lists_.clear();
  for (const auto& [partition, group] : groups_) {
    const Leader* leader = group->leader();
    if (leader == nullptr) continue;
    for (const auto& [replica, progress] : leader->followers().all()) {
      std::optional<HeartbeatGroup> tuple = leader->heartbeat_for(replica);
      if (tuple) heartbeat_lists_[replica.node].push_back(*tuple);
    }
  }
  return heartbeat_lists_;
}

void Node::Implementation::send_heartbeat(const Uuid& peer, const Heartbeats::Groups& list) {
  Heartbeat heartbeat = heartbeats_.make(peer, list, ++services_.last_round, now());
  heartbeat.fitness = services_.fitness.report(now());
  heartbeat.asks = services_.ask_until > now();
  out_.send(peer, std::move(heartbeat));
}

// Those whose last round left with an answer a moment ago get their next one with an answer, too.
void Node::Implementation::send_due_heartbeats() {
  for (const auto& [peer, list] : heartbeat_lists()) {
    if (heartbeats_.due(peer, heartbeat_interval(), now())) send_heartbeat(peer, list);
  }
}

void Node::Implementation::send_heartbeats(const std::set<Uuid>& peers) {
  for (const auto& [peer, list] : heartbeat_lists()) {
    if (peers.contains(peer)) send_heartbeat(peer, list);
  }
}

TimePoint Node::Implementation::next_deadline() const {
  TimePoint deadline = std::min({heartbeat_at_, groups_at_, table_read_at_, report_at_});
  if (chord_) deadline = std::min(deadline, chord_->deadline());
  if (!services_.urgent_heartbeats.empty()) deadline = std::min(deadline, urgent_sent_at_ + urgent_gap);
  if (!services_.dirty.empty()) return now();
  if (deadline >= never - timer_granularity) return never;
  // Rounded up, so that many groups' timers share a wake-up.
  auto ticks = (deadline.time_since_epoch() + timer_granularity - Duration(1)) / timer_granularity;
  return TimePoint(ticks * timer_granularity);
}

// The rest of a large surplus, as after a start with another budget, waits for the turns that follow.
void Node::Implementation::keep_log_budget() {
  const bool idle = services_.appended_at + quiet_log_after <= now();
  services_.log_budget.set_share(services_.room != Room::ample ? short_log_share : idle ? quiet_log_share : 1);
  const std::size_t before = services_.log_budget.bytes();
  while (std::optional<LogBudget::Compaction> wanted = services_.log_budget.next()) {
    group(wanted->partition)->compact_for_budget(*wanted);
    if (before - services_.log_budget.bytes() >= LogLimits::turn_bytes) return;
  }
}

Effects Node::Implementation::take_effects() {
  std::set<PartitionId> dirty = std::exchange(services_.dirty, {});
  for (PartitionId partition : dirty) {
    Group* one = group(partition);
    one->flush();
    watch(*one);
  }
  if (!services_.urgent_heartbeats.empty() &&
      (urgent_sent_at_ == TimePoint::min() || urgent_sent_at_ + urgent_gap <= now())) {
    urgent_sent_at_ = now();
    std::set<Uuid> urgent = std::exchange(services_.urgent_heartbeats, {});
    send_heartbeats(urgent);
  }
  if (!answered_.empty()) send_heartbeats(std::exchange(answered_, {}));
  keep_log_budget();
  if (chord_) {
    for (auto& [peer, message] : chord_->take_messages()) {
      Message wrapped = std::visit([](auto& one) { return Message(std::move(one)); }, message);
      out_.send(peer, std::move(wrapped));
    }
  }
  // Not at the end of a quiet interval: followers wait for the commit index.
  if (heartbeat_at_ != never && services_.active_at == now())
    heartbeat_at_ = std::min(heartbeat_at_, now() + genesis_->timing.heartbeat);
  Effects effects = out_.take();
  watch_storage(effects);
  for (Envelope& message : effects.messages) message.header.stamp = services_.clock.stamp;
  for (Envelope& message : effects.messages_after_write) message.header.stamp = services_.clock.stamp;
  effects.deadline = tick_due_ = next_deadline();
  return effects;
}

// ---- Completions ----------------------------------------------------------------------------------

void Node::Implementation::written(EffectId write) {
  services_.fitness.written(write, now());
  if (creation_ && creation_->write <= write) genesis_durable();
  for (const auto& [id, partition] : out_.durable(write)) {
    Group* one = group(partition);
    if (one == nullptr) continue;
    one->written(id);
    watch(*one);
    if (one->take_members_touched()) refresh_table();
  }
}

void Node::Implementation::applied(PartitionId partition, LogIndex through, const std::vector<AppliedBatch>& results) {
  Group* one = group(partition);
  RINGFS_CHECK(one != nullptr);
  one->applied(through, results);
  if (one->take_members_touched()) refresh_table();
}

void Node::Implementation::apply_failed(PartitionId partition, LogIndex through, Damage damage) {
  Group* one = group(partition);
  RINGFS_CHECK(one != nullptr);
  one->apply_failed(through, damage);
  watch(*one);
}

void Node::Implementation::mark_damaged(PartitionId partition, Damage damage) {
  Group* one = group(partition);
  if (one == nullptr) return;
  one->mark_damaged(damage);
  watch(*one);
}

void Node::Implementation::entry_damaged(PartitionId partition, LogIndex index) {
  Group* one = group(partition);
  if (one == nullptr) return;
  one->entry_damaged(index);
  watch(*one);
}

void Node::Implementation::set_room(Room room) {
  services_.room = room;
  if (room == Room::ample) return;
  for (auto& [partition, group] : groups_) group->drop_staged_snapshot();
}

// What the peer's answers say of its disk. Whoever waited for its room goes on.
void Node::Implementation::heard_room(const Uuid& peer, Room room) {
  Room& known = services_.peer_rooms.try_emplace(peer, Room::ample).first->second;
  const bool more = room > known;
  known = room;
  if (!more) return;
  for (auto& [partition, group] : groups_) group->peer_has_room(peer);
}

void Node::Implementation::read_done(EffectId id, Result<ReadAnswer> answer) {
  services_.fitness.read_answered(now());
  std::optional<PartitionId> partition = out_.claim(id);
  RINGFS_CHECK(partition.has_value());
  Group* one = group(*partition);
  if (id == table_read_) {
    if (one != nullptr && !answer && answer.error().code == ErrorCode::corrupt) one->mark_damaged(Damage::rows);
    table_read(std::move(answer));
  } else if (one != nullptr) {
    one->read_done(id, std::move(answer));
  }
  if (one != nullptr) watch(*one);
}

void Node::Implementation::loaded(EffectId id, Result<std::vector<Entry>> entries) {
  services_.fitness.read_answered(now());
  std::optional<PartitionId> partition = out_.claim(id);
  RINGFS_CHECK(partition.has_value());
  Group* one = group(*partition);
  if (one == nullptr) return;
  one->loaded(id, std::move(entries));
  watch(*one);
}

void Node::Implementation::snapshot_read(EffectId id, Result<SnapshotData> data) {
  services_.fitness.read_answered(now());
  std::optional<PartitionId> partition = out_.claim(id);
  RINGFS_CHECK(partition.has_value());
  Group* one = group(*partition);
  if (one == nullptr) return;
  one->snapshot_read(id, std::move(data));
  watch(*one);
}

// ---- The public face ------------------------------------------------------------------------------

Node::Node(NodeOptions options, PersistedNode persisted, Random& random, Clock clock)
    : implementation_(std::make_unique<Implementation>(std::move(options), std::move(persisted), random, clock)) {}
Node::~Node() = default;

void Node::receive(const Envelope& envelope, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->receive(envelope);
}

void Node::tick(Clock clock) {
  implementation_->set_clock(clock);
  implementation_->tick();
}

void Node::peer_disconnected(const Uuid& peer, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->peer_disconnected(peer);
}

void Node::submit(OperationId id, Operation operation, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->submit(id, std::move(operation));
}

void Node::cancel(OperationId id) { implementation_->out_.cancel(id); }

void Node::written(EffectId write, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->written(write);
}

void Node::applied(PartitionId partition, LogIndex through, std::vector<AppliedBatch> results, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->applied(partition, through, results);
}

void Node::read_done(EffectId id, Result<ReadAnswer> answer, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->read_done(id, std::move(answer));
}

void Node::loaded(EffectId id, Result<std::vector<Entry>> entries, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->loaded(id, std::move(entries));
}

void Node::snapshot_read(EffectId id, Result<SnapshotData> data, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->snapshot_read(id, std::move(data));
}

Status Node::check_peer(const Uuid& peer, const Incarnation& incarnation, Clock clock) {
  implementation_->set_clock(clock);
  return implementation_->check_peer(peer, incarnation);
}

void Node::apply_failed(PartitionId partition, LogIndex through, Damage damage, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->apply_failed(partition, through, damage);
}

void Node::mark_damaged(PartitionId partition, Damage damage, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->mark_damaged(partition, damage);
}

void Node::entry_damaged(PartitionId partition, LogIndex index, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->entry_damaged(partition, index);
}

void Node::set_room(Room room, Clock clock) {
  implementation_->set_clock(clock);
  implementation_->set_room(room);
}

Effects Node::take_effects() { return implementation_->take_effects(); }

const Uuid& Node::id() const { return implementation_->self_; }
const std::optional<Genesis>& Node::genesis() const { return implementation_->genesis_; }
const MembersTable& Node::table() const { return implementation_->table_; }

NodeStatus Node::status(Clock clock) const {
  implementation_->set_clock(clock);
  return implementation_->status();
}

std::vector<PartitionId> Node::led_partitions(Clock clock) const {
  implementation_->set_clock(clock);
  return implementation_->led_partitions();
}

Stamp Node::ring_time(TimePoint now) const { return implementation_->ring_time(now); }

LogIndex Node::applied_index(PartitionId partition) const { return implementation_->applied_index(partition); }

}  // namespace ringfs::dht
