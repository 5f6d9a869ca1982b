// A ring that answers late, and in which some partitions do not answer.
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

// A store in which answers to reads arrive after those to later commits, and partitions may never answer.
class SlowStore : public MemoryObjectStore {
 public:
  using MemoryObjectStore::MemoryObjectStore;

  Task<Result<ReadReply>> read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) override {
    if (silent.contains(partition)) {
      co_await sleep(deadline - clock().now);
      co_return fail(ErrorCode::timeout, "silent");
    }
    const Duration late = std::exchange(next_answer_late_by, Duration(0));
    Result<ReadReply> reply = co_await MemoryObjectStore::read_raw(partition, std::move(request), deadline);
    if (late > Duration(0)) co_await sleep(late);
    co_return reply;
  }

  Duration next_answer_late_by{0};
  std::set<PartitionId> silent;
};

class SlowRingTest : public World {
 protected:
  SlowRingTest() : store_(time, ring, 77), volume_(std::make_shared<Volume>(store_, FileSystemOptions{})) {
    EXPECT_TRUE(time.run(volume_->start()));
  }
  ~SlowRingTest() override {
    volume_->abandon();
    time.settle();
  }

  void silence_all() {
    for (const PartitionId partition : partitions()) store_.silent.insert(partition);
  }

  SlowStore store_;
  std::shared_ptr<Volume> volume_;
};

TEST_F(SlowRingTest, Read_OvertakenByAnAppendOfThisMount_ShowsBytesAndNoZeros) {
  Mount& a = mount();
  const std::string before = pattern(100, 1), first = pattern(50, 2), second = pattern(60, 3);
  const InodeNumber file = a.put(root_inode, "log", before);
  const Handle reader = time.run(volume_->files.open({}, file, O_RDONLY))->handle;
  const Handle writer = time.run(volume_->files.open({}, file, O_WRONLY | O_APPEND))->handle;
  ASSERT_TRUE(time.run(volume_->files.write(writer, 0, SharedBytes(first))));
  store_.next_answer_late_by = std::chrono::seconds(1);
  const Begun<Result<ReadResult>> seen = time.begin(volume_->files.read(reader, 0, 4096));
  const Begun<Result<std::size_t>> written = time.begin(volume_->files.write(writer, 0, SharedBytes(second)));
  ASSERT_TRUE(written.ended() && written.result());
  ASSERT_FALSE(seen.ended());
  time.advance(std::chrono::seconds(2));
  time.settle();
  ASSERT_TRUE(seen.ended() && seen.result());
  std::string bytes;
  for (const SharedBytes& piece : seen.result()->pieces) bytes += piece.view();
  EXPECT_EQ(bytes, before + first + second);
}

// Files of many partitions are open and unlinked; most of them do not answer. Those that do are held in time.
TEST_F(SlowRingTest, HoldsOfPartitionsThatAnswer_WhileManyDoNot_ArePut) {
  Mount& a = mount();
  std::map<PartitionId, InodeNumber> files;
  for (int i = 0; files.size() < 24; ++i) {
    const InodeNumber directory = a.mkdir(root_inode, "d" + std::to_string(i));
    const PartitionId partition = partition_of_inode(directory, ring->partition_bits);
    if (!files.contains(partition)) files[partition] = a.put(directory, "f", "x");
  }
  for (const auto& [partition, file] : files) ASSERT_TRUE(time.run(volume_->files.open({}, file, O_RDONLY)));
  for (const auto& [partition, file] : files) {
    const std::optional<InodeNumber> parent = [&]() -> std::optional<InodeNumber> {
      for (const std::string& name : a.list(root_inode)) {
        const InodeNumber directory = a.find(root_inode, name);
        if (a.exists(directory, "f") && a.find(directory, "f") == file) return directory;
      }
      return std::nullopt;
    }();
    ASSERT_TRUE(parent);
    a.must(a.volume->names.unlink(*parent, "f"));
  }
  const InodeNumber answering = files.rbegin()->second;
  for (const auto& [partition, file] : files) {
    if (file != answering) store_.silent.insert(partition);
  }
  pass(a, std::chrono::seconds(50));
  Status checked = time.run(volume_->holds.check(time.clock().now + std::chrono::seconds(30)));
  EXPECT_FALSE(checked);
  pass(a, std::chrono::seconds(25));  // longer than an orphan without holds is kept
  clean(a);
  store_.silent.clear();
  EXPECT_TRUE(a.run(a.volume->files.open({}, answering, O_RDONLY)));
  EXPECT_EQ(a.error(a.volume->files.open({}, files.begin()->second, O_RDONLY)), ErrorCode::stale_handle);
}

TEST_F(SlowRingTest, Stop_WithManyDirtyFiles_FlushesThemSideBySide) {
  for (int i = 0; i < 60; ++i) {
    Result<Opened> opened = time.run(volume_->files.create({}, root_inode, "f" + std::to_string(i), 0644, O_RDWR));
    ASSERT_TRUE(opened);
    ASSERT_TRUE(time.run(volume_->files.write(opened->handle, 0, SharedBytes(std::string("dirty")))));
  }
  store_.set_latency(std::chrono::seconds(1));
  Status stopped = time.run(volume_->stop(time.clock().now + std::chrono::seconds(20)));
  EXPECT_TRUE(stopped) << stopped.error().text();
  Mount& b = mount();
  for (int i = 0; i < 60; ++i) EXPECT_EQ(b.get(root_inode, "f" + std::to_string(i)), "dirty");
}

TEST_F(SlowRingTest, OperationTimeout_SetAnew_HoldsForOperationsThatBegin) {
  Mount& a = mount();
  a.put(root_inode, "f", "x");
  silence_all();
  for (const Duration timeout : {Duration(std::chrono::seconds(30)), Duration(std::chrono::seconds(3))}) {
    volume_->options.operation_timeout = timeout;
    const TimePoint before = time.clock().now;
    EXPECT_EQ(time.run(volume_->names.lookup(root_inode, "f")).error().code, ErrorCode::timeout);
    EXPECT_EQ(time.clock().now - before, timeout);
  }
}

// `.ring` says why the ring does not answer, and every walk into it asks for the root's attributes first.
TEST_F(SlowRingTest, Root_OfASilentRing_HasTheAttributesLastSeen) {
  const Attributes before = *time.run(volume_->names.get_attributes(root_inode));
  silence_all();
  TimePoint asked = time.clock().now;
  Result<Attributes> silent = time.run(volume_->names.get_attributes(root_inode));
  ASSERT_TRUE(silent) << silent.error().text();
  EXPECT_EQ(silent->mode, before.mode);
  // Longer than a node that dies delays operations, and far below the operation timeout.
  EXPECT_GT(time.clock().now - asked, std::chrono::seconds(2));
  EXPECT_LT(time.clock().now - asked, std::chrono::seconds(5));
  asked = time.clock().now;
  EXPECT_TRUE(time.run(volume_->names.get_attributes(root_inode)));
  EXPECT_LT(time.clock().now - asked, std::chrono::seconds(1));
  EXPECT_EQ(time.run(volume_->names.lookup(root_inode, "f")).error().code, ErrorCode::timeout);
}

TEST_F(SlowRingTest, Root_OfARingThatAnswersLate_HasItsTrueAttributes) {
  Mount& a = mount();
  SetAttributes changes;
  changes.mode = 0700;
  ASSERT_TRUE(a.run(a.volume->names.set_attributes({}, root_inode, changes)));
  store_.next_answer_late_by = std::chrono::seconds(2);
  EXPECT_EQ(time.run(volume_->names.get_attributes(root_inode))->mode & 07777, 0700U);
}

TEST_F(SlowRingTest, Root_OfARingThatIsBack_HasItsTrueAttributesAgain) {
  Mount& a = mount();
  ASSERT_TRUE(time.run(volume_->names.get_attributes(root_inode)));
  silence_all();
  ASSERT_TRUE(time.run(volume_->names.get_attributes(root_inode)));
  SetAttributes changes;
  changes.mode = 0700;
  ASSERT_TRUE(a.run(a.volume->names.set_attributes({}, root_inode, changes)));
  store_.silent.clear();
  time.advance(std::chrono::seconds(4));  // it has noticed by itself, and waits again as long as it takes
  store_.next_answer_late_by = std::chrono::seconds(2);
  EXPECT_EQ(time.run(volume_->names.get_attributes(root_inode))->mode & 07777, 0700U);
}

// A store whose time is virtual for limits of waits, too.
class VirtualStore : public MemoryObjectStore {
 public:
  using MemoryObjectStore::MemoryObjectStore;
  Task<void> sleep_beside(Duration duration) override { return sleep(duration); }
};

class AsyncTest : public World {
 protected:
  VirtualStore store_{time, ring, 78};
  TimePoint after(std::chrono::milliseconds duration) const { return time.clock().now + duration; }
};

// Others get the lock again and again; a waiter gives up when its own deadline has passed.
TEST_F(AsyncTest, Lock_ThatOthersKeepTaking_IsGivenUpAtTheDeadline) {
  Mutex mutex;
  auto hog = [](Mutex* lock, ObjectStore* store) -> Task<bool> {
    Lock mine = co_await lock->lock(*store, store->clock().now + std::chrono::seconds(1));
    for (int i = 0; i < 30; ++i) {
      co_await store->sleep(std::chrono::milliseconds(20));
      mine.unlock();
      mine = co_await lock->lock(*store, store->clock().now + std::chrono::seconds(1));
    }
    co_return static_cast<bool>(mine);
  };
  auto waiter = [](Mutex* lock, ObjectStore* store, TimePoint deadline) -> Task<bool> {
    Lock mine = co_await lock->lock(*store, deadline);
    co_return static_cast<bool>(mine);
  };
  const Begun<bool> hogging = time.begin(hog(&mutex, &store_));
  const Begun<bool> waiting = time.begin(waiter(&mutex, &store_, after(std::chrono::milliseconds(100))));
  time.advance(std::chrono::milliseconds(99));
  EXPECT_FALSE(waiting.ended());
  time.advance(std::chrono::milliseconds(1));
  ASSERT_TRUE(waiting.ended());
  EXPECT_FALSE(waiting.result());
  time.run_until_idle();
  EXPECT_TRUE(hogging.result());
}

TEST_F(AsyncTest, Wait_WhoseDeadlinePassesInTheStoresTime_EndsThen) {
  Event event;
  const Begun<bool> waiting = time.begin(event.wait(store_, after(std::chrono::hours(1))));
  time.advance(std::chrono::minutes(59));
  EXPECT_FALSE(waiting.ended());
  time.advance(std::chrono::minutes(1));
  ASSERT_TRUE(waiting.ended());
  EXPECT_FALSE(waiting.result());
}

TEST_F(AsyncTest, Wait_ThatIsNotifiedBeforeTheDeadline_EndsAtOnce) {
  Event event;
  const Begun<bool> waiting = time.begin(event.wait(store_, after(std::chrono::hours(1))));
  event.notify();
  time.settle();
  ASSERT_TRUE(waiting.ended());
  EXPECT_TRUE(waiting.result());
}

}  // namespace
}  // namespace ringfs::fs
