// A Storage in memory for tests of the driver: carries everything out at once, and calls back when told to.
// Threads: the loop's. A snapshot is one chunk.
#pragma once

#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "dht/net/runtime/storage.hpp"
#include "tests/unit/core/raft/memory_store.hpp"

namespace ringfs::dht {

class MemoryStorage : public Storage {
 public:
  explicit MemoryStorage(const Uuid& id) {
    store.id = id;
    store.rows_per_chunk = 1 << 20;  // more than any test has
  }

  test::MemoryStore store;

  // While held, writes wait; release() finishes them in order.
  bool hold_writes = false;
  // The next write fails like this.
  std::optional<Error> write_error;
  std::set<PartitionId> damaged_applies;          // these fail, until the partition has other rows
  std::function<void(FoundDamage)> damage_found;  // what the background check calls
  StorageStatus disk{
      .database_bytes = 1, .disk_total_bytes = 1000, .disk_free_bytes = 500, .disk_id = 7, .room = Room::ample};

  void release() {
    hold_writes = false;
    for (auto& action : std::exchange(held_, {})) action();
  }
  std::size_t held() const { return held_.size(); }

  // As after a restart: the incarnation raised.
  PersistedNode persisted() { return store.start(0); }

  void write(Write write, std::function<void(Status)> done) override {
    auto action = [this, write = std::move(write), done = std::move(done)] {
      if (write_error) return done(tl::unexpected(*write_error));
      for (const GroupWrite& group : write.groups) {
        if (!group.stage) continue;
        if (Status sound = check(group.stage->rows, group.stage->blobs); !sound) return done(sound);
      }
      for (const GroupWrite& group : write.groups) {
        if (group.reset || group.install) damaged_applies.erase(group.partition);
      }
      store.write(write);
      done({});
    };
    if (hold_writes) {
      held_.push_back(action);
    } else {
      action();
    }
  }

  void apply(Apply apply, std::function<void(Result<std::vector<AppliedBatch>>)> done) override {
    auto action = [this, apply, done = std::move(done)] {
      if (damaged_applies.contains(apply.partition)) return done(fail(ErrorCode::corrupt, "a damaged entry"));
      done(store.apply(apply));
    };
    if (held_.empty()) {
      action();
    } else {
      held_.push_back(action);
    }
  }

  void read(ReadEffect read, std::function<void(Result<ReadAnswer>)> done) override { done(store.read(read)); }

  void load(LoadEntries load, std::function<void(Result<std::vector<Entry>>)> done) override { done(store.load(load)); }

  void snapshot_read(SnapshotRead read, std::function<void(Result<SnapshotData>)> done) override {
    if (!read.close && !store.groups.contains(read.partition))
      return done(fail(ErrorCode::unavailable, "no such group"));
    Result<SnapshotData> data = store.snapshot_read(read);
    if (!read.close) done(std::move(data));
  }

  Status check(const SharedBytes& rows, const std::vector<SharedBytes>&) const override {
    if (rows.view() == "bad") return fail(ErrorCode::corrupt, "a bad chunk");
    return {};
  }

  void watch_damage(std::function<void(FoundDamage)> listener) override { damage_found = std::move(listener); }

  StorageStatus status() override { return disk; }

 private:
  std::vector<std::function<void()>> held_;
};

}  // namespace ringfs::dht
