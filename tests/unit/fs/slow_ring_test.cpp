// A ring that answers late, and in which some partitions do not answer.
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

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

// Others get the lock again and again; a waiter gives up when its own limit has passed.
TEST_F(SlowRingTest, Lock_ThatOthersKeepTaking_IsGivenUpAtTheLimit) {
  Mutex mutex;
  bool ended = false;
  std::optional<bool> got;
  auto hog = [](Mutex* lock, bool* done) -> Task<void> {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    Lock mine = co_await lock->lock(std::chrono::seconds(1));
    for (int i = 0; i < 30; ++i) {
      timer.expires_after(std::chrono::milliseconds(20));
      co_await timer.async_wait(boost::asio::use_awaitable);
      mine.unlock();
      mine = co_await lock->lock(std::chrono::seconds(1));
    }
    *done = true;
  };
  auto waiter = [](Mutex* lock, std::optional<bool>* result) -> Task<void> {
    Lock mine = co_await lock->lock(std::chrono::milliseconds(100));
    *result = static_cast<bool>(mine);
  };
  boost::asio::co_spawn(loop, hog(&mutex, &ended), boost::asio::detached);
  boost::asio::co_spawn(loop, waiter(&mutex, &got), boost::asio::detached);
  loop.restart();
  while (!ended || !got) loop.run_one();
  EXPECT_FALSE(*got);
}

}  // namespace
}  // namespace ringfs::fs
