// Clocks that are wrong: the janitor's, a mount's, and times that lie in the future.
#include "dht/core/rows/room_need.hpp"
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

// A ring whose disks are full.
class FullStore final : public MemoryObjectStore {
 public:
  using MemoryObjectStore::MemoryObjectStore;

  Task<Result<BatchResult>> commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                       std::vector<Mutation> mutations, TimePoint deadline) override {
    Batch batch;
    batch.conditions = conditions;
    batch.mutations = mutations;
    if (!dht::needs_no_room(batch)) co_return fail(ErrorCode::no_space, "full");
    co_return co_await MemoryObjectStore::commit_raw(partition, std::move(conditions), std::move(mutations), deadline);
  }
};

using namespace std::chrono_literals;

class ClocksTest : public World {
 protected:
  // What a janitor believes that is wrong about every age.
  static RowAges everything_is_old() {
    return RowAges({{std::numeric_limits<std::uint64_t>::max(), Stamp{1}}},
                   Stamp{std::chrono::microseconds(24h).count()});
  }
  void clean_as_if_old(Mount& by) {
    for (const PartitionId partition : partitions()) {
      by.run(janitor_pass(by.store, partition, everything_is_old(), time.clock().now + 1min));
    }
  }
  // A call of a mount that is overtaken, after so many steps, by the janitor of another one that takes every row for
  // old.
  template <class T>
  Begun<T> overtaken(Mount& mount, int steps, Mount& by, Task<T> call) {
    mount.store.hold();
    Begun<T> begun = time.begin(std::move(call));
    for (int step = 0; step < steps; ++step) {
      mount.store.release_one();
      time.settle();
    }
    clean_as_if_old(by);
    mount.store.release_all();
    time.settle();
    for (int i = 0; i < 100 && !begun.ended(); ++i) time.advance(100ms);
    return begun;
  }
  std::int64_t modified(Mount& by, InodeNumber inode) { return by.stat(inode).modified.nanoseconds; }
};

TEST_F(ClocksTest, UnlinkedButOpen_TheJanitorsClockIsHoursOff_TheFileStays) {
  for (const Duration error : {Duration(5h), Duration(61s), Duration(-5h)}) {
    Mount& a = mount();
    Mount& b = mount();
    b.store.set_clock_error(error);
    const std::string bytes = pattern(2 << 20);
    a.put(root_inode, "f", bytes);
    const Handle handle = a.open(a.find(root_inode, "f"));
    a.must(a.volume->names.unlink(root_inode, "f"));
    for (int i = 0; i < 30; ++i) {  // five minutes
      pass(b, 10s);
      if (i % 2 == 1) a.must(a.volume->holds.check(time.clock().now + 10s));
      clean(b);
      ASSERT_TRUE(a.read(handle) == bytes) << error.count() << " " << i;
    }
    a.close(handle);
    for (int i = 0; i < 60; ++i) {
      pass(b, 10s);
      clean(b);
    }
    EXPECT_EQ(chunk_rows(), 0U) << "and goes when nobody has it open";
  }
}

TEST_F(ClocksTest, AHold_DefeatsAnOlderClaim) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", "contents");
  const Handle handle = a.open(file);
  a.must(a.volume->names.unlink(root_inode, "f"));
  const PartitionId partition = partition_of_inode(file, ring->partition_bits);
  claim(b, partition);
  time.advance(2min);
  const RowAges claimed = claim(b, partition);  // old enough
  a.must(a.volume->holds.check(time.clock().now + 10s));
  b.must(janitor_pass(b.store, partition, claimed, time.clock().now + 1min));
  EXPECT_EQ(a.read(handle), "contents");
}

// Each step of a conversion in turn is overtaken by a janitor that takes the garbage row for old.
TEST_F(ClocksTest, Conversion_AJanitorThinksItIsOld_NothingIsLost) {
  for (int steps = 1; steps < 12; ++steps) {
    SCOPED_TRACE(steps);
    Mount& a = mount();
    Mount& b = mount();
    const std::string name = "f" + std::to_string(steps);
    const std::string head = pattern(9000, 1);
    const InodeNumber file = a.put(root_inode, name, head);
    const Handle handle = a.open(file);
    a.write(handle, head.size(), pattern(60000, 2));
    const Begun<Status> flush = overtaken(a, steps, b, a.volume->files.flush(handle));
    ASSERT_TRUE(flush.ended());
    ASSERT_TRUE(flush.result()) << flush.result().error().text();
    a.close(handle);
    EXPECT_TRUE(b.get(root_inode, name) == head + pattern(60000, 2));
  }
}

TEST_F(ClocksTest, Mkdir_AJanitorThinksItIsOld_TheDirectoryIsWhole) {
  for (int steps = 0; steps < 8; ++steps) {
    SCOPED_TRACE(steps);
    Mount& a = mount();
    Mount& b = mount();
    const std::string name = "d" + std::to_string(steps);
    const Begun<Result<Attributes>> made =
        overtaken(a, steps, b, a.volume->names.make_directory({}, root_inode, name, 0755));
    ASSERT_TRUE(made.ended());
    ASSERT_TRUE(made.result()) << made.result().error().text();
    const InodeNumber directory = b.find(root_inode, name);
    EXPECT_EQ(b.stat(directory).inode, directory);
    b.put(directory, "f", "x");
    EXPECT_EQ(b.get(directory, "f"), "x");
  }
  check_invariants();
  Mount& a = mount();
  for (int i = 0; i < 60; ++i) {
    pass(a, 10s);
    clean(a);
  }
  EXPECT_EQ(clean(a).rows, 0U) << "what was given up is forgotten, too";
  check_invariants();
}

// Giving room back must work on full disks: an orphan, replaced contents, a half-made directory.
TEST_F(ClocksTest, Janitor_OnFullDisks_RemovesWhatItWouldElsewhere) {
  Mount& a = mount();
  a.put(root_inode, "gone", pattern(2 << 20));
  a.must(a.volume->names.unlink(root_inode, "gone"));
  a.close(a.must(a.volume->files.open({}, a.put(root_inode, "replaced", pattern(1 << 20)), O_RDWR | O_TRUNC)).handle);
  for (std::size_t steps = 1; steps < 4; ++steps) {
    Mount& dying = mount();
    dying.die_after(steps, dying.volume->names.make_directory({}, root_inode, "half" + std::to_string(steps), 0755));
  }
  resolve_all(a);
  ASSERT_GT(chunk_rows(), 0U);
  FullStore full(time, ring, 77);
  Claims claims;
  std::size_t rows = 0, orphans = 0;
  for (int round = 0; round < 60; ++round) {  // ten minutes
    time.advance(10s);
    rows = 0;
    for (const PartitionId partition : partitions()) {
      if (!has_garbage(partition)) continue;
      const RowAges ages = a.must(claims.claim(full, partition, time.clock().now + 1min));
      const JanitorReport report = a.must(janitor_pass(full, partition, ages, time.clock().now + 1min));
      rows += report.rows;
      orphans += report.orphans;
    }
  }
  EXPECT_EQ(rows, 0U);
  EXPECT_GE(orphans, 2U) << "the file, and a directory at least";
  EXPECT_EQ(chunk_rows(), 0U);
  check_invariants();
}

// Room comes back within a minute of a removal (docs/resilience.md). The claims and looks here come every eight
// seconds, a little less often than those of the nodes.
TEST_F(ClocksTest, UnlinkedFile_ThatNobodyHolds_IsGoneWithinAMinute) {
  Mount& a = mount();
  a.put(root_inode, "f", pattern(2 << 20));
  clean(a);
  a.must(a.volume->names.unlink(root_inode, "f"));
  for (int round = 0; round < 3; ++round) {  // 25 s: holds of mounts that have it open must arrive
    time.advance(8s);
    clean(a);
    EXPECT_GT(chunk_rows(), 0U) << round;
  }
  for (int round = 0; round < 2; ++round) {
    time.advance(12s);
    clean(a);
  }
  EXPECT_EQ(chunk_rows(), 0U);
}

TEST_F(ClocksTest, FileTimes_AreTheMountsOwn) {
  Mount& a = mount();
  Mount& b = mount();
  b.store.set_clock_error(3h);
  const std::int64_t now = time.clock().stamp.microseconds * 1000;
  const InodeNumber by_a = a.put(root_inode, "a", "x");
  EXPECT_GE(modified(a, by_a), now);
  EXPECT_LT(modified(b, by_a), now + 1'000'000'000);
  const InodeNumber by_b = b.put(root_inode, "b", "x");
  EXPECT_GE(modified(a, by_b), now + std::chrono::nanoseconds(3h).count());
}

TEST_F(ClocksTest, TimesInTheFuture_MoveWithEachChange) {
  Mount& a = mount();
  const InodeNumber directory = a.mkdir(root_inode, "d");
  const std::int64_t later = time.clock().stamp.microseconds * 1000 + std::chrono::nanoseconds(24h).count();
  SetAttributes changes;
  changes.modified = TimeSpec{later};
  a.must(a.volume->names.set_attributes({}, directory, changes));
  ASSERT_EQ(modified(a, directory), later);
  for (int i = 0; i < 5; ++i) {
    const Attributes before = a.stat(directory);
    a.put(directory, std::to_string(i), "");
    EXPECT_GT(a.stat(directory).modified.nanoseconds, before.modified.nanoseconds);
    EXPECT_GT(a.stat(directory).changed.nanoseconds, before.changed.nanoseconds);
  }
  EXPECT_LT(modified(a, directory), later + 1000) << "by as little as can be";
  // The largest time that can be set can still be moved.
  changes.modified = TimeSpec{std::numeric_limits<std::int64_t>::max()};
  a.must(a.volume->names.set_attributes({}, directory, changes));
  const std::int64_t end = modified(a, directory);
  a.put(directory, "last", "");
  EXPECT_GT(modified(a, directory), end);
}

TEST_F(ClocksTest, WrittenFile_ItsTimeStaysWhenItIsFlushed) {
  Mount& a = mount();
  const Handle handle = a.create(root_inode, "f");
  const InodeNumber file = a.find(root_inode, "f");
  for (int i = 0; i < 3; ++i) {
    a.write(handle, 0, "x");
    const std::int64_t written = modified(a, file);
    a.must(a.volume->files.flush(handle));
    EXPECT_EQ(modified(a, file), written);
  }
  a.close(handle);
}

TEST_F(ClocksTest, AppendLock_OfADeadMountHoursAhead_IsBroken) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "log", pattern(100000));
  for (std::size_t steps = 1; steps < 6; ++steps) {
    Mount& dying = mount();
    dying.store.set_clock_error(5h);
    const Handle handle = dying.open(file, O_WRONLY | O_APPEND);
    dying.die_after(steps, dying.volume->files.write(handle, 0, SharedBytes(std::string("lost or not"))));
    const Handle other = b.open(file, O_WRONLY | O_APPEND);
    b.write(other, 0, "after");
    b.close(other);
  }
  EXPECT_TRUE(a.contents(file).ends_with("after"));
}

}  // namespace
}  // namespace ringfs::fs
