// One node's disk in virtual time, with the guarantees of the real store (dht/core/protocol/effects.hpp).
//
// Two states: what the process handed to the operating system (it survives kill -9), and what is durable. Writes and
// applies are carried out one after the other; a sync makes everything before it durable and ends the writes that
// waited for it. A power loss keeps a random prefix of what was handed over since the last sync. Threads: one, virtual.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "tests/sim/machines/disk_state.hpp"
#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

struct DiskSpeed {
  Duration step_low{5}, step_high{60};      // to carry out one write, apply or read
  Duration sync_low{100}, sync_high{3000};  // one fsync
  double stall_probability = 0;             // of a sync that takes stall_low..stall_high instead
  Duration stall_low{200000}, stall_high{2500000};
};

class SimDisk {
 public:
  SimDisk(World& world, Uuid self, DiskSpeed speed, DiskFaults faults, DiskWatcher& watcher);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  // What the process asks. Nothing is answered any more after process_stopped() or power_lost().
  void write(dht::Write write, std::function<void()> done);
  void apply(dht::Apply apply, std::function<void(Result<std::vector<dht::AppliedBatch>>)> done);
  void read(dht::ReadEffect read, std::function<void(Result<dht::ReadAnswer>)> done);
  void load(dht::LoadEntries load, std::function<void(Result<std::vector<dht::Entry>>)> done);
  void snapshot_read(dht::SnapshotRead read, std::function<void(Result<dht::SnapshotData>)> done);

  void process_stopped();  // kill -9: what was handed over stays
  void power_lost();       // a random suffix of what is not durable goes
  // A start of the process: raises the incarnation (durable at once) and returns everything.
  dht::PersistedNode start();

  void set_speed(DiskSpeed speed) { speed_ = speed; }
  // The next entries or rows that a follower is to get from here cannot be read (a bad checksum, say), if `spared` says
  // that the others of the group can do without this replica.
  void set_unreadable(bool unreadable) { unreadable_ = unreadable; }
  // The sync that is under way and all that follow end when it is over; with `reads` the reads, too.
  void set_hangs(bool hangs, bool reads);
  bool hangs() const { return hangs_; }
  void set_spared(std::function<bool(PartitionId)> spared) { spared_ = std::move(spared); }
  // Damage. Of a group: only while the process is down.
  void lose(LostRows lost);
  void lose(const LostGroup& lost);
  // Groups with rows that are lost, as a check of everything would find; none when nothing would notice it.
  std::vector<PartitionId> groups_with_lost_rows() const;
  const DiskState& live() const { return live_; }
  const DiskState& durable() const { return durable_; }

 private:
  struct Job {
    std::variant<dht::Write, dht::Apply> work;
    std::function<void()> written;
    std::function<void(Result<std::vector<dht::AppliedBatch>>)> applied;
  };
  struct OpenSnapshot {
    std::vector<dht::SnapshotData> chunks;
    TimePoint used;
  };
  void run_next();
  void sync();
  void synced();
  void read_soon(std::function<void()> action);
  void report(const std::string& wrong);
  // Runs `action` after a moment unless the process stopped meanwhile.
  void soon(Duration delay, std::function<void()> action);
  using Work = std::variant<dht::Write, dht::Apply, LostRows>;
  void perform_durable(const Work& work);
  void flush();
  bool fails_to_read(PartitionId partition);

  World& world_;
  const Uuid self_;
  DiskSpeed speed_;
  const DiskFaults faults_;
  DiskWatcher& watcher_;
  DiskState live_;
  DiskState durable_;
  std::deque<Work> unsynced_;  // carried out on live_, not yet on durable_
  std::deque<Job> queue_;
  std::vector<std::function<void()>> waiting_for_sync_;
  std::size_t syncing_ = 0;  // how many of unsynced_ the sync in progress covers
  bool busy_ = false;
  bool unreadable_ = false;
  bool hangs_ = false, reads_hang_ = false;
  bool sync_stuck_ = false;  // it would be over but for hangs_
  std::vector<std::function<void()>> stuck_reads_;
  std::function<bool(PartitionId)> spared_;
  unsigned since_sync_ = 0;
  std::uint64_t run_ = 0;  // of the process; older callbacks are dropped
  std::map<std::pair<PartitionId, std::uint64_t>, OpenSnapshot> snapshots_;
};

}  // namespace ringfs::sim
