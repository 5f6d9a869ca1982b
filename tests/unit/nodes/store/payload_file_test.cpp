// The file of payloads by itself: which blocks are used again, and when.
#include "nodes/store/files/payload_file.hpp"

#include <sys/stat.h>

#include "nodes/store/files/sqlite_schema.hpp"
#include "tests/unit/nodes/store/fixture.hpp"

namespace ringfs::nodes {
namespace {

class StorePayloadFile : public StoreTest {
 protected:
  StorePayloadFile() {
    std::filesystem::create_directories(directory);
    connection_ = open_database(directory, 4096);
    open_file();
  }
  void open_file() {
    file_.reset();
    file_ = std::make_unique<PayloadFile>(directory, *connection_);
  }
  // A durable transaction that writes one payload.
  PayloadId written(char letter, std::size_t size = 20000) {
    PayloadId id = file_->write(std::string(size, letter));
    file_->sync();
    file_->committed();
    file_->durable();
    return id;
  }
  bool is(PayloadId id, char letter, std::size_t size = 20000) {
    return file_->read(id, size) == std::string(size, letter);
  }

  std::uint64_t on_disk() const {
    struct stat status {};
    EXPECT_EQ(stat((directory / payload_file_name).c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  }

  std::unique_ptr<Connection> connection_;
  std::unique_ptr<PayloadFile> file_;
};

TEST_F(StorePayloadFile, Write_OfSeveral_EachIsReadBack) {
  PayloadId a = written('a');
  PayloadId b = written('b', 65536);
  PayloadId c = written('c', PayloadFile::max_bytes);
  EXPECT_TRUE(PayloadFile::holds(a));
  EXPECT_TRUE(is(a, 'a'));
  EXPECT_TRUE(is(b, 'b', 65536));
  EXPECT_TRUE(is(c, 'c', PayloadFile::max_bytes));
  EXPECT_EQ(std::filesystem::file_size(directory / payload_file_name), 20480 + 65536 + PayloadFile::max_bytes);
  EXPECT_EQ(file_->free_bytes(), 0u);
}

TEST_F(StorePayloadFile, GivenBack_IsUsedAgainOnceThatIsDurable) {
  PayloadId a = written('a');
  file_->give_back(a);
  PayloadId b = file_->write(std::string(20000, 'b'));
  EXPECT_NE(b, a);  // the transaction may still be rolled back
  file_->committed();
  PayloadId c = file_->write(std::string(20000, 'c'));
  EXPECT_NE(c, a);  // a power failure may bring the payload back
  file_->committed();
  EXPECT_TRUE(is(a, 'a'));
  EXPECT_EQ(file_->free_bytes(), 0u);
  EXPECT_TRUE(file_->any_given_back());
  file_->durable();
  EXPECT_EQ(file_->free_bytes(), 20480u);
  EXPECT_FALSE(file_->any_given_back());
  EXPECT_EQ(file_->write(std::string(20000, 'd')), a);
}

TEST_F(StorePayloadFile, GivenBack_WhileAReaderIsOpen_WaitsForIt) {
  PayloadId a = written('a');
  auto before = std::make_unique<PayloadFile::Reading>(*file_);
  file_->give_back(a);
  PayloadId b = written('b');
  PayloadFile::Reading after(*file_);
  EXPECT_NE(written('c'), a);
  EXPECT_TRUE(is(a, 'a'));
  before.reset();
  written('d');
  EXPECT_EQ(written('e'), a);  // this reader began after the payload was given back
  EXPECT_TRUE(is(b, 'b'));
}

TEST_F(StorePayloadFile, RolledBack_NothingIsGivenBackAndWhatWasWrittenIsFree) {
  PayloadId a = written('a');
  file_->give_back(a);
  PayloadId b = file_->write(std::string(20000, 'b'));
  file_->rolled_back();
  EXPECT_EQ(written('c'), b);
  EXPECT_TRUE(is(a, 'a'));
  written('d');
  EXPECT_TRUE(is(a, 'a'));
}

TEST_F(StorePayloadFile, Open_TakesWhatTheTableNamesAndNothingElse) {
  PayloadId a = written('a');
  PayloadId b = written('b');
  PayloadId c = written('c');
  for (PayloadId id : {a, c})
    connection_->execute("INSERT INTO payload VALUES(" + std::to_string(id) + ", 1, 20000, 0)");
  open_file();
  EXPECT_EQ(file_->free_bytes(), 20480u);
  EXPECT_EQ(written('d'), b);
  EXPECT_TRUE(is(a, 'a'));
  EXPECT_TRUE(is(c, 'c'));
}

TEST_F(StorePayloadFile, Shrink_FreeBlocksGoBackToTheDiskAndNothingElseDoes) {
  constexpr std::size_t large = 1 << 20;
  PayloadId a = written('a', large);
  PayloadId b = written('b', large);
  PayloadId c = written('c', large);
  PayloadId d = written('d', large);
  const std::uint64_t before = on_disk();
  file_->give_back(b);
  file_->give_back(d);
  file_->committed();
  EXPECT_FALSE(file_->shrink(0));
  EXPECT_EQ(on_disk(), before);  // a power failure may bring the rows back
  file_->durable();
  EXPECT_EQ(file_->free_bytes(), 2 * large);
  while (file_->shrink(large)) {
  }
  EXPECT_EQ(file_->free_bytes(), large);  // the end of the file first
  EXPECT_EQ(std::filesystem::file_size(directory / payload_file_name), 3 * large);
  while (file_->shrink(0)) {
  }
  EXPECT_EQ(file_->free_bytes(), 0u);
  EXPECT_LE(on_disk(), before - 2 * large);
  EXPECT_TRUE(is(a, 'a', large));
  EXPECT_TRUE(is(c, 'c', large));
  EXPECT_EQ(written('e', large), b);  // a hole is free like other blocks
  EXPECT_TRUE(is(b, 'e', large));
  EXPECT_EQ(file_->free_bytes(), 0u);
}

TEST_F(StorePayloadFile, Open_KnowsTheHolesOfTheFile) {
  constexpr std::size_t large = 1 << 20;
  PayloadId a = written('a', large);
  PayloadId b = written('b', large);
  connection_->execute("INSERT INTO payload VALUES(" + std::to_string(b) + ", 1, 1048576, 0)");
  file_->give_back(a);
  file_->committed();
  file_->durable();
  while (file_->shrink(large / 2)) {
  }
  EXPECT_EQ(file_->free_bytes(), large / 2);
  open_file();
  EXPECT_EQ(file_->free_bytes(), large / 2);
  EXPECT_TRUE(is(b, 'b', large));
}

TEST_F(StorePayloadFile, Read_BeyondItsPlace_IsCorrupt) {
  PayloadId a = written('a');
  EXPECT_THROW(file_->read(a, 20481), StoreFailure);
  EXPECT_NO_THROW(file_->read(a, 20480));
}

}  // namespace
}  // namespace ringfs::nodes
