// FileSystem: `.ring` and the rest side by side, statfs.
#include "fs/file_system.hpp"

#include "fs/control/control_tree.hpp"
#include "tests/support/fake_admin.hpp"
#include "tests/support/silent_ring.hpp"
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class RingWithSpace : public SilentRing {
 public:
  Task<Result<SpaceView>> space(TimePoint) override {
    ++asked;
    co_return SpaceView{1000 * 65536, 400 * 65536};
  }
  unsigned asked = 0;
};

class FileSystemTest : public World {
 protected:
  FileSystemTest() : store_(time, ring, 99), fs_(store_, view_, admin_, options()) {
    EXPECT_TRUE(time.run(fs_.start()));
  }
  ~FileSystemTest() override { EXPECT_TRUE(time.run(fs_.stop(time.clock().now + std::chrono::seconds(10)))); }

  static FileSystemOptions options() {
    FileSystemOptions result;
    result.show_ring = false;
    return result;
  }
  template <class T>
  ErrorCode error(Task<Result<T>> task) {
    Result<T> result = time.run(std::move(task));
    return result ? ErrorCode{} : result.error().code;
  }

  MemoryObjectStore store_;
  RingWithSpace view_;
  FakeAdmin admin_;
  FileSystem fs_;
};

TEST_F(FileSystemTest, RingDirectory_InTheRoot_IsFoundButNotListed) {
  Result<Attributes> found = time.run(fs_.lookup({}, root_inode, ".ring"));
  ASSERT_TRUE(found);
  EXPECT_TRUE(ControlTree::owns(found->inode));
  EXPECT_TRUE(S_ISDIR(found->mode));
  Handle root = *time.run(fs_.open_directory({}, root_inode));
  Result<std::vector<DirectoryEntry>> entries = time.run(fs_.read_directory(root, 0, 100, true));
  ASSERT_TRUE(entries);
  EXPECT_EQ(entries->size(), 2U);
  time.run(fs_.release_directory(root));
  Result<Attributes> up = time.run(fs_.lookup({}, found->inode, ".."));
  ASSERT_TRUE(up);
  EXPECT_EQ(up->inode, root_inode);
}

TEST_F(FileSystemTest, RingDirectory_WithShowRing_IsListedFirst) {
  FileSystemOptions shown;
  shown.show_ring = true;
  FileSystem other(store_, view_, admin_, shown);
  ASSERT_TRUE(time.run(other.start()));
  Handle root = *time.run(other.open_directory({}, root_inode));
  Result<std::vector<DirectoryEntry>> entries = time.run(other.read_directory(root, 0, 100, true));
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 3U);
  EXPECT_EQ(entries->at(2).name, ".ring");
  EXPECT_EQ(entries->at(2).inode, ControlTree::root);
  time.run(other.release_directory(root));
  EXPECT_TRUE(time.run(other.stop(time.clock().now + std::chrono::seconds(10))));
}

TEST_F(FileSystemTest, ChangesOfTheRingDirectory_AreNotPermitted) {
  const InodeNumber ring_inode = ControlTree::root;
  EXPECT_EQ(error(fs_.make_directory({}, root_inode, ".ring", 0755)), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.create({}, root_inode, ".ring", 0644, O_RDWR)), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.make_node({}, ring_inode, "x", S_IFREG, 0)), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.make_symlink({}, ring_inode, "x", "y")), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.unlink({}, ring_inode, "status")), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.remove_directory({}, root_inode, ".ring")), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.rename({}, root_inode, ".ring", root_inode, "x", 0)), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.rename({}, root_inode, "x", ring_inode, "y", 0)), ErrorCode::not_permitted);
  EXPECT_EQ(error(fs_.link({}, ring_inode, root_inode, "x")), ErrorCode::not_permitted);
  SetAttributes mode;
  mode.mode = 0777;
  EXPECT_EQ(error(fs_.set_attributes({}, ring_inode, mode)), ErrorCode::not_permitted);
  // But a directory elsewhere may have that name.
  Result<Attributes> d = time.run(fs_.make_directory({}, root_inode, "d", 0755));
  ASSERT_TRUE(d);
  EXPECT_TRUE(time.run(fs_.make_directory({}, d->inode, ".ring", 0755)));
}

TEST_F(FileSystemTest, Status_AskedOften_AsksTheRingOnceASecond) {
  for (int i = 0; i < 10; ++i) {
    Result<FileSystemStatus> status = time.run(fs_.status());
    ASSERT_TRUE(status);
    EXPECT_EQ(status->blocks, 1000U);
    EXPECT_EQ(status->free_blocks, 400U);
  }
  EXPECT_EQ(view_.asked, 1U);
  time.advance(std::chrono::seconds(2));
  EXPECT_TRUE(time.run(fs_.status()));
  EXPECT_EQ(view_.asked, 2U);
}

TEST_F(FileSystemTest, Describe_OfAFile_NamesItsPartitionAndChunks) {
  Result<Opened> opened = time.run(fs_.create({}, root_inode, "f", 0644, O_RDWR));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(time.run(fs_.write(opened->handle, 0, SharedBytes(std::string(3 << 20, 'x')))));
  ASSERT_TRUE(time.run(fs_.flush(opened->handle)));
  Result<std::string> text = time.run(fs_.describe(opened->attributes.inode));
  ASSERT_TRUE(text);
  EXPECT_NE(text->find("chunks=3\n"), std::string::npos) << *text;
  EXPECT_NE(text->find("partition=0\n"), std::string::npos) << *text;
  time.run(fs_.release(opened->handle));
  EXPECT_EQ(error(fs_.describe(0x4242424242)), ErrorCode::stale_handle);
}

}  // namespace
}  // namespace ringfs::fs
