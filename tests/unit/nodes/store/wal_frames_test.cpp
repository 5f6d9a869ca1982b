// Reading a WAL without SQLite: its end, its mark, and what is behind damage.
#include "nodes/store/files/wal_frames.hpp"

#include "tests/unit/nodes/store/damage_fixture.hpp"

namespace ringfs::nodes {
namespace {

class WalFrames : public StoreTest {
 protected:
  std::filesystem::path database() const { return directory / database_file_name; }
  // A WAL with a few synced transactions of a killed process.
  void make_wal() {
    const int code = exit_code_of([this] {
      open();
      for (dht::LogIndex i = 1; i <= 8; ++i)
        run(first_partition, {batch_entry(i, {put("k", std::to_string(i), pattern(3000, 'a'))})});
      _exit(wait_write(*store, append_write(first_partition, {no_op(9)})) ? 0 : 1);
    });
    ASSERT_EQ(code, 0);
  }
  std::uint32_t number_of(std::uint64_t frame) { return number_in(wal_of(database()), frame_place(frame)); }
  bool again(std::uint64_t frame, std::uint32_t number, std::uint64_t end) {
    while (++frame < end) {
      if (number_of(frame) == number) return true;
    }
    return false;
  }
  void flip(std::uint64_t place, int bits = 4) {
    std::fstream stream(wal_of(database()), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(place));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(place));
    stream.put(static_cast<char>(byte ^ bits));
  }
  static std::uint64_t frame_place(std::uint64_t frame) {
    return wal_header_bytes + frame * (4096 + frame_header_bytes);
  }
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
  constexpr std::uint64_t last = 3;  // frames of the last transaction: of the log, its index, and the group
  ASSERT_TRUE(write_mark(database(), {read_mark(database())->salts, frames - last}, true));
  flip(frame_place(frames - 1) + 100);
  Result<WalContents> contents = read_wal(database());
  ASSERT_TRUE(contents) << contents.error().text();
  EXPECT_GE(contents->committed, frames - last);
  EXPECT_LT(contents->committed, frames);
}

TEST_F(WalFrames, Wal_ThatEndsBeforeItsMark_IsDamage) {
  make_wal();
  const std::uint64_t frames = read_mark(database())->frames;
  std::filesystem::resize_file(wal_of(database()), frame_place(frames - 3) + 77);
  Result<WalContents> contents = read_wal(database());
  ASSERT_FALSE(contents);
  EXPECT_EQ(contents.error().code, ErrorCode::corrupt);
  EXPECT_FALSE(read_wal(database(), WalDamage::worked_around));  // nobody knows what was behind
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
  ASSERT_TRUE(
      write_mark(database(), {mark.salts - (std::uint64_t{1} << 32), 30000}, true));  // the WAL has started over since
  EXPECT_TRUE(read_wal(database()));
}

TEST_F(WalFrames, Frame_Damaged_IsLostAndThoseBehindItAreNot) {
  make_wal();
  Result<WalContents> sound = read_wal(database());
  ASSERT_TRUE(sound);
  for (std::uint64_t frame = 0; frame < sound->committed; ++frame) {
    const std::uint64_t place = frame_place(frame) + frame_header_bytes + 50 * frame % 4000;
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

TEST_F(WalFrames, Frames_DamagedSideBySide_AreLostTogether) {
  make_wal();
  Result<WalContents> sound = read_wal(database());
  ASSERT_TRUE(sound);
  for (std::uint64_t frame :
       {std::uint64_t{4}, std::uint64_t{5}, std::uint64_t{6}, sound->committed - 2, sound->committed - 1})
    flip(frame_place(frame) + 1000);
  Result<WalContents> around = read_wal(database(), WalDamage::worked_around);
  ASSERT_TRUE(around) << around.error().text();
  EXPECT_EQ(around->lost, (std::vector<std::uint64_t>{4, 5, 6, sound->committed - 2, sound->committed - 1}));
  EXPECT_EQ(around->committed, sound->committed);
}

// SQLite's sum does not distinguish the highest bit of some words of a page from that of the page's number.
TEST_F(WalFrames, Frame_WhoseDamageLooksLikeAnotherPages_CostsBoth) {
  make_wal();
  Result<WalContents> sound = read_wal(database());
  ASSERT_TRUE(sound);
  unsigned suspected = 0;
  for (std::uint64_t word = 0; word < 24; ++word) {
    // the words of this WAL are little-endian
    const std::uint64_t place = frame_place(7) + frame_header_bytes + 4 * word + 3;
    flip(place, 0x80);
    Result<WalContents> around = read_wal(database(), WalDamage::worked_around);
    ASSERT_TRUE(around) << word;
    EXPECT_TRUE(std::find(around->lost.begin(), around->lost.end(), 7u) != around->lost.end()) << word;
    suspected += around->lost_pages.empty() ? 0 : 1;
    flip(place, 0x80);
  }
  EXPECT_GT(suspected, 0u);
}

TEST_F(WalFrames, Header_OfAFrameDamaged_HidesNoOtherFrame) {
  make_wal();
  Result<WalContents> sound = read_wal(database());
  ASSERT_TRUE(sound);
  for (std::uint64_t byte = 0; byte < frame_header_bytes; ++byte) {
    flip(frame_place(7) + byte);
    EXPECT_FALSE(read_wal(database())) << byte;
    Result<WalContents> around = read_wal(database(), WalDamage::worked_around);
    ASSERT_TRUE(around) << byte << ": " << around.error().text();
    EXPECT_EQ(around->committed, sound->committed);
    if (byte >= 8) {  // salts and sum: page and number are undamaged
      EXPECT_TRUE(around->lost.empty()) << byte;
      EXPECT_EQ(around->database_pages, sound->database_pages);
    } else if (byte < 4) {  // the number: the real page is among the lost ones, unless a later frame has it
      const std::uint32_t meant = number_of(7) ^ std::uint32_t{4} << 8 * (3 - byte);
      EXPECT_TRUE(std::find(around->lost_pages.begin(), around->lost_pages.end(), meant) != around->lost_pages.end() ||
                  again(7, meant, sound->committed))
          << byte;
    }
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
}  // namespace ringfs::nodes
