// A WAL read without SQLite: where it ends, its mark, and what is behind damage.
#include "nodes/wal_frames.hpp"

#include "tests/unit/nodes/damage_fixture.hpp"

namespace ringfs {
namespace {

class WalFrames : public StoreTest {
 protected:
  std::filesystem::path database() const { return directory / database_file_name; }
  // A WAL of a few transactions that a killed process has left, each synced.
  void make_wal() {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      open();
      for (LogIndex i = 1; i <= 8; ++i) run(first_partition, {batch_entry(i, {put("k", std::to_string(i), pattern(3000, 'a'))})});
      _exit(wait_write(*store, append_write(first_partition, {no_op(9)})) ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_EQ(status, 0);
  }
  void flip(std::uint64_t place) {
    std::fstream stream(wal_of(database()), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(place));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(place));
    stream.put(static_cast<char>(byte ^ 4));
  }
  static std::uint64_t frame_place(std::uint64_t frame) { return wal_header_bytes + frame * (4096 + frame_header_bytes); }
};

TEST_F(WalFrames, Mark_OfAKilledProcess_IsTheEndOfItsLastSync) {
  make_wal();
  std::optional<WalMark> mark = read_mark(database());
  ASSERT_TRUE(mark);
  Result<WalContents> contents = read_wal(database());
  ASSERT_TRUE(contents) << contents.error().text();
  EXPECT_GT(mark->frames, 10u);
  EXPECT_EQ(contents->committed, mark->frames);
  EXPECT_EQ(contents->header->salts, mark->salts);
  EXPECT_GT(contents->database_pages, 5u);
}

TEST_F(WalFrames, Mark_AfterAnOrderlyEnd_MeasuresNothing) {
  open();
  run(first_partition, {no_op(1)});
  store.reset();
  EXPECT_FALSE(std::filesystem::exists(wal_of(database())));
  EXPECT_EQ(read_mark(database()), (WalMark{0, 0}));
  open();
  EXPECT_EQ(node.groups.at(0).log.size(), 1u);
}

TEST_F(WalFrames, Wal_TornBeyondItsMark_EndsThere) {
  make_wal();
  const std::uint64_t frames = read_mark(database())->frames;
  ASSERT_TRUE(write_mark(database(), {read_mark(database())->salts, frames - 2}, true));
  flip(frame_place(frames - 1) + 100);
  Result<WalContents> contents = read_wal(database());
  ASSERT_TRUE(contents) << contents.error().text();
  EXPECT_GE(contents->committed, frames - 2);
  EXPECT_LT(contents->committed, frames);
}

TEST_F(WalFrames, Wal_ThatEndsBeforeItsMark_IsDamage) {
  make_wal();
  const std::uint64_t frames = read_mark(database())->frames;
  std::filesystem::resize_file(wal_of(database()), frame_place(frames - 3) + 77);
  Result<WalContents> contents = read_wal(database());
  ASSERT_FALSE(contents);
  EXPECT_EQ(contents.error().code, ErrorCode::corrupt);
  EXPECT_FALSE(read_wal(database(), WalDamage::worked_around));  // what came behind is not there
  Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_NE(error.context.find("were synced"), std::string::npos) << error.context;
  std::filesystem::remove(wal_of(database()));
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
}

TEST_F(WalFrames, Wal_OfAnOlderGenerationThanItsMark_IsDamage) {
  make_wal();
  const WalMark mark = *read_mark(database());
  ASSERT_TRUE(write_mark(database(), {mark.salts + (std::uint64_t{1} << 32), 3}, true));
  EXPECT_FALSE(read_wal(database()));
  ASSERT_TRUE(write_mark(database(), {mark.salts - (std::uint64_t{1} << 32), 30000}, true));  // it has started over since
  EXPECT_TRUE(read_wal(database()));
}

TEST_F(WalFrames, Frame_Damaged_IsLostAndThoseBehindItAreNot) {
  make_wal();
  Result<WalContents> sound = read_wal(database());
  ASSERT_TRUE(sound);
  for (std::uint64_t frame = 0; frame < sound->committed; ++frame) {
    const std::uint64_t place = frame_place(frame) + frame_header_bytes + 50 * frame;
    flip(place);
    EXPECT_FALSE(read_wal(database())) << frame;
    Result<WalContents> around = read_wal(database(), WalDamage::worked_around);
    ASSERT_TRUE(around) << frame << ": " << around.error().text();
    EXPECT_EQ(around->lost, std::vector<std::uint64_t>{frame});
    EXPECT_EQ(around->committed, sound->committed);
    EXPECT_EQ(around->shown.size(), sound->pages.size() - frame);
    flip(place);
  }
}

TEST_F(WalFrames, Header_OfAFrameDamaged_IsPutRight) {
  make_wal();
  Result<WalContents> sound = read_wal(database());
  ASSERT_TRUE(sound);
  for (std::uint64_t byte = 0; byte < frame_header_bytes; ++byte) {
    flip(frame_place(7) + byte);
    EXPECT_FALSE(read_wal(database())) << byte;
    Result<WalContents> around = read_wal(database(), WalDamage::worked_around);
    ASSERT_TRUE(around) << byte << ": " << around.error().text();
    EXPECT_TRUE(around->lost.empty()) << byte;
    EXPECT_EQ(around->committed, sound->committed);
    EXPECT_EQ(around->database_pages, sound->database_pages);
    flip(frame_place(7) + byte);
  }
  for (std::uint64_t byte = 0; byte < wal_header_bytes; ++byte) {
    flip(byte);
    EXPECT_FALSE(read_wal(database())) << byte;
    EXPECT_TRUE(read_wal(database(), WalDamage::worked_around)) << byte;
    flip(byte);
  }
}

}  // namespace
}  // namespace ringfs
