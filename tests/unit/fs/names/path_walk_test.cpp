// Walks down a path whose rows are no longer in memory.
#include <algorithm>
#include <set>

#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

// A store that keeps rows in memory until forget(), and counts the requests that need a node.
class RememberingStore : public MemoryObjectStore {
 public:
  using MemoryObjectStore::MemoryObjectStore;

  std::optional<bool> at_hand(const ReadRequest& request) const override {
    return std::all_of(request.gets.begin(), request.gets.end(),
                       [this](const RowAddress& row) { return rows_.contains(row); });
  }
  Task<Result<ReadReply>> read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) override {
    if (!*at_hand(request)) ++asked;
    rows_.insert(request.gets.begin(), request.gets.end());
    Result<ReadReply> reply = co_await MemoryObjectStore::read_raw(partition, std::move(request), deadline);
    co_return reply;
  }
  void forget() { rows_.clear(); }

  std::size_t asked = 0;

 private:
  std::set<RowAddress> rows_;
};

class PathWalkTest : public World {
 protected:
  static constexpr int depth = 60;
  PathWalkTest() : store_(time, ring, 77), volume_(std::make_shared<Volume>(store_, FileSystemOptions{})) {
    EXPECT_TRUE(time.run(volume_->start()));
    InodeNumber directory = root_inode;
    for (int i = 0; i < depth; ++i)
      directory = time.run(volume_->names.make_directory({}, directory, "d", 0755))->inode;
  }
  ~PathWalkTest() override {
    volume_->abandon();
    time.settle();
  }
  // As the kernel walks: each directory's attributes, then the next name in it. Returns the number of requests.
  std::size_t walk() {
    const std::size_t before = store_.asked;
    InodeNumber directory = root_inode;
    for (int i = 0; i < depth; ++i) {
      EXPECT_TRUE(time.run(volume_->names.get_attributes(directory)));
      const Result<Attributes> next = time.run(volume_->names.lookup(directory, "d"));
      EXPECT_TRUE(next);
      if (!next) break;
      directory = next->inode;
    }
    return store_.asked - before;
  }
  RememberingStore store_;
  std::shared_ptr<Volume> volume_;
};

TEST_F(PathWalkTest, Way_ThatWasWalkedBefore_CostsARequestADirectory) {
  walk();
  store_.forget();
  EXPECT_LE(walk(), std::size_t{depth} + 1);
  EXPECT_EQ(walk(), 0u) << "all of it is at hand";
}

TEST_F(PathWalkTest, Way_WhoseEndWasMovedByAnotherMount_IsFoundToHaveEnded) {
  walk();
  Mount& other = mount();
  InodeNumber fifth = root_inode;
  for (int i = 0; i < 5; ++i) fifth = other.find(fifth, "d");
  ASSERT_TRUE(other.rename(fifth, "d", root_inode, "elsewhere"));
  store_.forget();
  InodeNumber directory = root_inode;
  for (int i = 0; i < 5; ++i) directory = time.run(volume_->names.lookup(directory, "d"))->inode;
  EXPECT_EQ(directory, fifth);
  EXPECT_EQ(time.run(volume_->names.lookup(directory, "d")).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace ringfs::fs
