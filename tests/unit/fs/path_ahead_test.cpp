// Walks down a path whose rows are not at hand any more.
#include "tests/unit/fs/world.hpp"

namespace ringfs {
namespace {

// Remembers the rows that were read until they are forgotten; what is not remembered takes a millisecond.
class RememberingStore : public MemoryObjectStore {
 public:
  using MemoryObjectStore::MemoryObjectStore;

  std::optional<bool> at_hand(const ReadRequest& request) const override {
    return std::all_of(request.gets.begin(), request.gets.end(), [this](const RowAddress& row) { return rows_.contains(row); });
  }
  Task<Result<ReadReply>> read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) override {
    if (!*at_hand(request)) {
      ++asked;
      co_await sleep(std::chrono::milliseconds(1));
    }
    const std::vector<RowAddress> gets = request.gets;
    Result<ReadReply> reply = co_await MemoryObjectStore::read_raw(partition, std::move(request), deadline);
    rows_.insert(gets.begin(), gets.end());
    co_return reply;
  }
  void forget() { rows_.clear(); }

  std::size_t asked = 0;

 private:
  std::set<RowAddress> rows_;
};

class PathAheadTest : public World {
 protected:
  static constexpr int depth = 60;
  PathAheadTest() : store_(time, ring, 77), volume_(std::make_shared<Volume>(store_, FileSystemOptions{})) {
    EXPECT_TRUE(time.run(volume_->start()));
    InodeNumber directory = root_inode;
    for (int i = 0; i < depth; ++i) directory = time.run(volume_->make_directory({}, directory, "d", 0755))->inode;
  }
  ~PathAheadTest() override {
    volume_->abandon();
    time.settle();
  }
  // As the kernel does it: each directory's attributes, then the next name.
  Duration walk() {
    const TimePoint begin = time.clock().now;
    InodeNumber directory = root_inode;
    for (int i = 0; i < depth; ++i) {
      EXPECT_TRUE(time.run(volume_->get_attributes(directory)));
      const Result<Attributes> next = time.run(volume_->lookup(directory, "d"));
      EXPECT_TRUE(next);
      if (!next) return {};
      directory = next->inode;
    }
    return time.clock().now - begin;
  }
  RememberingStore store_;
  std::shared_ptr<Volume> volume_;
};

TEST_F(PathAheadTest, Walk_ThatWasWalkedBefore_WaitsForTheRingAFewTimesOnly) {
  store_.forget();
  const Duration first = walk();
  EXPECT_GE(first, std::chrono::milliseconds(depth));  // nobody knows the way
  store_.forget();
  EXPECT_LT(walk(), std::chrono::milliseconds(depth / 4));
  // What is at hand is not asked for again.
  const std::size_t asked = store_.asked;
  EXPECT_EQ(walk(), Duration(0));
  EXPECT_EQ(store_.asked, asked);
}

TEST_F(PathAheadTest, Walk_WhoseEndWasMovedByAnotherMount_FindsWhatIsThere) {
  walk();
  Mount& b = mount();
  InodeNumber fifth = root_inode;
  for (int i = 0; i < 5; ++i) fifth = b.find(fifth, "d");
  ASSERT_TRUE(b.rename(fifth, "d", root_inode, "elsewhere"));
  store_.forget();
  InodeNumber directory = root_inode;
  for (int i = 0; i < 5; ++i) directory = time.run(volume_->lookup(directory, "d"))->inode;
  EXPECT_EQ(time.run(volume_->lookup(directory, "d")).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace ringfs
