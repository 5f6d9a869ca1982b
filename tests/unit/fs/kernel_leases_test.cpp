// Which attributes the kernel may keep, and when it is told to forget them.
#include "fs/kernel_leases.hpp"

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
  void on_rows_recalled(const RowsListener& listener) override { recall = listener; }

  std::map<RowAddress, TimePoint> leases;
  RowsListener recall;
};

class KernelLeasesTest : public World {
 protected:
  KernelLeasesTest() : store_(time, ring, 77), volume_(std::make_shared<Volume>(store_, FileSystemOptions{})) {
    EXPECT_TRUE(time.run(volume_->start()));
    kernel().start([this](const KernelRecall& recall, std::function<void()> done) {
      for (const AttributesRecall& one : recall.attributes) told_.push_back(one.inode);
      for (const NameRecall& one : recall.names) names_.push_back(one.name);
      done_ = std::move(done);
    });
  }
  ~KernelLeasesTest() override {
    volume_->abandon();
    time.settle();
  }
  KernelLeases& kernel() { return volume_->kernel_leases; }
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
  std::vector<std::string> names_;
  std::function<void()> done_;
  int answered_ = 0;
};

TEST_F(KernelLeasesTest, LeasedRow_IsKeptUntilShortlyBeforeTheLeaseEnds) {
  lease(7, 1s);
  EXPECT_EQ(kernel().keep_attributes(attributes(7)), 1s - KernelLeases::lateness);
  EXPECT_EQ(kernel().keep_attributes(attributes(7, 2)), 0s) << "another version of the row";
  EXPECT_EQ(kernel().keep_attributes(attributes(7, 0)), 0s) << "more than the row";
  EXPECT_EQ(kernel().keep_attributes(attributes(8)), 0s) << "no lease";
  lease(8, KernelLeases::lateness);
  EXPECT_EQ(kernel().keep_attributes(attributes(8)), 0s) << "the kernel may be late by as much";
}

TEST_F(KernelLeasesTest, Recall_OfWhatTheKernelKeeps_WaitsForTheKernel) {
  EXPECT_FALSE(recall(7)) << "it keeps nothing";
  lease(7, 1s);
  kernel().keep_attributes(attributes(7));
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

TEST_F(KernelLeasesTest, Recall_AfterTheKernelsTime_IsAnsweredAtOnce) {
  lease(7, 1s);
  kernel().keep_attributes(attributes(7));
  time.advance(1s);
  EXPECT_FALSE(recall(7));
}

TEST_F(KernelLeasesTest, RecallOfAPartition_TakesBackItsInodesOnly) {
  lease(7, 1s);
  kernel().keep_attributes(attributes(7));
  const PartitionId partition = partition_of_inode(7, store_.partition_bits());
  const PartitionId other{static_cast<std::uint16_t>(static_cast<unsigned>(partition) ^ 1U)};
  EXPECT_FALSE(store_.recall({other, true, {}, false}, [] {}));
  EXPECT_TRUE(store_.recall({partition, true, {}, false}, [] {}));
  EXPECT_EQ(told_, std::vector<InodeNumber>{7});
}

TEST_F(KernelLeasesTest, WhatThisMountChangesAllTheTime_IsNotKept) {
  lease(7, 1s);
  kernel().keep_attributes(attributes(7));
  EXPECT_TRUE(recall(7, true));
  done_();
  EXPECT_EQ(kernel().keep_attributes(attributes(7)), 0s);
  time.advance(KernelLeases::own_change_pause);
  lease(7, 1s);
  EXPECT_GT(kernel().keep_attributes(attributes(7)), 0s);
}

TEST_F(KernelLeasesTest, LateLoop_ShortensWhatTheKernelMayKeep) {
  lease(7, 1s);
  kernel().loop_was_late(300ms);
  EXPECT_EQ(kernel().keep_attributes(attributes(7)), 700ms - KernelLeases::lateness);
  kernel().loop_was_late(1ms);
  EXPECT_EQ(kernel().keep_attributes(attributes(7)), 700ms - KernelLeases::lateness) << "it may be as late again";
  time.advance(20s);
  lease(7, 1s);
  EXPECT_EQ(kernel().keep_attributes(attributes(7)), 1s - KernelLeases::lateness);
}

TEST_F(KernelLeasesTest, Suspend_TakesEverythingBack) {
  lease(7, 1s);
  kernel().keep_attributes(attributes(7));
  kernel().leases_are_void();
  EXPECT_EQ(told_, std::vector<InodeNumber>{7});
}

// ---- Names -----------------------------------------------------------------------------------------

class KernelNamesTest : public KernelLeasesTest {
 protected:
  static constexpr InodeNumber directory = 5, child = 7;
  static Attributes file(InodeNumber inode = child, std::uint32_t links = 1) {
    Attributes attributes = KernelLeasesTest::attributes(inode);
    attributes.entry_version = 1;
    attributes.mode = S_IFREG | 0644;
    attributes.links = links;
    return attributes;
  }
  void lease_name(const std::string& name, Duration duration) {
    store_.leases[entry_row(directory, name)] = now() + duration;
  }
  Duration keep(const std::string& name, const Attributes& attributes = file()) {
    return kernel().keep_name(directory, name, attributes);
  }
  bool recall_name(const std::string& name, bool own = false) {
    return store_.recall(
        {partition_of_inode(directory, store_.partition_bits()), false, {row_hash(entry_row(directory, name))}, own},
        [this] { ++answered_; });
  }
};

TEST_F(KernelNamesTest, Name_IsKeptWhileBothRowsAreLeased) {
  lease_name("a", 1s);
  EXPECT_EQ(keep("a"), 0s) << "the kernel checks permissions by what it remembers of the inode";
  lease(child, 500ms);
  EXPECT_EQ(keep("a"), 500ms - KernelLeases::lateness);
  lease_name("a", 300ms);
  EXPECT_EQ(keep("a"), 300ms - KernelLeases::lateness);
}

TEST_F(KernelNamesTest, InodeWithTwoNames_HasNoneKept) {
  lease(child, 1s);
  lease_name("a", 1s);
  lease_name("b", 1s);
  EXPECT_EQ(keep("a", file(child, 2)), 0s);
  EXPECT_GT(keep("a"), 0s);
  EXPECT_EQ(keep("b"), 0s) << "the kernel may still follow the other one";
}

TEST_F(KernelNamesTest, RecallOfTheEntry_TakesTheNameBack) {
  lease(child, 1s);
  lease_name("a", 1s);
  keep("a");
  EXPECT_TRUE(recall_name("a"));
  EXPECT_EQ(names_, std::vector<std::string>{"a"});
  done_();
  EXPECT_EQ(answered_, 1);
  EXPECT_FALSE(recall_name("a"));
}

TEST_F(KernelNamesTest, RecallOfTheInode_TakesItsNameBackUnlessItIsOurOwnChange) {
  lease(child, 1s);
  lease_name("a", 1s);
  keep("a");
  EXPECT_FALSE(recall(child, true));
  EXPECT_TRUE(recall(child));
  EXPECT_EQ(names_, std::vector<std::string>{"a"});
}

TEST_F(KernelNamesTest, RecallOfEntryAndInodeTogether_TakesTheNameBackOnce) {
  lease(child, 1s);
  lease_name("a", 1s);
  keep("a");
  EXPECT_TRUE(store_.recall({partition_of_inode(child, store_.partition_bits()),
                             false,
                             {row_hash(inode_row(child)), row_hash(entry_row(directory, "a"))},
                             false},
                            [] {}));
  EXPECT_EQ(names_, std::vector<std::string>{"a"});
}

TEST_F(KernelNamesTest, RecallOfAPartition_TakesBackNamesInItAndNamesOfItsInodes) {
  lease(child, 1s);
  lease_name("a", 1s);
  keep("a");
  EXPECT_TRUE(store_.recall({partition_of_inode(child, store_.partition_bits()), true, {}, false}, [] {}));
  EXPECT_EQ(names_, std::vector<std::string>{"a"});
}

TEST_F(KernelNamesTest, NameThatWasTakenBack_LeadsToAnotherInode) {
  lease(child, 1s);
  lease(8, 1s);
  lease_name("a", 1s);
  keep("a");
  EXPECT_EQ(keep("a", file(8)), 0s) << "the kernel may still follow it to the former one";
  EXPECT_TRUE(recall_name("a"));
  done_();
  EXPECT_GT(keep("a", file(8)), 0s);
}

}  // namespace
}  // namespace ringfs::fs
