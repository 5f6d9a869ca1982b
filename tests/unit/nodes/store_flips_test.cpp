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

// Many at once, and a start that mends what it can: whatever is not said to be damaged is right.
TEST_F(StoreFlips, Bits_ManyAtOnce_WhatIsNotDamagedAfterAStartIsRight) {
  make_node();
  const std::filesystem::path kept = scratch / "kept";
  std::filesystem::copy(directory, kept, std::filesystem::copy_options::recursive);
  unsigned whole = 0;
  unsigned opened_stores = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    store.reset();
    std::filesystem::remove_all(directory);
    std::filesystem::copy(kept, directory, std::filesystem::copy_options::recursive);
    SeededRandom places(seed);
    for (unsigned i = 0; i < 5; ++i) {
      const std::filesystem::path file = i == 0 ? database() : wal_of(database());
      // Not the first page, without which nothing can be read.
      const std::uint64_t place = 4096 + places.below(std::filesystem::file_size(file) - 4096);
      flip_bit(file, place, i == 1 ? 7 : static_cast<unsigned>(places.below(8)));
    }
    Result<SqliteStore::Opened> opened = SqliteStore::open(directory, random, options);
    if (!opened) {  // neighbouring frames of the WAL in a way that cannot be told apart
      EXPECT_EQ(opened.error().code, ErrorCode::corrupt) << seed << ": " << opened.error().text();
      continue;
    }
    ++opened_stores;
    store = std::move(opened->store);
    EXPECT_EQ(opened->node.groups.size(), partitions) << seed;
    for (const PersistedGroup& group : opened->node.groups) {
      if (group.damage == Damage::log) continue;
      EXPECT_TRUE(group.damage == Damage::none) << seed;
      if (opened->damaged.contains(group.partition)) continue;  // its log was cut
      const unsigned p = index_of(group.partition);
      EXPECT_EQ(group.log.size(), p == 1 ? 5u : p == 7 ? 7u : 6u) << seed << " " << p;
      EXPECT_EQ(group.hard_state.term, 3u) << seed << " " << p;
      for (unsigned i = 0; i < names; ++i) {
        ReadRequest request;
        request.gets.push_back({key_of(p), name_of(i)});
        Result<ReadReply> reply = wait_read(*store, group.partition, request);
        if (!reply) {
          EXPECT_EQ(reply.error().code, ErrorCode::corrupt);
          continue;
        }
        const bool written = p >= 2 || (i % entries >= 1 && i % entries <= 4);
        ASSERT_EQ(reply->gets[0].found, written) << seed << " " << p << " " << i;
        if (written) {
          EXPECT_EQ(reply->gets[0].row.value.str(), pattern(90 + 7 * i, 'a')) << seed << " " << p << " " << i;
        }
        ++whole;
      }
    }
  }
  EXPECT_GT(opened_stores, 18u);
  EXPECT_GT(whole, 24u * names);
}

// That the first test can fail: without sums on pages and frames some flips change answers.
TEST_F(StoreFlips, Bit_WithoutVerification_ChangesAnswers) {
  make_node();
  verify_pages(false);
  const Outcome outcome = flip(2, 500);
  verify_pages(true);
  EXPECT_FALSE(outcome.wrong.empty());
}

}  // namespace
}  // namespace ringfs
