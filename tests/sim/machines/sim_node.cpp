#include "tests/sim/machines/sim_node.hpp"

#include <algorithm>

#include "dht/base/hash.hpp"
#include "dht/core/raft/fitness.hpp"
#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

namespace {
constexpr std::int64_t million = 1'000'000;
constexpr Stamp epoch{1'700'000'000 * million};
constexpr Duration timer_lateness = std::chrono::microseconds(500);
// Until all know that a disk hangs: it notices itself, what was heard before is forgotten, and a transfer that was
// under way ends.
constexpr Duration hang_known_bound = dht::disk_timeout + dht::fitness_life + std::chrono::seconds(1);
constexpr Duration echoes[] = {std::chrono::milliseconds(2), std::chrono::milliseconds(50),
                               std::chrono::milliseconds(200), std::chrono::milliseconds(600)};

// In the order of the variant Message.
constexpr const char* send_names[] = {"send request-vote",   "send vote-reply",       "send append",
                                      "send append-reply",   "send timeout-now",      "send snapshot-chunk",
                                      "send snapshot-reply", "send heartbeat",        "send heartbeat-reply",
                                      "send chord-ask",      "send chord-neighbours", "send chord-notify",
                                      "send chord-find",     "send chord-found",      "send table-request",
                                      "send table-reply",    "send replica-query",    "send replica-removed",
                                      "send ping",           "send node-report"};
constexpr const char* receive_names[] = {"get request-vote",   "get vote-reply",       "get append",
                                         "get append-reply",   "get timeout-now",      "get snapshot-chunk",
                                         "get snapshot-reply", "get heartbeat",        "get heartbeat-reply",
                                         "get chord-ask",      "get chord-neighbours", "get chord-notify",
                                         "get chord-find",     "get chord-found",      "get table-request",
                                         "get table-reply",    "get replica-query",    "get replica-removed",
                                         "get ping",           "get node-report"};
static_assert(std::size(send_names) == std::variant_size_v<dht::Message> &&
              std::size(receive_names) == std::variant_size_v<dht::Message>);

struct Subject {  // of a message: what a trace line says about it
  std::uint64_t partition = 0, term = 0, index = 0;
};

Subject subject_of(const dht::Message& message) {
  return std::visit(
      [](const auto& one) -> Subject {
        Subject subject;
        if constexpr (requires { one.raft; }) subject = {index_of(one.raft.partition), one.raft.term, 0};
        if constexpr (requires { one.previous_index; }) subject.index = one.previous_index + one.entries.size();
        if constexpr (requires { one.match; }) subject.index = one.match;
        if constexpr (requires { one.granted; }) subject.index = one.granted ? 1 : 0;
        if constexpr (requires { one.round; }) subject.index = one.round;
        return subject;
      },
      message);
}
}  // namespace

TimePoint SimClock::local(TimePoint world_now) const {
  Duration elapsed = world_now - world_base_;
  return local_base_ + elapsed + Duration(elapsed.count() * drift_ / million);
}

TimePoint SimClock::world_time(TimePoint local_time) const {
  Duration elapsed = local_time - local_base_;
  return world_base_ + Duration(elapsed.count() * million / (million + drift_) + 1);
}

Stamp true_time(TimePoint world_now) { return epoch + world_now.time_since_epoch(); }

Stamp SimClock::wall(TimePoint world_now) const { return std::max(Stamp{1}, true_time(world_now) + wall_offset_); }

void SimClock::set_drift(TimePoint world_now, std::int64_t parts_per_million) {
  local_base_ = local(world_now);
  world_base_ = world_now;
  drift_ = parts_per_million;
}

void SimClock::reboot(TimePoint world_now, TimePoint local_now) {
  local_base_ = local_now;
  world_base_ = world_now;
}

SimNode::SimNode(Cluster& cluster, unsigned index, Uuid id, dht::NodeOptions options, DiskSpeed speed,
                 DiskFaults faults)
    : cluster_(cluster),
      index_(index),
      id_(id),
      options_(std::move(options)),
      disk_(cluster.world(), id, speed, faults, *this) {
  disk_.set_spared([this](PartitionId partition) { return cluster_.can_spare(partition, id_); });
}

SimNode::~SimNode() = default;

void SimNode::start() {
  RINGFS_CHECK(!running());
  World& world = cluster_.world();
  ++run_;
  running_since_ = world.now();
  dht::PersistedNode persisted = disk_.start();
  cluster_.invariants().on_start(id_, disk_.durable());
  world.trace("start", index_, persisted.incarnation.counter, persisted.groups.size());
  world.count("node start");
  node_ = std::make_unique<dht::Node>(options_, std::move(persisted), world.random(), clock_.read(world.now()));
  if (room_ != dht::Room::ample) node_->set_room(room_, clock_.read(world.now()));
  schedule_scrub();
  pump();
}

void SimNode::set_disk_speed(DiskSpeed speed) {
  disk_.set_speed(speed);
  disk_slow_ = speed.sync_low > cluster_.options().disk.sync_high;
  unfit_since_ = cluster_.world().now();
}

void SimNode::set_starved(bool starved) {
  starved_ = starved;
  unfit_since_ = cluster_.world().now();
}

void SimNode::stop() {
  node_.reset();
  frozen_ = false;
  ++freeze_;
  while_frozen_.clear();
  steps_left_.reset();
  writes_taken_ = writes_durable_ = 0;
  held_.clear();
  acknowledged_.clear();
  tick_at_ = never;
  ++tick_;
}

void SimNode::kill() {
  if (!running()) return;
  World& world = cluster_.world();
  world.trace("kill", index_);
  world.count("fault: kill");
  disk_.process_stopped();
  stop();
  close_connections();
}

void SimNode::fail_sync() {
  if (!running()) return;
  cluster_.world().trace("sync fails", index_);
  disk_.power_lost();
  stop();
  close_connections();
}

void SimNode::close_connections() {
  World& world = cluster_.world();
  std::map<dht::OperationId, Waiting> waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& [id, operation] : waiting) {
    if (operation.reply && world.chance(0.8)) {
      operation.reply(tl::unexpected(dht::OperationFailure{{ErrorCode::unreachable, "connection closed"}, {}}),
                      Stamp{});
    }
  }
  cluster_.connections_closed(index_);
}

void SimNode::lose_power() {
  World& world = cluster_.world();
  world.trace("power lost", index_, running() ? 1 : 0);
  // A machine whose process is down already can only lose what was not synced: no crash.
  world.count(running() ? "fault: power loss" : "fault: power loss while down");
  disk_.power_lost();
  if (running()) stop();
  waiting_.clear();
  clock_.reboot(world.now(), TimePoint(world.between(std::chrono::seconds(2), std::chrono::seconds(200))));
}

bool SimNode::freeze(Duration length) {
  if (!running() || frozen_) return false;
  World& world = cluster_.world();
  world.trace("freeze", index_, static_cast<std::uint64_t>(length.count()));
  frozen_ = true;
  world.after(length, [this, freeze = ++freeze_] {
    if (freeze != freeze_) return;
    frozen_ = false;
    cluster_.world().trace("thaw", index_, while_frozen_.size());
    std::vector<std::function<void(dht::Node&, Clock)>> events = std::move(while_frozen_);
    while_frozen_.clear();
    std::uint64_t run = run_;
    for (const auto& event : events) {
      if (run != run_ || !running()) return;
      happen(event);
    }
  });
  return true;
}

void SimNode::set_room(dht::Room room) {
  room_ = room;
  happen([room](dht::Node& node, Clock clock) { node.set_room(room, clock); });
}

void SimNode::mark_damaged(PartitionId partition, dht::Damage damage) {
  happen([partition, damage](dht::Node& node, Clock clock) { node.mark_damaged(partition, damage, clock); });
}

void SimNode::lose_rows(LostRows lost) {
  disk_.lose(std::move(lost));
  schedule_scrub();
}

void SimNode::lose_group(const LostGroup& lost) {
  RINGFS_CHECK(!running());
  if (lost.hard_state) cluster_.invariants().on_hard_state_lost(id_, lost.partition);
  disk_.lose(lost);
}

bool SimNode::is_damaged(PartitionId partition) const {
  auto group = live_disk().groups.find(partition);
  if (group == live_disk().groups.end()) return false;
  if (group->second.damage != dht::Damage::none || group->second.rows.any_rotten()) return true;
  if (!running()) return false;
  const dht::NodeStatus now = status();
  return std::any_of(now.groups.begin(), now.groups.end(),
                     [&](const dht::GroupStatus& one) { return one.partition == partition && one.damaged; });
}

// What the store's background check is for the daemon (nodes/store/repair/scrub).
void SimNode::schedule_scrub() {
  if (!running() || disk_.groups_with_lost_rows().empty()) return;
  World& world = cluster_.world();
  world.after(world.between(std::chrono::milliseconds(100), std::chrono::seconds(10)), [this, run = run_] {
    if (run != run_) return;
    for (const PartitionId partition : disk_.groups_with_lost_rows()) {
      cluster_.world().count("fault: lost rows found by the check");
      mark_damaged(partition, dht::Damage::rows);
    }
  });
}

void SimNode::happen(std::function<void(dht::Node&, Clock)> event) {
  if (!running()) return;
  if (frozen_) {
    while_frozen_.push_back(std::move(event));
    return;
  }
  std::uint64_t run = run_;
  event(*node_, clock_.read(cluster_.world().now()));
  if (run == run_ && running()) pump();
}

void SimNode::receive(std::shared_ptr<const dht::Envelope> envelope) {
  happen([this, envelope](dht::Node& node, Clock clock) {
    Subject subject = subject_of(envelope->message);
    cluster_.world().trace(receive_names[envelope->message.index()], index_, subject.partition, subject.term,
                           subject.index);
    node.receive(*envelope, clock);
  });
}

void SimNode::peer_disconnected(const Uuid& peer) {
  happen([peer](dht::Node& node, Clock clock) { node.peer_disconnected(peer, clock); });
}

void SimNode::submit(dht::Operation operation, ReplyFunction reply) {
  if (!running()) return;
  dht::OperationId id = next_operation_++;
  Waiting waiting{std::move(reply), std::nullopt, false, 0};
  if (const auto* read = std::get_if<dht::ReadOperation>(&operation)) {
    waiting.partition = read->partition;
    waiting.read = true;
    waiting.committed_term = cluster_.invariants().highest_term(read->partition);
  } else if (const auto* commit = std::get_if<dht::CommitOperation>(&operation)) {
    waiting.partition = commit->partition;
  }
  waiting_[id] = std::move(waiting);
  happen([this, id, operation = std::move(operation)](dht::Node& node, Clock clock) {
    cluster_.world().trace("submit", index_, id, operation.index());
    node.submit(id, operation, clock);
  });
}

Duration SimNode::ring_time_error() const {
  const TimePoint now = cluster_.world().now();
  return node_->ring_time(clock_.local(now)) - true_time(now);
}

bool SimNode::step() {
  if (!steps_left_) return true;
  if (*steps_left_ > 0) {
    --*steps_left_;
    return true;
  }
  cluster_.world().count("fault: kill between effects");
  kill();
  return false;
}

void SimNode::pump() {
  if (!step()) return;
  carry_out(node_->take_effects());
}

void SimNode::carry_out(dht::Effects effects) {
  std::uint64_t run = run_;
  for (dht::Envelope& message : effects.messages) {
    send(std::make_shared<const dht::Envelope>(std::move(message)));
    if (!step()) return;
  }
  if (!effects.write.empty()) write(std::move(effects.write));
  if (!step()) return;
  if (!effects.messages_after_write.empty()) {
    std::vector<std::shared_ptr<const dht::Envelope>> messages;
    for (dht::Envelope& message : effects.messages_after_write)
      messages.push_back(std::make_shared<const dht::Envelope>(std::move(message)));
    if (writes_durable_ == writes_taken_) {
      for (const auto& message : messages) {
        send(message);
        if (!step()) return;
      }
    } else {
      held_.push_back({writes_taken_, std::move(messages)});
    }
  }
  start_storage_effects(effects);
  for (const dht::Reply& reply : effects.replies) {
    if (!step()) return;
    answer(reply);
    if (run != run_ || !running()) return;
  }
  for (const dht::Event& event : effects.events) {
    cluster_.world().trace("event", index_, checksum(event.name), checksum(event.detail));
    cluster_.world().count("event: " + event.name);
    const std::string_view subject = "partition=";
    if (event.name == "replica_added" && event.detail.starts_with(subject)) {
      echo_former_life(PartitionId{static_cast<std::uint32_t>(std::stoul(event.detail.substr(subject.size())))});
    }
  }
  schedule_tick(effects.deadline);
}

void SimNode::write(dht::Write write) {
  if (write.id <= last_write_ && writes_taken_ > 0) {
    cluster_.world().violate("effects contract", "write ids do not rise at " + id_.text());
  }
  last_write_ = write.id;
  std::uint64_t number = ++writes_taken_;
  cluster_.world().trace("write", index_, write.id, write.groups.size());
  dht::EffectId id = write.id;
  for (const dht::GroupWrite& group : write.groups)
    cluster_.invariants().on_entries_made(group.partition, group.append);
  disk_.write(std::move(write), [this, number, id] {
    // Frozen: the write is durable, but the process hears of it later; so do the messages that wait for it.
    happen([this, number, id](dht::Node& node, Clock clock) {
      writes_durable_ = number;
      while (!held_.empty() && held_.front().write <= writes_durable_) {
        std::vector<std::shared_ptr<const dht::Envelope>> messages = std::move(held_.front().messages);
        held_.pop_front();
        for (const auto& message : messages) {
          send(message);
          if (!step()) return;
        }
      }
      node.written(id, clock);
    });
  });
}

void SimNode::start_storage_effects(dht::Effects& effects) {
  for (const dht::Apply& apply : effects.applies) {
    disk_.apply(apply, [this, apply](Result<std::vector<dht::AppliedBatch>> results) {
      happen([apply, results = std::move(results)](dht::Node& node, Clock clock) {
        if (results)
          node.applied(apply.partition, apply.through, *results, clock);
        else
          node.apply_failed(apply.partition, apply.through, dht::Damage::rows, clock);
      });
    });
  }
  for (dht::ReadEffect& read : effects.reads) {
    disk_.read(std::move(read), [this, id = read.id](Result<dht::ReadAnswer> answer) {
      happen([id, answer = std::move(answer)](dht::Node& node, Clock clock) { node.read_done(id, answer, clock); });
    });
  }
  for (const dht::LoadEntries& load : effects.loads) {
    cluster_.world().count("raft: entries read back from disk");
    disk_.load(load, [this, id = load.id](Result<std::vector<dht::Entry>> entries) {
      happen([id, entries = std::move(entries)](dht::Node& node, Clock clock) { node.loaded(id, entries, clock); });
    });
  }
  for (const dht::SnapshotRead& read : effects.snapshot_reads) {
    disk_.snapshot_read(read, [this, id = read.id](Result<dht::SnapshotData> data) {
      happen([id, data = std::move(data)](dht::Node& node, Clock clock) { node.snapshot_read(id, data, clock); });
    });
  }
  // Stopped between reading the rows and looking at the lease.
  if (freeze_in_read_ && !effects.reads.empty() && freeze(*std::exchange(freeze_in_read_, std::nullopt))) {
    cluster_.world().count("fault: freeze in a read");
  }
}

void SimNode::send(std::shared_ptr<const dht::Envelope> envelope) {
  Subject subject = subject_of(envelope->message);
  cluster_.world().trace(send_names[envelope->message.index()], index_, subject.partition, subject.term, subject.index);
  cluster_.invariants().on_send(*envelope, disk_.durable());
  check_hung_disk(*envelope);
  const auto* reply = std::get_if<dht::AppendReply>(&envelope->message);
  if (reply != nullptr && reply->success && cluster_.options().former_lives_echo)
    acknowledged_[reply->raft.partition] = envelope;
  cluster_.send(index_, std::move(envelope));
}

// A node that knows that its disk hangs neither asks for votes nor gives any, and nobody makes it lead who can know it,
// too.
void SimNode::check_hung_disk(const dht::Envelope& envelope) {
  const auto* vote = std::get_if<dht::VoteReply>(&envelope.message);
  if (std::holds_alternative<dht::RequestVote>(envelope.message) || (vote != nullptr && vote->granted)) {
    if (disk_hangs() && status().disk_stalled >= dht::disk_timeout) {
      cluster_.world().violate("a hung disk has no part in elections",
                               "node " + std::to_string(index_) + " asks for a vote or gives one");
    }
  } else if (std::holds_alternative<dht::TimeoutNow>(envelope.message)) {
    SimNode& target = *cluster_.find(envelope.header.destination);
    const bool alert = !starved() && !target.starved() && target.running() && !target.frozen();
    if (alert && target.disk_hangs() && target.status().disk_stalled >= hang_known_bound) {
      cluster_.world().violate(
          "nobody hands over to a hung disk",
          "node " + std::to_string(index_) + " hands over to node " + std::to_string(target.index()));
    }
  }
}

// The network has copied its last acknowledgement of the life before, and is slow.
void SimNode::echo_former_life(PartitionId partition) {
  auto former = acknowledged_.find(partition);
  if (former == acknowledged_.end()) return;
  cluster_.world().count("fault: former life echoes");
  for (const Duration late : echoes) {
    cluster_.world().after(late, [this, run = run_, echo = former->second] {
      if (run == run_) cluster_.send(index_, echo);
    });
  }
  acknowledged_.erase(former);
}

void SimNode::schedule_tick(TimePoint deadline) {
  if (deadline == tick_at_) return;
  tick_at_ = deadline;
  std::uint64_t tick = ++tick_;
  if (deadline == never) return;
  World& world = cluster_.world();
  TimePoint when = std::max(clock_.world_time(deadline), world.now()) + world.between(Duration(1), timer_lateness);
  world.at(when, [this, tick] {
    if (tick != tick_) return;
    tick_at_ = never;
    happen([](dht::Node& node, Clock clock) { node.tick(clock); });
  });
}

void SimNode::answer(const dht::Reply& reply) {
  auto found = waiting_.find(reply.operation);
  if (found == waiting_.end()) return;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  World& world = cluster_.world();
  world.trace("answer", index_, reply.operation, reply.result ? 1 : 0);
  if (reply.result && waiting.partition) {
    if (waiting.read) {
      if (const auto* read = std::get_if<dht::ReadAnswer>(&*reply.result)) {
        check_read(waiting, *read);
      }
    } else if (const auto* batch = std::get_if<BatchResult>(&*reply.result)) {
      cluster_.invariants().on_commit_reply(*waiting.partition, *batch);
    }
  }
  if (waiting.reply) waiting.reply(reply.result, node_->ring_time(clock_.local(world.now())));
}

void SimNode::check_read(const Waiting& waiting, const dht::ReadAnswer& answer) {
  // Without a lease (ReadIndex) a quorum agreed some time after the read came; another leader may have followed since.
  dht::Term committed_term = waiting.committed_term;
  bool under_lease = false;
  for (const dht::GroupStatus& group : status().groups) {
    if (group.partition != *waiting.partition || !group.lease) continue;
    committed_term = cluster_.invariants().highest_term(group.partition);
    under_lease = true;
  }
  cluster_.world().count(under_lease ? "raft: read under a lease" : "raft: read by ReadIndex");
  cluster_.invariants().on_read_reply(id_, *waiting.partition, answer, committed_term, disk_.live());
}

dht::NodeStatus SimNode::status() const { return node_->status(clock_.read(cluster_.world().now())); }

void SimNode::on_configuration(PartitionId partition, dht::LogIndex index, const dht::Configuration& configuration) {
  cluster_.invariants().on_committed_configuration(id_, partition, index, configuration);
}

void SimNode::on_reset(PartitionId partition, std::optional<dht::LogIndex> had_data, const dht::ReplicaReset& reset) {
  cluster_.world().trace("replica reset", index_, index_of(partition), reset.added, had_data ? 1 : 0);
  cluster_.invariants().on_reset(id_, partition, had_data);
}

void SimNode::on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) {
  cluster_.invariants().on_append(partition, previous_term, entry);
}

void SimNode::on_hard_state(PartitionId partition, const dht::HardState& before, const dht::HardState& after) {
  cluster_.world().trace("hard state", index_, index_of(partition), after.term);
  cluster_.invariants().on_hard_state(id_, partition, before, after);
}

void SimNode::on_applied(PartitionId partition, const AppliedEntry& applied) {
  cluster_.world().trace("applied", index_, index_of(partition), applied.entry->index, applied.state_hash);
  cluster_.invariants().on_applied(id_, partition, applied);
}

void SimNode::on_installed(PartitionId partition, dht::LogIndex added, dht::LogIndex index, dht::Term term,
                           std::uint64_t state_hash) {
  cluster_.world().trace("installed", index_, index_of(partition), index);
  cluster_.world().count("raft: snapshot installed");
  cluster_.invariants().on_installed({id_, added}, partition, index, term, state_hash);
}

}  // namespace ringfs::sim
