// The entry points of a node: which of its parts gets what, in which order a turn ends, and how the node enters a ring.
#include "dht/core/node/node.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::dht {

namespace {

constexpr Duration timer_granularity = std::chrono::milliseconds(10);  // deadlines are rounded up to it

void configure(GroupServices& services, const NodeOptions& options, const Incarnation& incarnation) {
  services.appended_at = services.clock.now;
  services.faults = options.faults;
  services.log_keep_entries = options.log_keep_entries;
  if (options.log_budget_bytes != 0) services.log_budget = LogBudget(options.log_budget_bytes);
  if (options.append_bytes != 0) services.append_bytes = options.append_bytes;
  // Rounds of an earlier life have other numbers: an answer to one of them acknowledges nothing of this life.
  services.last_round = incarnation.counter << 32;
}

// What never happens (NodeOptions::Faults): replicas that do not come from genesis or from a leader's snapshot.
std::vector<PersistedGroup> placed_voters(GroupServices& services, const Groups& groups) {
  std::vector<PersistedGroup> voters;
  for (std::uint32_t index = 0; index < services.placement.partitions(); ++index) {
    PartitionId partition{index};
    const std::vector<Uuid>& placed = services.placement.preference_list(partition);
    const bool here = std::find(placed.begin(), placed.end(), services.self) != placed.end();
    if (groups.find(partition) != nullptr || !here) continue;
    PersistedGroup voter;
    voter.partition = partition;
    voter.replica = {services.self, 0};
    for (const Uuid& node : placed) voter.configuration.voters.push_back({node, 0});
    services.out.group_write(partition).reset = ReplicaReset{0, voter.configuration, 0};
    voters.push_back(std::move(voter));
  }
  return voters;
}

}  // namespace

// ---- Life -----------------------------------------------------------------------------------------

Node::Node(const NodeOptions& options, PersistedNode persisted, Random& random, Clock clock)
    : incarnation_(persisted.incarnation),
      out_(persisted.id, incarnation_),
      services_(persisted.id, random, out_),
      groups_(services_, options.quiet_after),
      identities_(services_, ring_, persisted.peer_incarnations),
      fitness_(services_, identities_),
      heartbeats_(services_, groups_, fitness_),
      time_(services_, clock),
      table_copy_(services_, ring_, groups_, identities_,
                  [this](MembersTable table, const char* from) { adopt(std::move(table), from); }),
      members_(services_, ring_, groups_, incarnation_.counter << 32),
      creation_(services_, ring_, table_copy_),
      operations_(services_, ring_, groups_, chord_) {
  configure(services_, options, incarnation_);
  if (!persisted.genesis) return;
  ring_.genesis = std::move(persisted.genesis);
  ring_.table = persisted.table ? std::move(*persisted.table) : ring_.genesis->first_table;
  start_ring();
  start_groups(persisted.groups, false);
}

// What follows from genesis and table alone.
void Node::start_ring() {
  services_.timing = ring_.genesis->timing;
  ring_.table_partition = partition_of(key_position(members_key), ring_.genesis->partition_bits);
  out_.set_ring(ring_.genesis->ring);
  ChordOptions options;
  options.self = services_.self;
  if (const Member* member = ring_.table.find(services_.self)) options.tokens = member->tokens;
  options.replication = ring_.table.replication();
  options.timing = ring_.genesis->timing;
  chord_.emplace(std::move(options), services_.random, now());
  members_.start();
  set_table(ring_.table);
}

void Node::start_groups(const std::vector<PersistedGroup>& groups, bool created) {
  for (const PersistedGroup& persisted : groups) {
    table_copy_.follow(groups_.add(persisted, created, persisted.partition == ring_.table_partition));
  }
}

// The genesis record is durable.
void Node::enter_ring(Creation::Taken taken) {
  ring_.genesis = std::move(taken.genesis);
  ring_.table = std::move(taken.table);
  start_ring();
  std::vector<PersistedGroup> groups;
  for (InitialGroup& initial : initial_groups(*ring_.genesis, services_.self)) {
    PersistedGroup group;
    group.partition = initial.partition;
    group.replica = {services_.self, 0};
    group.configuration = std::move(initial.configuration);
    groups.push_back(std::move(group));
  }
  start_groups(groups, true);
  if (services_.faults.place_voters) start_groups(placed_voters(services_, groups_), false);
  out_.event("ring_created", "ring=" + ring_.genesis->ring.text() + " groups=" + std::to_string(groups.size()));
  for (OperationId operation : taken.operations) out_.reply(operation, Answer(Empty{}));
}

void Node::set_table(MembersTable table) {
  ring_.table = std::move(table);
  out_.set_table_version(ring_.table.version);
  services_.placement = Placement(ring_.table, ring_.genesis->partition_bits);
  std::optional<std::uint64_t> rate = ring_.table.rebalance_rate();
  services_.moves_paused = rate == 0U;
  services_.pace.set_rate(rate);
  time_.set_table(ring_.table);
  members_.set_table(ring_.table);
  chord_->set_table(ring_.table, now());
}

void Node::adopt(MembersTable table, const char* from) {
  if (table.version <= ring_.table.version) return;
  out_.event("table_adopted", "version=" + std::to_string(table.version) + " from=" + from);
  set_table(std::move(table));
  out_.node_write().table = ring_.table;
  const Member* own = ring_.table.find(services_.self);
  if (own != nullptr && own->state == MemberState::removed)
    out_.event("removed_from_ring", "version=" + std::to_string(ring_.table.version));
  if (services_.faults.place_voters) start_groups(placed_voters(services_, groups_), false);
}

// ---- Time -----------------------------------------------------------------------------------------

void Node::tick(Clock clock) {
  time_.set_clock(clock);
  fitness_.ticked(tick_due_);
  time_.tick();
  if (chord_ && now() >= chord_->deadline()) chord_->tick(now());
  table_copy_.tick();
  if (now() >= members_.deadline()) {
    fitness_.judge();
    members_.report();
  }
  if (groups_.interval_ended()) heartbeats_.send_due();
  groups_.tick();
}

TimePoint Node::next_deadline() const {
  if (!services_.dirty.empty()) return now();
  TimePoint deadline =
      std::min({groups_.deadline(), heartbeats_.deadline(), table_copy_.deadline(), members_.deadline()});
  if (chord_) deadline = std::min(deadline, chord_->deadline());
  if (deadline >= never - timer_granularity) return never;
  // Rounded up, so that many groups' timers share a wake-up.
  auto ticks = (deadline.time_since_epoch() + timer_granularity - Duration(1)) / timer_granularity;
  return TimePoint(ticks * timer_granularity);
}

Effects Node::take_effects() {
  groups_.flush();
  heartbeats_.send_with_turn();
  groups_.keep_log_budget();
  if (chord_) {
    for (auto& [peer, message] : chord_->take_messages()) {
      Message wrapped = std::visit([](auto& one) { return Message(std::move(one)); }, message);
      out_.send(peer, std::move(wrapped));
    }
  }
  groups_.shorten_interval();
  Effects effects = out_.take();
  fitness_.watch_storage(effects);
  for (Envelope& message : effects.messages) message.header.stamp = services_.clock.stamp;
  for (Envelope& message : effects.messages_after_write) message.header.stamp = services_.clock.stamp;
  effects.deadline = tick_due_ = next_deadline();
  return effects;
}

// ---- Peers ----------------------------------------------------------------------------------------

void Node::receive(const Envelope& envelope, Clock clock) {
  time_.set_clock(clock);
  const Header& header = envelope.header;
  const Uuid& source = header.source;
  const PeerIdentities::Admission admission = identities_.admit(header);
  if (admission == PeerIdentities::Admission::refused) return;
  if (admission == PeerIdentities::Admission::restarted) {
    heartbeats_.forget(source);
    groups_.peer_restarted(source);
  }
  members_.heard(source, header.table_version);
  time_.heard(source, header.stamp);
  if (disconnected_.erase(source) > 0) chord_->peer_heard(source);
  table_copy_.heard_version(source, header.table_version);
  std::visit(
      [&](const auto& message) {
        if constexpr (requires { message.raft; })
          to_group(source, message);
        else if constexpr (requires { ChordMessage(message); })
          chord_->receive(source, ChordMessage(message), now());
        else if constexpr (requires { heartbeats_.on(source, message); })
          heartbeats_.on(source, message);
        else if constexpr (requires { table_copy_.on(source, message); })
          table_copy_.on(source, message);
        else
          members_.on(header, message);
      },
      envelope.message);
}

template <class ToGroup>
void Node::to_group(const Uuid& source, const ToGroup& message) {
  Group* one = groups_.find(message.raft.partition);
  constexpr bool from_leader = std::is_same_v<ToGroup, Append> || std::is_same_v<ToGroup, SnapshotChunk>;
  if (from_leader && one == nullptr) one = new_replica(message.raft);
  if (one == nullptr) return;
  if constexpr (std::is_same_v<ToGroup, AppendReply> || std::is_same_v<ToGroup, SnapshotReply>)
    groups_.heard_room(source, message.room);
  one->receive(source, message);
  groups_.watch(*one);
}

// A leader made this node a learner of a group of which it never had a replica. Voters come into being only from
// genesis, whose replicas were added at index 0: a node that does not have its own lost its disk, and is nobody.
Group* Node::new_replica(const RaftHeader& header) {
  if (header.destination_added == 0 || index_of(header.partition) >= services_.placement.partitions()) return nullptr;
  PersistedGroup nothing;
  nothing.partition = header.partition;
  nothing.replica = {services_.self, 0};
  nothing.holds_data = false;
  start_groups({nothing}, false);
  return groups_.find(header.partition);
}

void Node::peer_disconnected(const Uuid& peer, Clock clock) {
  time_.set_clock(clock);
  if (!ring_.genesis || ring_.table.find(peer) == nullptr) return;
  disconnected_.insert(peer);
  chord_->peer_failed(peer, now());
  groups_.peer_disconnected(peer);
}

Status Node::check_peer(const Uuid& peer, const Incarnation& incarnation, Clock clock) {
  time_.set_clock(clock);
  return identities_.check(peer, incarnation);
}

// ---- Operations -----------------------------------------------------------------------------------

void Node::submit(OperationId id, Operation operation, Clock clock) {
  time_.set_clock(clock);
  if (!out_.open(id)) {
    out_.refuse(id, Error{ErrorCode::overloaded, "too many operations wait at this node"});
    return;
  }
  std::visit(
      [&](auto& one) {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, StatusOperation>)
          out_.reply(id, Answer(current_status()));
        else if constexpr (requires { creation_.start(id, std::move(one)); })
          creation_.start(id, std::move(one));
        else
          operations_.start(id, std::move(one));
      },
      operation);
}

void Node::released(const Release& release, Clock clock) {
  time_.set_clock(clock);
  const auto to_one = [&](Group& one) {
    one.released(release);
    groups_.watch(one);
  };
  if (release.term == 0 && release.everything) {  // of all partitions
    for (const auto& [partition, group] : groups_.all()) to_one(*group);
  } else if (Group* one = groups_.find(release.partition)) {
    to_one(*one);
  }
}

NodeStatus Node::current_status() const {
  NodeStatus status;
  status.node = services_.self;
  status.incarnation = incarnation_;
  if (ring_.genesis) status.ring = ring_.genesis->ring;
  status.table_version = ring_.table.version;
  status.no_space = services_.room != Room::ample;
  if (services_.fitness.hangs(now())) status.disk_stalled = services_.fitness.stalled(now());
  status.disk_write_time = services_.fitness.write_time(now());
  status.disk_slow = services_.fitness.disk_slow();
  status.late = services_.fitness.late();
  status.wall = services_.clock.stamp;
  status.ring_time = services_.ring_time;
  status.snapshot_bytes_sent = services_.pace.total();
  status.groups.reserve(groups_.all().size());
  for (const auto& [partition, group] : groups_.all()) {
    if (!group->state().removed()) status.groups.push_back(group->status());
  }
  return status;
}

NodeStatus Node::status(Clock clock) {
  time_.set_clock(clock);
  return current_status();
}

std::vector<PartitionId> Node::led_partitions(Clock clock) {
  time_.set_clock(clock);
  std::vector<PartitionId> led;
  for (const auto& [partition, group] : groups_.all()) {
    if (group->holds_lease()) led.push_back(partition);
  }
  return led;
}

TimePoint Node::table_confirmed_at(Clock clock) {
  time_.set_clock(clock);
  return ring_.genesis ? members_.table_confirmed_at() : now();
}

LogIndex Node::applied_index(PartitionId partition) const {
  const Group* one = groups_.find(partition);
  return one == nullptr ? 0 : one->state().log().applied();
}

// ---- The disk -------------------------------------------------------------------------------------

void Node::written(EffectId write, Clock clock) {
  time_.set_clock(clock);
  services_.fitness.written(write, now());
  if (std::optional<Creation::Taken> taken = creation_.written(write)) enter_ring(std::move(*taken));
  for (const auto& [id, partition] : out_.durable(write)) {
    Group* one = groups_.find(partition);
    if (one == nullptr) continue;
    one->written(id);
    groups_.watch(*one);
    table_copy_.follow(*one);
  }
}

void Node::applied(PartitionId partition, LogIndex through, const std::vector<AppliedBatch>& results, Clock clock) {
  time_.set_clock(clock);
  Group* one = groups_.find(partition);
  RINGFS_CHECK(one != nullptr);
  one->applied(through, results);
  table_copy_.follow(*one);
}

void Node::apply_failed(PartitionId partition, LogIndex through, Damage damage, Clock clock) {
  time_.set_clock(clock);
  Group* one = groups_.find(partition);
  RINGFS_CHECK(one != nullptr);
  one->apply_failed(through, damage);
  groups_.watch(*one);
}

void Node::mark_damaged(PartitionId partition, Damage damage, Clock clock) {
  time_.set_clock(clock);
  Group* one = groups_.find(partition);
  if (one == nullptr) return;
  one->mark_damaged(damage);
  groups_.watch(*one);
}

void Node::entry_damaged(PartitionId partition, LogIndex index, Clock clock) {
  time_.set_clock(clock);
  Group* one = groups_.find(partition);
  if (one == nullptr) return;
  one->entry_damaged(index);
  groups_.watch(*one);
}

void Node::set_room(Room room, Clock clock) {
  time_.set_clock(clock);
  services_.room = room;
  if (room != Room::ample) groups_.drop_staged_snapshots();
}

// Whose read, load or snapshot read this was; null: its group is gone.
Group* Node::claim(EffectId read) {
  services_.fitness.read_answered(now());
  std::optional<PartitionId> partition = out_.claim(read);
  RINGFS_CHECK(partition.has_value());
  return groups_.find(*partition);
}

void Node::read_done(EffectId id, Result<ReadAnswer> answer, Clock clock) {
  time_.set_clock(clock);
  Group* one = claim(id);
  if (table_copy_.reads(id)) {
    if (one != nullptr && !answer && answer.error().code == ErrorCode::corrupt) one->mark_damaged(Damage::rows);
    table_copy_.read_done(std::move(answer));
  } else if (one != nullptr) {
    one->read_done(id, std::move(answer));
  }
  if (one != nullptr) groups_.watch(*one);
}

void Node::loaded(EffectId id, Result<std::vector<Entry>> entries, Clock clock) {
  time_.set_clock(clock);
  Group* one = claim(id);
  if (one == nullptr) return;
  one->loaded(id, std::move(entries));
  groups_.watch(*one);
}

void Node::snapshot_read(EffectId id, Result<SnapshotData> data, Clock clock) {
  time_.set_clock(clock);
  Group* one = claim(id);
  if (one == nullptr) return;
  one->snapshot_read(id, std::move(data));
  groups_.watch(*one);
}

}  // namespace ringfs::dht
