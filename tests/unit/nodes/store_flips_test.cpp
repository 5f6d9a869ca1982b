// One flipped bit at ten thousand places of a stopped node's files, each tried alone: it is noticed, or no answer changes.
#include <fcntl.h>

#include "dht/base/hash.hpp"
#include "nodes/descriptor.hpp"
#include "tests/unit/nodes/damage_fixture.hpp"

namespace ringfs {
namespace {

class StoreFlips : public DamageTest {
 protected:
  struct Outcome {
    unsigned noticed = 0;
    unsigned meaningless = 0;
    std::vector<std::string> wrong;  // places
  };

  // Answers are compared with those of the files as they are.
  Outcome flip(std::uint64_t seed, unsigned count) {
    Outcome outcome;
    const std::string before = everything(directory);
    std::vector<std::pair<std::filesystem::path, std::uint64_t>> files;
    std::uint64_t total = 0;
    for (const char* name : {"ringfs.db", "ringfs.db-wal", "ringfs.db-mark", "ringfs.payloads", "ringfs.identity"}) {
      const std::filesystem::path file = directory / name;
      if (!std::filesystem::exists(file)) continue;
      files.emplace_back(file, std::filesystem::file_size(file));
      total += files.back().second;
    }
    SeededRandom places(seed);
    for (unsigned i = 0; i < count; ++i) {
      std::uint64_t place = places.below(total);
      const auto bit = static_cast<unsigned>(places.below(8));
      const auto* file = files.data();
      while (place >= file->second) place -= (file++)->second;
      Descriptor descriptor(::open(file->first.c_str(), O_RDWR | O_CLOEXEC));
      unsigned char byte = 0;
      EXPECT_EQ(pread(descriptor.value, &byte, 1, static_cast<off_t>(place)), 1);
      const auto flipped = static_cast<unsigned char>(byte ^ (1U << bit));
      EXPECT_EQ(pwrite(descriptor.value, &flipped, 1, static_cast<off_t>(place)), 1);
      const std::string where = file->first.filename().string() + " byte " + std::to_string(place) + " bit " + std::to_string(bit);
      try {
        if (everything(directory) == before) {
          ++outcome.meaningless;
        } else {
          outcome.wrong.push_back(where);
        }
      } catch (const StoreFailure& failure) {
        if (failure.error().code == ErrorCode::corrupt) {
          ++outcome.noticed;
        } else {
          outcome.wrong.push_back(where + ": " + failure.what());
        }
      }
      EXPECT_EQ(pwrite(descriptor.value, &byte, 1, static_cast<off_t>(place)), 1);
    }
    EXPECT_TRUE(everything(directory) == before);
    return outcome;
  }
};

TEST_F(StoreFlips, Bit_OfAnyFile_IsNoticedOrChangesNoAnswer) {
  make_node();
  const Outcome outcome = flip(1, 10000);
  for (const std::string& where : outcome.wrong) ADD_FAILURE() << where;
  // Of the files most is read.
  EXPECT_GT(outcome.noticed, 5000u);
  std::printf("%u noticed, %u in bytes that mean nothing\n", outcome.noticed, outcome.meaningless);
}

// That the test above can fail: without sums on pages and frames some flips change answers.
TEST_F(StoreFlips, Bit_WithoutVerification_ChangesAnswers) {
  make_node();
  verify_pages(false);
  const Outcome outcome = flip(2, 500);
  verify_pages(true);
  EXPECT_FALSE(outcome.wrong.empty());
}

}  // namespace
}  // namespace ringfs
