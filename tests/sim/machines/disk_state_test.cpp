// The simulated disk shares a payload between a log entry and the row that it brought, as the real store does.
#include "tests/sim/machines/disk_state.hpp"

#include <gtest/gtest.h>

namespace ringfs::sim {
namespace {

constexpr PartitionId partition{0};
const RowAddress row{"kv/object", "large"};

Mutation mutation(Mutation::Kind kind, std::uint32_t offset, std::string value) {
  Mutation one;
  one.kind = kind;
  one.row = row;
  one.offset = offset;
  one.value = SharedBytes(std::move(value));
  return one;
}

class SharedPayloads : public testing::Test {
 protected:
  // Appends and applies a batch of that one mutation.
  AppliedEntry commit(Mutation change) {
    Batch batch;
    batch.client.bytes[0] = 1;
    batch.sequence = ++last_;
    batch.first_incomplete = last_;
    batch.expires = Stamp{1};
    batch.mutations.push_back(std::move(change));
    EncodedBatch encoded = encode(batch);
    dht::Entry entry;
    entry.index = last_;
    entry.term = 1;
    entry.kind = dht::EntryKind::batch;
    entry.head = encoded.head;
    entry.blobs = encoded.blobs;
    disk_.groups.try_emplace(partition);
    dht::Write write;
    write.groups.emplace_back();
    write.groups.back().partition = partition;
    write.groups.back().append.push_back(std::move(entry));
    EXPECT_EQ(disk_.perform(write, Uuid{}, nullptr), "");
    EXPECT_EQ(disk_.perform(dht::Apply{partition, last_}, faults_, &watcher_, nullptr), "");
    return watcher_.last;
  }
  GroupState& group() { return disk_.groups[partition]; }
  char logged(dht::LogIndex index) { return group().entry(index)->blobs.at(0).view().front(); }
  char stored() { return group().rows.get(row)->value.view().front(); }

  struct Watcher : DiskWatcher {
    void on_configuration(PartitionId, dht::LogIndex, const dht::Configuration&) override {}
    void on_reset(PartitionId, std::optional<dht::LogIndex>, const dht::ReplicaReset&) override {}
    void on_append(PartitionId, dht::Term, const dht::Entry&) override {}
    void on_hard_state(PartitionId, const dht::HardState&, const dht::HardState&) override {}
    void on_applied(PartitionId, const AppliedEntry& applied) override { last = applied; }
    void on_installed(PartitionId, dht::LogIndex, dht::LogIndex, dht::Term, std::uint64_t) override {}
    AppliedEntry last;
  };

  DiskFaults faults_;
  DiskState disk_;
  Watcher watcher_;
  dht::LogIndex last_ = 0;
  const std::string large_ = std::string(payload_threshold, 'a');
};

TEST_F(SharedPayloads, PatchOfARow_LeavesTheEntryAsItWas) {
  commit(mutation(Mutation::Kind::put, 0, large_));
  EXPECT_TRUE(commit(mutation(Mutation::Kind::write_bytes, 0, "b")).patched_shared);
  EXPECT_EQ(stored(), 'b');
  EXPECT_EQ(logged(1), 'a');
  EXPECT_FALSE(commit(mutation(Mutation::Kind::write_bytes, 0, "c")).patched_shared);  // its own by now
}

TEST_F(SharedPayloads, PatchOfARowWithoutTheGuard_ChangesTheEntry) {
  faults_.patch_shared_payloads = true;
  commit(mutation(Mutation::Kind::put, 0, large_));
  EXPECT_TRUE(commit(mutation(Mutation::Kind::write_bytes, 0, "b")).patched_shared);
  EXPECT_EQ(stored(), 'b');
  EXPECT_EQ(logged(1), 'b');
  EXPECT_TRUE(commit(mutation(Mutation::Kind::write_bytes, 0, "c")).patched_shared);
  EXPECT_EQ(logged(1), 'c');
}

}  // namespace
}  // namespace ringfs::sim
