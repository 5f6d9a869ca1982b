// One node process in the simulated world: drives a Node as the daemon does, with a simulated disk, network and clock.
//
// It can be killed between any two steps of carrying out effects, lose its power, be frozen and restarted; what it
// keeps is what its disk kept. Threads: one, virtual.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "dht/core/node/node.hpp"
#include "tests/sim/checks/invariants.hpp"
#include "tests/sim/machines/sim_disk.hpp"
#include "tests/sim/machines/sim_network.hpp"

namespace ringfs::sim {

class Cluster;

// A machine's clocks: BOOTTIME runs a little fast or slow, the wall clock may jump.
class SimClock {
 public:
  Clock read(TimePoint world_now) const { return {local(world_now), wall(world_now)}; }
  TimePoint local(TimePoint world_now) const;
  TimePoint world_time(TimePoint local_time) const;
  Stamp wall(TimePoint world_now) const;
  void set_drift(TimePoint world_now, std::int64_t parts_per_million);
  void jump_wall(Duration by) { wall_offset_ += by; }
  void set_wall_error(Duration error) { wall_offset_ = error; }
  // As if the machine had been suspended for so long.
  void suspend(Duration length) { local_base_ += length; }
  void set_wall_right() { wall_offset_ = Duration(0); }
  void reboot(TimePoint world_now, TimePoint local_now);

 private:
  TimePoint world_base_{};
  TimePoint local_base_{std::chrono::hours(1)};
  std::int64_t drift_ = 0;
  Duration wall_offset_{0};
};

Stamp true_time(TimePoint world_now);

class SimNode : private DiskWatcher {
 public:
  using ReplyFunction = std::function<void(dht::OperationResult, Stamp)>;

  SimNode(Cluster& cluster, unsigned index, Uuid id, dht::NodeOptions options, DiskSpeed speed, DiskFaults faults);
  ~SimNode() override;

  unsigned index() const { return index_; }
  const Uuid& id() const { return id_; }
  const std::string& address() const { return options_.address; }
  bool running() const { return node_ != nullptr; }
  bool frozen() const { return frozen_; }

  void start();
  void kill();        // kill -9; peers and clients see the connection close
  void lose_power();  // nobody is told; what was not synced may be gone, the boot clock starts anew
  // A sync fails: the process gives up, and what was not synced may be gone (docs/design.md#failed-writes).
  void fail_sync();
  // The process is killed when it has carried out that many more steps.
  void kill_after_steps(unsigned steps) { steps_left_ = steps; }
  void spare() {
    steps_left_.reset();
    freeze_in_read_.reset();
  }
  bool freeze(Duration length);  // false: it is down, or frozen already
  void freeze_in_next_read(Duration length) { freeze_in_read_ = length; }
  void set_room(dht::Room room);
  dht::Room room() const { return room_; }
  void mark_damaged(PartitionId partition, dht::Damage damage);
  // The disk loses them; whoever reads all of it in the background finds that out some time later.
  void lose_rows(LostRows lost);
  // ... loses a group's state or the end of its log; the process must be down.
  void lose_group(const LostGroup& lost);
  // Whether something here, known or not, is wrong with its replica of the partition.
  bool is_damaged(PartitionId partition) const;
  void set_disk_speed(DiskSpeed speed);
  void set_disk_hangs(bool hangs, bool reads) { disk_.set_hangs(hangs, reads); }
  bool disk_hangs() const { return disk_.hangs(); }
  bool disk_slow() const { return disk_slow_; }  // much slower than those of the others
  // Whoever says so freezes it again and again.
  void set_starved(bool starved);
  bool starved() const { return starved_; }
  TimePoint unfit_since() const {
    return std::max(unfit_since_, running_since_);
  }  // its disk is slow, or it is starved
  TimePoint running_since() const { return running_since_; }
  void set_disk_unreadable(bool unreadable) { disk_.set_unreadable(unreadable); }
  SimClock& clock() { return clock_; }

  void receive(std::shared_ptr<const dht::Envelope> envelope);
  void peer_disconnected(const Uuid& peer);
  // reply may be empty. Refused connections are the caller's business (running()).
  void submit(dht::Operation operation, ReplyFunction reply);

  const DiskState& live_disk() const { return disk_.live(); }
  const DiskState& durable_disk() const { return disk_.durable(); }
  dht::NodeStatus status() const;
  const dht::MembersTable& table() const { return node_->table(); }
  // What it takes for the ring's time less the true one.
  Duration ring_time_error() const;

 private:
  struct Waiting {  // an operation whose answer is wanted
    ReplyFunction reply;
    std::optional<PartitionId> partition;
    bool read = false;
    dht::Term committed_term = 0;  // the highest one when it came
  };
  struct Held {  // messages that wait for a write
    std::uint64_t write = 0;
    std::vector<std::shared_ptr<const dht::Envelope>> messages;
  };

  // Everything that happens to the process goes through here, so that a frozen one gets it late and a dead one never.
  void happen(std::function<void(dht::Node&, Clock)> event);
  void pump();
  bool step();  // false: the process was killed at this boundary
  void carry_out(dht::Effects effects);
  void write(dht::Write write);
  void start_storage_effects(dht::Effects& effects);
  void send(std::shared_ptr<const dht::Envelope> envelope);
  void check_hung_disk(const dht::Envelope& envelope);
  void echo_former_life(PartitionId partition);
  void schedule_tick(TimePoint deadline);
  void schedule_scrub();
  void answer(const dht::Reply& reply);
  void check_read(const Waiting& waiting, const dht::ReadAnswer& answer);
  void close_connections();
  void stop();

  void on_configuration(PartitionId partition, dht::LogIndex index, const dht::Configuration& configuration) override;
  void on_reset(PartitionId partition, std::optional<dht::LogIndex> had_data, const dht::ReplicaReset& reset) override;
  void on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) override;
  void on_hard_state(PartitionId partition, const dht::HardState& before, const dht::HardState& after) override;
  void on_applied(PartitionId partition, const AppliedEntry& applied) override;
  void on_installed(PartitionId partition, dht::LogIndex added, dht::LogIndex index, dht::Term term,
                    std::uint64_t state_hash) override;

  Cluster& cluster_;
  const unsigned index_;
  const Uuid id_;
  const dht::NodeOptions options_;
  SimClock clock_;
  SimDisk disk_;
  std::unique_ptr<dht::Node> node_;
  std::uint64_t run_ = 0;  // of the process
  bool frozen_ = false;
  std::uint64_t freeze_ = 0;
  std::vector<std::function<void(dht::Node&, Clock)>> while_frozen_;
  std::optional<Duration> freeze_in_read_;
  std::optional<unsigned> steps_left_;
  bool disk_slow_ = false;
  bool starved_ = false;
  TimePoint unfit_since_{};
  TimePoint running_since_{};
  dht::Room room_ = dht::Room::ample;

  std::uint64_t writes_taken_ = 0, writes_durable_ = 0;
  dht::EffectId last_write_ = 0;
  std::deque<Held> held_;
  std::map<PartitionId, std::shared_ptr<const dht::Envelope>> acknowledged_;  // the last of each replica, for echoes
  dht::OperationId next_operation_ = 1;
  std::map<dht::OperationId, Waiting> waiting_;
  TimePoint tick_at_ = never;
  std::uint64_t tick_ = 0;
};

}  // namespace ringfs::sim
