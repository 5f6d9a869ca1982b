// The queue of a simulated disk, its syncs, reads and losses.
#include "tests/sim/machines/sim_disk.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::sim {

namespace {
constexpr unsigned jobs_per_sync = 16;  // group commit: more than that wait for the next sync
constexpr Duration snapshot_life = std::chrono::seconds(30);
constexpr std::size_t open_snapshots = 64;
}  // namespace

SimDisk::SimDisk(World& world, Uuid self, DiskSpeed speed, DiskFaults faults, DiskWatcher& watcher)
    : world_(world), self_(self), speed_(speed), faults_(faults), watcher_(watcher) {}

void SimDisk::report(const std::string& wrong) {
  if (!wrong.empty()) world_.violate("storage contract", "node " + self_.text() + ": " + wrong);
}

void SimDisk::soon(Duration delay, std::function<void()> action) {
  world_.after(delay, [this, run = run_, action = std::move(action)] {
    if (run == run_) action();
  });
}

void SimDisk::write(dht::Write write, std::function<void()> done) {
  queue_.push_back({std::move(write), std::move(done), nullptr});
  if (!busy_) run_next();
}

void SimDisk::apply(dht::Apply apply, std::function<void(Result<std::vector<dht::AppliedBatch>>)> done) {
  queue_.push_back({apply, nullptr, std::move(done)});
  if (!busy_) run_next();
}

void SimDisk::run_next() {
  if (queue_.empty() || since_sync_ >= jobs_per_sync) {
    if (!waiting_for_sync_.empty()) {
      sync();
    } else {
      since_sync_ = 0;
      busy_ = !queue_.empty();
      if (busy_) run_next();
    }
    return;
  }
  busy_ = true;
  soon(world_.between(speed_.step_low, speed_.step_high), [this] {
    Job job = std::move(queue_.front());
    queue_.pop_front();
    ++since_sync_;
    if (const dht::Write* write = std::get_if<dht::Write>(&job.work)) {
      report(live_.perform(*write, self_, &watcher_));
      waiting_for_sync_.push_back(std::move(job.written));
    } else {
      std::vector<dht::AppliedBatch> batches;
      bool met_damage = false;
      report(live_.perform(std::get<dht::Apply>(job.work), faults_, &watcher_, &batches, &met_damage));
      Result<std::vector<dht::AppliedBatch>> results(std::move(batches));
      if (met_damage) results = fail(ErrorCode::corrupt, "a row is lost");
      // Applying is reported without a sync.
      soon(Duration(1),
           [done = std::move(job.applied), results = std::move(results)]() mutable { done(std::move(results)); });
      if (met_damage) {
        world_.count("fault: lost row met by an apply");
        run_next();
        return;
      }
    }
    std::visit([this](auto& work) { unsynced_.emplace_back(std::move(work)); }, job.work);
    run_next();
  });
}

void SimDisk::sync() {
  busy_ = true;
  syncing_ = unsynced_.size();
  bool stall = world_.chance(speed_.stall_probability);
  if (stall) world_.count("fault: sync stall");
  soon(stall ? world_.between(speed_.stall_low, speed_.stall_high) : world_.between(speed_.sync_low, speed_.sync_high),
       [this] { synced(); });
}

void SimDisk::perform_durable(const Work& work) {
  if (const dht::Write* write = std::get_if<dht::Write>(&work)) {
    report(durable_.perform(*write, self_, nullptr));
  } else if (const LostRows* lost = std::get_if<LostRows>(&work)) {
    durable_.perform(*lost, faults_);
  } else {
    report(durable_.perform(std::get<dht::Apply>(work), faults_, nullptr, nullptr));
  }
}

// Stuck ones end in the order in which they began.
void SimDisk::set_hangs(bool hangs, bool reads) {
  hangs_ = hangs;
  reads_hang_ = hangs && reads;
  if (!hangs_ && std::exchange(sync_stuck_, false)) soon(Duration(1), [this] { synced(); });
  if (reads_hang_) return;
  for (std::function<void()>& read : std::exchange(stuck_reads_, {})) soon(Duration(1), std::move(read));
}

void SimDisk::read_soon(std::function<void()> action) {
  soon(world_.between(speed_.step_low, speed_.step_high), [this, action = std::move(action)]() mutable {
    if (reads_hang_)
      stuck_reads_.push_back(std::move(action));
    else
      action();
  });
}

void SimDisk::synced() {
  if (hangs_) {
    sync_stuck_ = true;
    return;
  }
  for (; syncing_ > 0; --syncing_) {
    perform_durable(unsynced_.front());
    unsynced_.pop_front();
  }
  since_sync_ = 0;
  std::vector<std::function<void()>> done = std::move(waiting_for_sync_);
  waiting_for_sync_.clear();
  std::uint64_t run = run_;
  for (const auto& one : done) {
    one();
    if (run != run_) return;  // the process stopped in between
  }
  // A callback may have handed over more and started the next job already.
  busy_ = false;
  if (!queue_.empty()) run_next();
}

void SimDisk::read(dht::ReadEffect read, std::function<void(Result<dht::ReadAnswer>)> done) {
  read_soon([this, read = std::move(read), done = std::move(done)] {
    if (!live_.groups.contains(read.partition)) return done(fail(ErrorCode::io_error, "no such group"));
    // Where the rows are kept: another reader looks at the same ones.
    SimRows& rows = live_.groups.at(read.partition).rows;
    Result<ReadReply> reply = dht::execute_read(read.request, rows);
    if (rows.take_noticed()) {
      world_.count("fault: lost row met by a read");
      return done(fail(ErrorCode::corrupt, "a row is lost"));
    }
    if (!reply) return done(tl::unexpected(reply.error()));
    done(dht::ReadAnswer(read.request, *reply));
  });
}

void SimDisk::load(dht::LoadEntries load, std::function<void(Result<std::vector<dht::Entry>>)> done) {
  read_soon([this, load, done = std::move(done)] {
    auto group = live_.groups.find(load.partition);
    if (group == live_.groups.end()) return done(fail(ErrorCode::io_error, "no such group"));
    if (fails_to_read(load.partition)) {
      world_.count("fault: entries cannot be read");
      return done(fail(ErrorCode::corrupt, "an entry is damaged"));
    }
    std::vector<dht::Entry> entries;
    std::size_t bytes = 0;
    for (dht::LogIndex index = load.first; index <= load.last; ++index) {
      const dht::Entry* entry = group->second.entry(index);
      if (entry == nullptr) break;
      bytes += entry->bytes();
      if (!entries.empty() && bytes > load.max_bytes) break;
      entries.push_back(*entry);
    }
    if (entries.empty()) return done(fail(ErrorCode::not_found, "the entries are gone"));
    done(std::move(entries));
  });
}

void SimDisk::snapshot_read(dht::SnapshotRead read, std::function<void(Result<dht::SnapshotData>)> done) {
  read_soon([this, read, done = std::move(done)] {
    std::pair<PartitionId, std::uint64_t> name{read.partition, read.snapshot};
    std::erase_if(snapshots_, [&](const auto& open) { return open.second.used + snapshot_life < world_.now(); });
    if (read.close) {
      snapshots_.erase(name);
      return;
    }
    auto group = live_.groups.find(read.partition);
    if (group == live_.groups.end()) return done(fail(ErrorCode::io_error, "no such group"));
    if (read.number == 0 && !snapshots_.contains(name)) {
      if (snapshots_.size() >= open_snapshots) return done(fail(ErrorCode::overloaded, "too many open snapshots"));
      snapshots_[name].chunks = snapshot_chunks(group->second, world_.between(3, 60));
    }
    auto open = snapshots_.find(name);
    if (open == snapshots_.end() || read.number >= open->second.chunks.size()) {
      return done(fail(ErrorCode::unavailable, "no such snapshot"));
    }
    if (read.renew && open->second.chunks.front().last_index != group->second.applied) {
      snapshots_.erase(open);
      return done(fail(ErrorCode::unavailable, "the rows have changed"));
    }
    const bool lost = group->second.rows.any_rotten() && !faults_.serve_damage;
    if (lost || fails_to_read(read.partition)) {
      world_.count("fault: snapshot cannot be read");
      snapshots_.erase(open);
      return done(fail(ErrorCode::corrupt, "a row is damaged"));
    }
    open->second.used = world_.now();
    dht::SnapshotData data = open->second.chunks[read.number];
    if (data.last) snapshots_.erase(open);
    done(std::move(data));
  });
}

void SimDisk::process_stopped() {
  ++run_;
  queue_.clear();
  waiting_for_sync_.clear();
  snapshots_.clear();
  sync_stuck_ = false;
  stuck_reads_.clear();
  syncing_ = 0;
  since_sync_ = 0;
  busy_ = false;
}

void SimDisk::power_lost() {
  process_stopped();
  std::size_t kept = static_cast<std::size_t>(world_.between(0, unsynced_.size()));
  if (kept < unsynced_.size()) world_.count("fault: unsynced writes lost", unsynced_.size() - kept);
  for (std::size_t i = 0; i < kept; ++i) perform_durable(unsynced_[i]);
  unsynced_.clear();
  live_ = durable_;
}

void SimDisk::flush() {
  while (!unsynced_.empty()) {
    perform_durable(unsynced_.front());
    unsynced_.pop_front();
  }
}

bool SimDisk::fails_to_read(PartitionId partition) {
  if (!unreadable_ || !spared_(partition)) return false;
  unreadable_ = false;
  return true;
}

void SimDisk::lose(LostRows lost) {
  live_.perform(lost, faults_);
  unsynced_.emplace_back(std::move(lost));
}

void SimDisk::lose(const LostGroup& lost) {
  flush();
  live_.perform(lost, faults_);
  durable_.perform(lost, faults_);
}

std::vector<PartitionId> SimDisk::groups_with_lost_rows() const {
  std::vector<PartitionId> found;
  for (const auto& [partition, group] : live_.groups) {
    if (group.rows.any_rotten() && !faults_.serve_damage) found.push_back(partition);
  }
  return found;
}

dht::PersistedNode SimDisk::start() {
  flush();  // opening the database syncs what the last process handed over
  live_.incarnation.counter += 1;
  live_.incarnation.nonce = world_.random().next();
  durable_.incarnation = live_.incarnation;
  return live_.persisted(self_);
}

}  // namespace ringfs::sim
