// A simulated process: starts, ends and freezes, and carries out the effects of its node step by step.
#include "tests/sim/machines/sim_node.hpp"

#include <algorithm>

#include "dht/base/hash.hpp"
#include "tests/sim/machines/cluster.hpp"
#include "tests/sim/machines/message_trace.hpp"

namespace ringfs::sim {

SimNode::SimNode(Cluster& cluster, unsigned index, Uuid id, dht::NodeOptions options, DiskSpeed speed,
                 DiskFaults faults)
    : cluster_(cluster),
      index_(index),
      id_(id),
      options_(std::move(options)),
      reporter_(cluster.world(), cluster.invariants(), index, id),
      disk_(cluster.world(), id, speed, faults, reporter_),
      sender_(cluster, *this),
      replies_(cluster, *this),
      timer_(cluster.world()) {
  disk_.set_spared([this](PartitionId partition) { return cluster_.can_spare(partition, id_); });
}

void SimNode::start() {
  RINGFS_CHECK(!running());
  World& world = cluster_.world();
  ++run_;
  sender_.start();
  running_since_ = world.now();
  dht::PersistedNode persisted = disk_.start();
  cluster_.invariants().on_start(id_, disk_.durable());
  world.trace("start", index_, persisted.incarnation.counter, persisted.groups.size());
  world.count("node start");
  node_ = std::make_unique<dht::Node>(options_, std::move(persisted), world.random(), clock_.read(world.now()));
  if (room_ != dht::Room::ample) node_->set_room(room_, clock_.read(world.now()));
  schedule_scrub();
  carry_out();
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
  tick_while_frozen_ = false;
  ambush_.kill_after_steps.reset();
  held_ = {};
  timer_.stop();
}

void SimNode::kill() {
  if (!running()) return;
  World& world = cluster_.world();
  world.trace("kill", index_);
  world.count("fault: kill");
  disk_.process_stopped();
  stop();
  replies_.close();
  cluster_.connections_closed(index_);
}

void SimNode::fail_sync() {
  if (!running()) return;
  cluster_.world().trace("sync fails", index_);
  disk_.power_lost();
  stop();
  replies_.close();
  cluster_.connections_closed(index_);
}

void SimNode::lose_power() {
  World& world = cluster_.world();
  world.trace("power lost", index_, running() ? 1 : 0);
  // A machine whose process is down already can only lose what was not synced: no crash.
  world.count(running() ? "fault: power loss" : "fault: power loss while down");
  disk_.power_lost();
  if (running()) stop();
  replies_.clear();
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
    const std::vector<Input> inputs = std::exchange(while_frozen_, {});
    std::uint64_t run = run_;
    if (std::exchange(tick_while_frozen_, false)) tick();
    for (const Input& input : inputs) {
      if (run != run_ || !running()) return;
      happen(input);
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

void SimNode::happen(Input input) {
  if (!running()) return;
  if (frozen_) {
    while_frozen_.push_back(std::move(input));
    return;
  }
  std::uint64_t run = run_;
  input(*node_, clock_.read(cluster_.world().now()));
  if (run == run_ && running()) carry_out();
}

// A process that was stopped sees first how late it is, as in production (Driver::turn).
void SimNode::tick() {
  if (frozen_)
    tick_while_frozen_ = true;
  else
    happen([](dht::Node& node, Clock clock) { node.tick(clock); });
}

void SimNode::receive(std::shared_ptr<const dht::Envelope> envelope) {
  happen([this, envelope](dht::Node& node, Clock clock) {
    trace_message(cluster_.world(), Direction::receive, index_, envelope->message);
    node.receive(*envelope, clock);
  });
}

void SimNode::peer_disconnected(const Uuid& peer) {
  happen([peer](dht::Node& node, Clock clock) { node.peer_disconnected(peer, clock); });
}

void SimNode::submit(dht::Operation operation, ReplyFunction reply) {
  if (!running()) return;
  const dht::OperationId id = replies_.add(operation, std::move(reply));
  happen([this, id, operation = std::move(operation)](dht::Node& node, Clock clock) {
    cluster_.world().trace("submit", index_, id, operation.index());
    node.submit(id, operation, clock);
  });
}

void SimNode::released(const dht::Release& release) {
  happen([release](dht::Node& node, Clock clock) { node.released(release, clock); });
}

Duration SimNode::ring_time_error() const {
  const TimePoint now = cluster_.world().now();
  return node_->ring_time(clock_.local(now)) - true_time(now);
}

dht::NodeStatus SimNode::status() const { return node_->status(clock_.read(cluster_.world().now())); }

// ---- Effects ---------------------------------------------------------------------------------------

bool SimNode::step() {
  if (!ambush_.kill_after_steps) return true;
  if (*ambush_.kill_after_steps > 0) {
    --*ambush_.kill_after_steps;
    return true;
  }
  cluster_.world().count("fault: kill between effects");
  kill();
  return false;
}

bool SimNode::send(std::vector<dht::Envelope> messages) {
  for (dht::Envelope& message : messages) {
    sender_.send(std::make_shared<const dht::Envelope>(std::move(message)));
    if (!step()) return false;
  }
  return true;
}

void SimNode::carry_out() {
  if (!step()) return;
  dht::Effects effects = node_->take_effects();
  const std::uint64_t run = run_;
  if (!send(std::move(effects.messages))) return;
  if (!effects.write.empty()) write(std::move(effects.write));
  if (!step()) return;
  if (!send(held_.after_write(std::move(effects.messages_after_write)))) return;
  start_storage_effects(effects);
  answer(effects.replies);
  if (run != run_ || !running()) return;
  for (const dht::Recall& recall : effects.recalls) cluster_.recall(index_, recall);
  for (const dht::Event& event : effects.events) note(event);
  timer_.set(effects.deadline, clock_, [this] { tick(); });
}

void SimNode::answer(const std::vector<dht::Reply>& replies) {
  const std::uint64_t run = run_;
  for (const dht::Reply& reply : replies) {
    if (!step()) return;
    replies_.answer(reply, node_->ring_time(clock_.local(cluster_.world().now())));
    if (run != run_ || !running()) return;
  }
}

void SimNode::note(const dht::Event& event) {
  cluster_.world().trace("event", index_, checksum(event.name), checksum(event.detail));
  cluster_.world().count("event: " + event.name);
  const std::string_view subject = "partition=";
  if (event.name == "replica_added" && event.detail.starts_with(subject)) {
    sender_.echo_former_life(PartitionId{static_cast<std::uint32_t>(std::stoul(event.detail.substr(subject.size())))});
  }
}

void SimNode::write(dht::Write write) {
  const dht::EffectId id = write.id;
  if (id <= held_.last_taken()) cluster_.world().violate("effects contract", "write ids do not rise at " + id_.text());
  held_.taken(id);
  cluster_.world().trace("write", index_, id, write.groups.size());
  for (const dht::GroupWrite& group : write.groups)
    cluster_.invariants().on_entries_made(group.partition, group.append);
  disk_.write(std::move(write), [this, id] {
    // Frozen: the write is durable, but the process hears of it later; so do the messages that wait for it.
    happen([this, id](dht::Node& node, Clock clock) {
      if (send(held_.durable(id))) node.written(id, clock);
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
  if (ambush_.freeze_in_read && !effects.reads.empty() &&
      freeze(*std::exchange(ambush_.freeze_in_read, std::nullopt))) {
    cluster_.world().count("fault: freeze in a read");
  }
}

}  // namespace ringfs::sim
