// Which attributes the kernel may keep, and when it is told to forget them.
#include "fs/kernel_attributes.hpp"

#include <gtest/gtest.h>

#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

using namespace std::chrono_literals;

// A store whose leases the test sets.
class LeasingStore : public MemoryObjectStore {
 public:
  using MemoryObjectStore::MemoryObjectStore;
  std::optional<TimePoint> leased_until(const RowAddress& row, std::uint64_t version) const override {
    const auto found = leases.find(row);
    return found != leases.end() && version == 1 ? std::optional(found->second) : std::nullopt;
  }
  void on_rows_recalled(RowsListener listener) override { recall = std::move(listener); }

  std::map<RowAddress, TimePoint> leases;
  RowsListener recall;
};

class KernelAttributesTest : public World {
 protected:
  KernelAttributesTest() : store_(time, ring, 77), volume_(std::make_shared<Volume>(store_, FileSystemOptions{})) {
    EXPECT_TRUE(time.run(volume_->start()));
    kernel().start([this](const std::vector<AttributesRecall>& recalls, std::function<void()> done) {
      for (const AttributesRecall& recall : recalls) told_.push_back(recall.inode);
      done_ = std::move(done);
    });
  }
  ~KernelAttributesTest() override {
    volume_->abandon();
    time.settle();
  }
  KernelAttributes& kernel() { return volume_->kernel_attributes; }
  TimePoint now() const { return time.clock().now; }
  static Attributes attributes(InodeNumber inode, std::uint64_t version = 1) {
    Attributes attributes;
    attributes.inode = inode;
    attributes.version = version;
    return attributes;
  }
  void lease(InodeNumber inode, Duration duration) { store_.leases[inode_row(inode)] = now() + duration; }
  void end_lease(InodeNumber inode) { store_.leases.erase(inode_row(inode)); }
  bool recall(InodeNumber inode, bool own = false) {
    return store_.recall({partition_of_inode(inode, store_.partition_bits()), false, {row_hash(inode_row(inode))}, own},
                         [this] { ++answered_; });
  }

  LeasingStore store_;
  std::shared_ptr<Volume> volume_;
  std::vector<InodeNumber> told_;
  std::function<void()> done_;
  int answered_ = 0;
};

TEST_F(KernelAttributesTest, LeasedRow_IsKeptUntilShortlyBeforeTheLeaseEnds) {
  lease(7, 1s);
  EXPECT_EQ(kernel().keep(attributes(7)), 1s - KernelAttributes::lateness);
  EXPECT_EQ(kernel().keep(attributes(7, 2)), 0s) << "another version of the row";
  EXPECT_EQ(kernel().keep(attributes(7, 0)), 0s) << "more than the row";
  EXPECT_EQ(kernel().keep(attributes(8)), 0s) << "no lease";
  lease(8, KernelAttributes::lateness);
  EXPECT_EQ(kernel().keep(attributes(8)), 0s) << "the kernel may be late by as much";
}

TEST_F(KernelAttributesTest, Recall_OfWhatTheKernelKeeps_WaitsForTheKernel) {
  EXPECT_FALSE(recall(7)) << "it keeps nothing";
  lease(7, 1s);
  kernel().keep(attributes(7));
  end_lease(7);
  EXPECT_TRUE(recall(7));
  EXPECT_EQ(told_, std::vector<InodeNumber>{7});
  const std::function<void()> first = std::move(done_);
  EXPECT_TRUE(recall(7)) << "the kernel has not forgotten yet";
  EXPECT_EQ(answered_, 0);
  first();
  done_();
  EXPECT_EQ(answered_, 2);
  EXPECT_FALSE(recall(7)) << "it has forgotten";
}

TEST_F(KernelAttributesTest, Recall_AfterTheKernelsTime_IsAnsweredAtOnce) {
  lease(7, 1s);
  kernel().keep(attributes(7));
  time.advance(1s);
  EXPECT_FALSE(recall(7));
}

TEST_F(KernelAttributesTest, RecallOfAPartition_TakesBackItsInodesOnly) {
  lease(7, 1s);
  kernel().keep(attributes(7));
  const PartitionId partition = partition_of_inode(7, store_.partition_bits());
  const PartitionId other{static_cast<std::uint16_t>(static_cast<unsigned>(partition) ^ 1U)};
  EXPECT_FALSE(store_.recall({other, true, {}, false}, [] {}));
  EXPECT_TRUE(store_.recall({partition, true, {}, false}, [] {}));
  EXPECT_EQ(told_, std::vector<InodeNumber>{7});
}

TEST_F(KernelAttributesTest, WhatThisMountChangesAllTheTime_IsNotKept) {
  lease(7, 1s);
  kernel().keep(attributes(7));
  EXPECT_TRUE(recall(7, true));
  done_();
  EXPECT_EQ(kernel().keep(attributes(7)), 0s);
  time.advance(KernelAttributes::own_change_pause);
  lease(7, 1s);
  EXPECT_GT(kernel().keep(attributes(7)), 0s);
}

TEST_F(KernelAttributesTest, LateLoop_ShortensWhatTheKernelMayKeep) {
  lease(7, 1s);
  kernel().loop_was_late(300ms);
  EXPECT_EQ(kernel().keep(attributes(7)), 700ms - KernelAttributes::lateness);
  kernel().loop_was_late(1ms);
  EXPECT_EQ(kernel().keep(attributes(7)), 700ms - KernelAttributes::lateness) << "it may be as late again";
  time.advance(20s);
  lease(7, 1s);
  EXPECT_EQ(kernel().keep(attributes(7)), 1s - KernelAttributes::lateness);
}

TEST_F(KernelAttributesTest, Suspend_TakesEverythingBack) {
  lease(7, 1s);
  kernel().keep(attributes(7));
  kernel().leases_are_void();
  EXPECT_EQ(told_, std::vector<InodeNumber>{7});
}

}  // namespace
}  // namespace ringfs::fs
