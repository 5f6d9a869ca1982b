// A Storage in memory for tests of the driver: carries everything out at once, and calls back when told to.
// Threads: the loop's. A snapshot is one chunk.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "dht/core/evaluate.hpp"
#include "dht/net/storage.hpp"
#include "tests/support/memory_rows.hpp"

namespace ringfs {

class MemoryStorage : public Storage {
 public:
  explicit MemoryStorage(const Uuid& id) { node_.id = id; }

  // While held, writes wait; release() finishes them in order.
  bool hold_writes = false;
  // The next write fails like this.
  std::optional<Error> write_error;
  // Damage: applies and reads of these partitions fail.
  std::set<PartitionId> damaged_applies;
  std::set<PartitionId> damaged_reads;
  std::set<PartitionId> damaged_entries;  // a load fails, too
  std::function<void(FoundDamage)> damage_found;  // what the background check calls
  StorageStatus disk{
      .database_bytes = 1, .disk_total_bytes = 1000, .disk_free_bytes = 500, .disk_id = 7, .room = Room::ample};
  std::size_t writes = 0;
  std::size_t groups_written = 0;

  void release() {
    hold_writes = false;
    for (auto& action : std::exchange(held_, {})) action();
  }
  std::size_t held() const { return held_.size(); }

  // As after a restart: the incarnation raised.
  PersistedNode persisted() {
    ++node_.incarnation.counter;
    node_.groups.clear();
    for (auto& [partition, group] : groups_) {
      PersistedGroup persisted = group.state;
      if (persisted.damage == Damage::log) persisted.base_index = persisted.applied;
      for (const Entry& entry : group.log) {
        if (persisted.damage == Damage::log) break;
        persisted.log.push_back({entry.index, entry.term, static_cast<std::uint32_t>(entry.bytes())});
        persisted.last_stamp = entry.stamp;
        if (entry.kind == EntryKind::configuration && entry.index > persisted.applied) {
          persisted.configuration_entries.push_back(entry);
        }
      }
      node_.groups.push_back(std::move(persisted));
    }
    return node_;
  }

  void write(Write write, std::function<void(Status)> done) override {
    auto action = [this, write = std::move(write), done = std::move(done)] {
      if (write_error) return done(tl::unexpected(*write_error));
      for (const GroupWrite& group : write.groups) {
        if (!group.stage) continue;
        if (Status sound = check(group.stage->rows, group.stage->blobs); !sound) return done(sound);
      }
      ++writes;
      groups_written += write.groups.size();
      persist(write);
      done({});
    };
    if (hold_writes) {
      held_.push_back(action);
    } else {
      action();
    }
  }

  void apply(Apply apply, std::function<void(Result<std::vector<AppliedBatch>>)> done) override {
    auto action = [this, apply, done = std::move(done)] { done(apply_now(apply)); };
    if (held_.empty()) {
      action();
    } else {
      held_.push_back(action);
    }
  }

  void read(ReadEffect read, std::function<void(Result<ReadAnswer>)> done) override {
    if (damaged_reads.contains(read.partition)) return done(fail(ErrorCode::corrupt, "a damaged row"));
    Result<ReadReply> reply = execute_read(read.request, groups_.at(read.partition).rows);
    if (!reply) return done(tl::unexpected(reply.error()));
    done(ReadAnswer(*reply));
  }

  void load(LoadEntries load, std::function<void(Result<std::vector<Entry>>)> done) override {
    if (damaged_entries.contains(load.partition)) return done(fail(ErrorCode::corrupt, "a damaged entry"));
    std::vector<Entry> entries;
    for (const Entry& entry : groups_.at(load.partition).log) {
      if (entry.index >= load.first && entry.index <= load.last) entries.push_back(entry);
    }
    done(std::move(entries));
  }

  void snapshot_read(SnapshotRead read, std::function<void(Result<SnapshotData>)> done) override {
    auto found = groups_.find(read.partition);
    if (read.close) return;
    if (found == groups_.end() || read.number != 0) return done(fail(ErrorCode::unavailable, "no such chunk"));
    const Group& group = found->second;
    SnapshotData data;
    data.last_index = group.state.applied;
    data.last_term = group.term_at(group.state.applied);
    data.configuration = group.state.configuration;
    data.configuration_index = group.state.configuration_index;
    Writer writer;
    for (const auto& [address, row] : group.rows.all()) {
      writer.string(address.key);
      writer.string(address.sort);
      writer.u64(row.version);
      writer.string(row.value.view());
    }
    data.rows = SharedBytes(writer.take());
    data.last = true;
    done(std::move(data));
  }

  Status check(const SharedBytes& rows, const std::vector<SharedBytes>&) const override {
    if (rows.view() == "bad") return fail(ErrorCode::corrupt, "a bad chunk");
    return {};
  }

  void watch_damage(std::function<void(FoundDamage)> listener) override { damage_found = std::move(listener); }

  StorageStatus status() override { return disk; }

 private:
  struct Group {
    PersistedGroup state;
    std::deque<Entry> log;
    MemoryRows rows;
    SharedBytes staged;

    Term term_at(LogIndex index) const {
      for (const Entry& entry : log) {
        if (entry.index == index) return entry.term;
      }
      return state.base_term;
    }
  };

  void reset(PartitionId partition, const ReplicaReset& reset) {
    Group fresh;
    fresh.state.partition = partition;
    fresh.state.hard_state = groups_[partition].state.hard_state;
    fresh.state.replica = {node_.id, reset.added};
    fresh.state.holds_data = false;
    fresh.state.configuration = reset.configuration;
    fresh.state.configuration_index = reset.configuration_index;
    groups_[partition] = std::move(fresh);
  }

  static void install(Group& group, const InstallSnapshot& install) {
    group.rows = MemoryRows();
    Reader reader(group.staged.view());
    while (reader.ok() && !reader.rest().empty()) {
      RowAddress address;
      address.key = reader.string();
      address.sort = reader.string();
      std::uint64_t version = reader.u64();
      group.rows.put(address, SharedBytes(std::string(reader.string())), version);
    }
    group.log.clear();
    group.state.damage = Damage::none;
    group.state.holds_data = true;
    group.state.applied = group.state.base_index = install.last_index;
    group.state.base_term = install.last_term;
    group.state.configuration = install.configuration;
    group.state.configuration_index = install.configuration_index;
  }

  void persist(const Write& write) {
    if (write.node.genesis) {
      node_.genesis = write.node.genesis;
      for (const InitialGroup& initial : initial_groups(*write.node.genesis, node_.id)) {
        Group& group = groups_[initial.partition];
        group.state.partition = initial.partition;
        group.state.replica = {node_.id, 0};
        group.state.configuration = initial.configuration;
        for (const InitialRow& row : initial.rows) group.rows.put(row.row, SharedBytes(row.value), 0);
      }
    }
    if (write.node.table) node_.table = write.node.table;
    for (const auto& peer : write.node.peer_incarnations) node_.peer_incarnations.push_back(peer);
    for (const GroupWrite& change : write.groups) {
      if (change.reset) reset(change.partition, *change.reset);
      if (change.reset || change.install) {
        damaged_applies.erase(change.partition);
        damaged_reads.erase(change.partition);
        damaged_entries.erase(change.partition);
      }
      Group& group = groups_.at(change.partition);
      if (change.stage) group.staged = change.stage->rows;
      if (change.install) install(group, *change.install);
      if (change.hard_state) group.state.hard_state = *change.hard_state;
      if (change.truncate_from) {
        while (!group.log.empty() && group.log.back().index >= *change.truncate_from) group.log.pop_back();
      }
      for (const Entry& entry : change.append) {
        RINGFS_CHECK(entry.index == (group.log.empty() ? group.state.base_index : group.log.back().index) + 1);
        group.log.push_back(entry);
      }
      if (change.damage) group.state.damage = *change.damage;
      while (change.cut_through && !group.log.empty() && group.log.front().index <= *change.cut_through) {
        group.state.base_index = group.log.front().index;
        group.state.base_term = group.log.front().term;
        group.log.pop_front();
      }
    }
  }

  Result<std::vector<AppliedBatch>> apply_now(const Apply& apply) {
    if (damaged_applies.contains(apply.partition)) return fail(ErrorCode::corrupt, "a damaged entry");
    Group& group = groups_.at(apply.partition);
    std::vector<AppliedBatch> results;
    for (const Entry& entry : group.log) {
      if (entry.index <= group.state.applied || entry.index > apply.through) continue;
      if (entry.kind == EntryKind::configuration) {
        group.state.configuration = *decode_configuration(entry.head.view());
        group.state.configuration_index = entry.index;
      }
      if (entry.kind != EntryKind::batch) continue;
      Result<Batch> batch = decode_batch(entry.head, entry.blobs);
      BatchResult result;
      result.outcome = BatchResult::Outcome::invalid;
      if (batch) result = evaluate(*batch, entry.stamp, entry.index, group.rows);
      results.push_back({entry.index, result});
    }
    group.state.applied = apply.through;
    return results;
  }

  PersistedNode node_;
  std::map<PartitionId, Group> groups_;
  std::vector<std::function<void()>> held_;
};

}  // namespace ringfs
