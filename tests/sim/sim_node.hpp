// One node process in the simulated world: drives a Node as the daemon does, with a simulated disk, network and clock.
//
// It can be killed between any two steps of carrying out effects, lose its power, be frozen and restarted; what it keeps is what its
// disk kept. Threads: one, virtual.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "dht/core/node.hpp"
#include "tests/sim/invariants.hpp"
#include "tests/sim/sim_disk.hpp"
#include "tests/sim/sim_network.hpp"

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
  using ReplyFunction = std::function<void(OperationResult, Stamp)>;

  SimNode(Cluster& cluster, unsigned index, Uuid id, NodeOptions options, DiskSpeed speed, DiskFaults faults);
  ~SimNode() override;

  unsigned index() const { return index_; }
  const Uuid& id() const { return id_; }
  const std::string& address() const { return options_.address; }
  bool running() const { return node_ != nullptr; }
  bool frozen() const { return frozen_; }

  void start();
  void kill();        // kill -9; peers and clients see the connection close
  void lose_power();  // nobody is told; what was not synced may be gone, the boot clock starts anew
  // A sync fails: the process gives up, and what was not synced may be gone (design 5.8).
  void fail_sync();
  // The process is killed when it has carried out that many more steps.
  void kill_after_steps(unsigned steps) { steps_left_ = steps; }
  void spare() {
    steps_left_.reset();
    freeze_in_read_.reset();
  }
  bool freeze(Duration length);  // false: it is down, or frozen already
  void freeze_in_next_read(Duration length) { freeze_in_read_ = length; }
  void set_room(Room room);
  Room room() const { return room_; }
  void take_out_of_service(PartitionId partition, Damage damage);
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
  TimePoint unfit_since() const { return std::max(unfit_since_, running_since_); }  // its disk is slow, or it is starved
  TimePoint running_since() const { return running_since_; }
  void set_disk_unreadable(bool unreadable) { disk_.set_unreadable(unreadable); }
  SimClock& clock() { return clock_; }

  void receive(std::shared_ptr<const Envelope> envelope);
  void peer_disconnected(const Uuid& peer);
  // reply may be empty. Refused connections are the caller's business (running()).
  void submit(Operation operation, ReplyFunction reply);

  const DiskState& live_disk() const { return disk_.live(); }
  const DiskState& durable_disk() const { return disk_.durable(); }
  NodeStatus status() const;
  const MembersTable& table() const { return node_->table(); }
  // What it takes for the ring's time less the true one.
  Duration ring_time_error() const;

 private:
  struct Waiting {  // an operation whose answer is wanted
    ReplyFunction reply;
    std::optional<PartitionId> partition;
    bool read = false;
    Term committed_term = 0;  // the highest one when it came
  };
  struct Held {  // messages that wait for a write
    std::uint64_t write = 0;
    std::vector<std::shared_ptr<const Envelope>> messages;
  };

  // Everything that happens to the process goes through here, so that a frozen one gets it late and a dead one never.
  void happen(std::function<void(Node&, Clock)> event);
  void pump();
  bool step();  // false: the process was killed at this boundary
  void carry_out(Effects effects);
  void write(Write write);
  void start_storage_effects(Effects& effects);
  void send(std::shared_ptr<const Envelope> envelope);
  void check_hung_disk(const Envelope& envelope);
  void echo_former_life(PartitionId partition);
  void schedule_tick(TimePoint deadline);
  void schedule_scrub();
  void answer(const Reply& reply);
  void check_read(const Waiting& waiting, const ReadAnswer& answer);
  void close_connections();
  void stop();

  void on_configuration(PartitionId partition, LogIndex index, const Configuration& configuration) override;
  void on_reset(PartitionId partition, std::optional<LogIndex> had_data, const ReplicaReset& reset) override;
  void on_append(PartitionId partition, Term previous_term, const Entry& entry) override;
  void on_hard_state(PartitionId partition, const HardState& before, const HardState& after) override;
  void on_applied(PartitionId partition, const AppliedEntry& applied) override;
  void on_installed(PartitionId partition, LogIndex added, LogIndex index, Term term, std::uint64_t state_hash) override;

  Cluster& cluster_;
  const unsigned index_;
  const Uuid id_;
  const NodeOptions options_;
  SimClock clock_;
  SimDisk disk_;
  std::unique_ptr<Node> node_;
  std::uint64_t run_ = 0;  // of the process
  bool frozen_ = false;
  std::uint64_t freeze_ = 0;
  std::vector<std::function<void(Node&, Clock)>> while_frozen_;
  std::optional<Duration> freeze_in_read_;
  std::optional<unsigned> steps_left_;
  bool disk_slow_ = false;
  bool starved_ = false;
  TimePoint unfit_since_{};
  TimePoint running_since_{};
  Room room_ = Room::ample;

  std::uint64_t writes_taken_ = 0, writes_durable_ = 0;
  EffectId last_write_ = 0;
  std::deque<Held> held_;
  std::map<PartitionId, std::shared_ptr<const Envelope>> acknowledged_;  // the last of each replica, for echoes
  OperationId next_operation_ = 1;
  std::map<OperationId, Waiting> waiting_;
  TimePoint tick_at_ = never;
  std::uint64_t tick_ = 0;
};

}  // namespace ringfs::sim
