// One node process in the simulated world: drives a Node as the daemon does, with a simulated disk, network and clock.
//
// It can be killed between any two steps of carrying out effects, lose its power, be frozen and restarted; it keeps
// what its disk kept. Messages wait for writes as in production (dht/net/runtime/held_messages.hpp). Threads: one,
// virtual.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/core/node/node.hpp"
#include "dht/net/runtime/held_messages.hpp"
#include "tests/sim/machines/disk_reporter.hpp"
#include "tests/sim/machines/sim_clock.hpp"
#include "tests/sim/machines/sim_disk.hpp"
#include "tests/sim/machines/sim_replies.hpp"
#include "tests/sim/machines/sim_sender.hpp"

namespace ringfs::sim {

class Cluster;

// What is to happen to a process at one of its next steps.
struct Ambush {
  std::optional<unsigned> kill_after_steps;  // it is killed when it has carried out that many more
  std::optional<Duration> freeze_in_read;    // frozen between reading rows and looking at the lease
};

class SimNode {
 public:
  using ReplyFunction = SimReplies::ReplyFunction;

  SimNode(Cluster& cluster, unsigned index, Uuid id, dht::NodeOptions options, DiskSpeed speed, DiskFaults faults);

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
  Ambush& ambush() { return ambush_; }
  bool freeze(Duration length);  // false: it is down, or frozen already
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
  bool disk_slow() const { return disk_slow_; }  // much slower than those of the others
  // Too little processor time: the caller freezes it again and again.
  void set_starved(bool starved);
  bool starved() const { return starved_; }
  TimePoint unfit_since() const {
    return std::max(unfit_since_, running_since_);
  }  // its disk is slow, or it is starved
  TimePoint running_since() const { return running_since_; }
  SimDisk& disk() { return disk_; }
  SimClock& clock() { return clock_; }

  void receive(std::shared_ptr<const dht::Envelope> envelope);
  void peer_disconnected(const Uuid& peer);
  // reply may be empty. Refused connections are the caller's business (running()).
  void submit(dht::Operation operation, ReplyFunction reply);
  void released(const dht::Release& release);

  const DiskState& live_disk() const { return disk_.live(); }
  const DiskState& durable_disk() const { return disk_.durable(); }
  dht::NodeStatus status() const;
  const dht::MembersTable& table() const { return node_->table(); }
  // What it takes for the ring's time less the true one.
  Duration ring_time_error() const;

 private:
  using Input = std::function<void(dht::Node&, Clock)>;

  // Everything that happens to the process goes through here, so that a frozen one gets it late and a dead one never.
  void happen(Input input);
  void tick();
  void carry_out();
  bool step();                                     // false: the process was killed at this boundary
  bool send(std::vector<dht::Envelope> messages);  // likewise
  void write(dht::Write write);
  void start_storage_effects(dht::Effects& effects);
  void answer(const std::vector<dht::Reply>& replies);
  void note(const dht::Event& event);
  void schedule_scrub();
  void stop();

  Cluster& cluster_;
  const unsigned index_;
  const Uuid id_;
  const dht::NodeOptions options_;
  SimClock clock_;
  DiskReporter reporter_;
  SimDisk disk_;
  SimSender sender_;
  SimReplies replies_;
  SimTimer timer_;
  std::unique_ptr<dht::Node> node_;
  std::uint64_t run_ = 0;  // of the process
  bool frozen_ = false;
  std::uint64_t freeze_ = 0;
  std::vector<Input> while_frozen_;
  bool tick_while_frozen_ = false;
  Ambush ambush_;
  bool disk_slow_ = false;
  bool starved_ = false;
  TimePoint unfit_since_{};
  TimePoint running_since_{};
  dht::Room room_ = dht::Room::ample;
  dht::HeldMessages held_;
};

}  // namespace ringfs::sim
