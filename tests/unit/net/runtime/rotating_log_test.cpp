// The log file stays within its limit, whatever goes wrong.
#include "dht/net/runtime/rotating_log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "tests/support/scratch_directory.hpp"

namespace ringfs::dht {
namespace {

class RotatingFileTest : public testing::Test {
 protected:
  static constexpr std::size_t limit = 100;

  std::unique_ptr<RotatingFile> open(const std::vector<int>& companions = {}) {
    auto file = RotatingFile::open(path_, limit, companions);
    EXPECT_TRUE(file);
    return std::move(*file);
  }
  static std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::string current() const { return text_of(path_); }
  std::string before() const { return text_of(path_.string() + ".1"); }
  static std::string line(char letter) { return std::string(39, letter) + "\n"; }

  const ScratchDirectory directory_{"log"};
  const std::filesystem::path path_ = directory_ / "log";
};

TEST_F(RotatingFileTest, FullFile_BecomesTheOneBefore) {
  auto file = open();
  for (char letter : {'a', 'b', 'c'}) file->append(line(letter));
  EXPECT_EQ(before(), line('a') + line('b'));
  EXPECT_EQ(current(), line('c'));
}

TEST_F(RotatingFileTest, ManyLines_AreTwoFilesAtMost) {
  auto file = open();
  for (int i = 0; i < 100; ++i) file->append(line('x'));
  EXPECT_LE(std::filesystem::file_size(path_), limit);
  EXPECT_LE(before().size(), limit);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path), {}), 2);
}

TEST_F(RotatingFileTest, NextLife_GoesOnWhereTheLastOneEnded) {
  open()->append(line('a'));
  open()->append(line('b'));
  EXPECT_EQ(current(), line('a') + line('b'));
  open()->append(line('c'));
  EXPECT_EQ(before(), line('a') + line('b'));
}

TEST_F(RotatingFileTest, LineLongerThanTheLimit_IsWrittenAlone) {
  auto file = open();
  file->append(line('a'));
  file->append(std::string(3 * limit, 'b'));
  file->append(line('c'));
  EXPECT_EQ(before(), std::string(3 * limit, 'b'));
  EXPECT_EQ(current(), line('c'));
}

TEST_F(RotatingFileTest, SomebodyTruncatesIt_ItGoesOnFromTheBeginning) {
  auto file = open();
  file->append(line('a'));
  file->append(line('b'));
  std::filesystem::resize_file(path_, 0);
  file->append(line('c'));
  EXPECT_EQ(current(), line('c'));
  EXPECT_FALSE(std::filesystem::exists(path_.string() + ".1"));
}

TEST_F(RotatingFileTest, Companions_FollowIfTheyAreThisFile) {
  const int same = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int other = ::open((directory_ / "other").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  auto file = open({same, other});
  for (char letter : {'a', 'b', 'c'}) file->append(line(letter));
  for (int descriptor : {same, other}) ASSERT_EQ(::write(descriptor, "last words\n", 11), 11);
  EXPECT_EQ(current(), line('c') + "last words\n");
  EXPECT_EQ(text_of(directory_ / "other"), "last words\n");
  ::close(same);
  ::close(other);
}

// As on a disk that has no room for another file.
TEST_F(RotatingFileTest, NextFileCannotBeMade_StaysWithinTheLimitAndRecovers) {
  auto file = open();
  const int descriptor = ::open(path_.c_str(), O_RDONLY);
  std::filesystem::rename(directory_.path, directory_.path.string() + "-away");
  for (int i = 0; i < 10; ++i) file->append(line('a'));
  EXPECT_LE(::lseek(descriptor, 0, SEEK_END), static_cast<off_t>(limit));
  ::close(descriptor);
  std::filesystem::rename(directory_.path.string() + "-away", directory_.path);
  for (int i = 0; i < 10; ++i) file->append(line('b'));
  EXPECT_LE(current().size(), limit);
  EXPECT_NE(current().find(line('b')), std::string::npos);
}

TEST(RotatingLog, FullDisk_LosesTheLineOnly) {
  auto file = RotatingFile::open("/dev/full", 100, {});
  ASSERT_TRUE(file);
  for (int i = 0; i < 100; ++i) (*file)->append("a line\n");
}

TEST(RotatingLog, FileThatCannotBeOpened_IsAnError) {
  auto file = RotatingFile::open("/no/such/directory/log", 100, {});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::io_error);
  EXPECT_NE(file.error().context.find("/no/such/directory/log"), std::string::npos);
}

}  // namespace
}  // namespace ringfs::dht
