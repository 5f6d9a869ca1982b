// What a write buffer keeps, sends and counts.
#include "fs/contents/write_buffer.hpp"

#include <gtest/gtest.h>

#include "fs/file_system.hpp"

namespace ringfs::fs {
namespace {

SharedBytes bytes_of(std::size_t size, char letter = 'x') { return SharedBytes(std::string(size, letter)); }

// Each write leaves a block of the one before, so all their buffers stay alive.
TEST(WriteBuffer, OverlappingWrites_CountEveryBufferThatABlockKeepsAlive) {
  WriteBuffer buffer;
  constexpr std::size_t writes = 15;
  for (std::size_t i = 0; i < writes; ++i) buffer.write(i * block_bytes, bytes_of(chunk_bytes));
  EXPECT_GE(buffer.cost(), writes * chunk_bytes);
  // They are overwritten completely: their buffers have gone.
  buffer.write(0, bytes_of(chunk_bytes));
  buffer.write(chunk_bytes, bytes_of(chunk_bytes));
  EXPECT_GE(buffer.cost(), 2 * chunk_bytes);
  EXPECT_LT(buffer.cost(), 3 * chunk_bytes);
}

// One dirty block of a write whose other part was published.
TEST(WriteBuffer, BlockThatIsLeftOfAPublishedWrite_CountsItsWholeBuffer) {
  WriteBuffer buffer;
  buffer.write(block_bytes, bytes_of(chunk_bytes));
  EXPECT_FALSE(buffer.take(0).empty());
  EXPECT_GE(buffer.cost(), chunk_bytes);
  EXPECT_LT(buffer.cost(), 2 * chunk_bytes);
  buffer.published();
  EXPECT_TRUE(buffer.has_dirty());
  EXPECT_GE(buffer.cost(), chunk_bytes);
  buffer.take(1);
  buffer.published();
  EXPECT_EQ(buffer.cost(), 0U);
}

TEST(WriteBuffer, EverythingUnsentOverwrittenOrDropped_CountsNothing) {
  WriteBuffer buffer;
  for (int round = 0; round < 3; ++round) {
    buffer.write(1000, bytes_of(3 * block_bytes));
    buffer.write(0, bytes_of(100, 'a'));
    buffer.write(100, bytes_of(50, 'b'));
    buffer.take(0);
    buffer.write(2000, bytes_of(block_bytes, 'c'));
    buffer.unsend();
    buffer.write(20, bytes_of(10, 'd'));
    EXPECT_EQ(buffer.overlay(0, 30).back().bytes.view().substr(0, 1), "a");
    if (round == 1) {
      buffer.clear();
      EXPECT_EQ(buffer.cost(), 0U);
    }
  }
  buffer.take(0);
  buffer.published();
  EXPECT_EQ(buffer.cost(), 0U);
  EXPECT_TRUE(buffer.empty());
}

// The rest of a small piece is small, whatever it was a part of.
TEST(WriteBuffer, SmallWritesThatGrewTogether_AreCutToWhatIsLeft) {
  WriteBuffer buffer;
  for (std::size_t i = 0; i < 16; ++i) buffer.write(i * 4000, bytes_of(4000));
  EXPECT_LT(buffer.cost(), 16 * 4000 + 1000);
  buffer.write(10, bytes_of(block_bytes - 20));
  EXPECT_LT(buffer.cost(), block_bytes + 1000);
}

// A writer that began in the middle of a chunk: that chunk is sent with the first full one behind it.
TEST(WriteBuffer, FinishedChunks_AreABeginningOfWhatIsDirty) {
  WriteBuffer buffer;
  buffer.write(chunk_bytes + 5, bytes_of(chunk_bytes - 5));
  EXPECT_FALSE(buffer.has_full_chunk());
  EXPECT_TRUE(buffer.finished_chunks().empty());
  buffer.write(2 * chunk_bytes, bytes_of(chunk_bytes));
  buffer.write(3 * chunk_bytes, bytes_of(100));
  EXPECT_EQ(buffer.finished_chunks(), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(buffer.dirty_chunks(), (std::vector<std::uint64_t>{1, 2, 3}));
}

}  // namespace
}  // namespace ringfs::fs
