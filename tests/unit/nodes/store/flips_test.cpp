// One flipped bit at each of ten thousand places in the files of a stopped node: it is found, or no answer changes.
#include <fcntl.h>

#include "dht/base/descriptor.hpp"
#include "dht/base/hash.hpp"
#include "nodes/store/files/first_page.hpp"
#include "tests/unit/nodes/store/damage_fixture.hpp"

namespace ringfs::nodes {
namespace {

class StoreFlips : public DamageTest {
 protected:
  struct Outcome {
    unsigned noticed = 0;
    unsigned meaningless = 0;
    std::vector<std::string> wrong;  // places where it was not found and answers changed
  };

  // Compares all answers with those of the undamaged files.
  Outcome flip(std::uint64_t seed, unsigned count) {
    Outcome outcome;
    const std::string before = everything(directory);
    std::vector<std::pair<std::filesystem::path, std::uint64_t>> files;
    std::uint64_t total = 0;
    for (const char* name :
         {"ringfs.db", "ringfs.db-wal", "ringfs.db-mark", "ringfs.db-first", "ringfs.payloads", "ringfs.identity"}) {
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
      const std::string where =
          file->first.filename().string() + " byte " + std::to_string(place) + " bit " + std::to_string(bit);
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
  // Most of the files is read.
  EXPECT_GT(outcome.noticed, 5000u);
  std::printf("%u noticed, %u in bytes that mean nothing\n", outcome.noticed, outcome.meaningless);
}

// Several flipped bits, and a start that repairs what it can: whatever is not reported as damaged is right.
TEST_F(StoreFlips, Bits_ManyAtOnce_WhatIsNotDamagedAfterAStartIsRight) {
  make_node();
  keep_files();
  unsigned whole = 0;
  unsigned opened_stores = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    restore_files();
    SeededRandom places(seed);
    for (unsigned i = 0; i < 5; ++i) {
      const std::filesystem::path file = i == 0 ? database() : wal_of(database());
      const std::uint64_t place = places.below(std::filesystem::file_size(file));
      flip_bit(file, place, i == 1 ? 7 : static_cast<unsigned>(places.below(8)));
    }
    Result<SqliteStore::Opened> opened = SqliteStore::open(directory, random, options);
    if (!opened) {  // frames of the WAL are damaged so that it cannot be told what they were
      EXPECT_EQ(opened.error().code, ErrorCode::corrupt) << seed << ": " << opened.error().text();
      continue;
    }
    ++opened_stores;
    store = std::move(opened->store);
    EXPECT_EQ(opened->node.groups.size(), partitions) << seed;
    for (const dht::PersistedGroup& group : opened->node.groups) {
      if (group.damage == dht::Damage::log) continue;
      EXPECT_TRUE(group.damage == dht::Damage::none) << seed;
      if (opened->damaged.contains(group.partition)) continue;  // its log was compacted
      const unsigned p = index_of(group.partition);
      EXPECT_EQ(group.log.size(), p == 1 ? 5u : p == 7 ? 7u : 6u) << seed << " " << p;
      EXPECT_EQ(group.hard_state.term, 3u) << seed << " " << p;
      for (unsigned i = 0; i < names; ++i) {
        Result<ReadReply> reply = read_name(p, name_of(i));
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
  EXPECT_GT(opened_stores, 21u);
  EXPECT_GT(whole, 24u * names);
}

// The first page has the layout of all others: in the database, and in the WAL if that has a newer one.
TEST_F(StoreFlips, FirstPage_Damaged_NothingElseIs) {
  make_node();
  keep_files();
  for (std::uint64_t place = 0; place < 4096; place += 149) {
    restore_files();
    flip_bit(database(), place, static_cast<unsigned>(place % 8));
    for (std::uint64_t frame = wal_header_bytes; frame < std::filesystem::file_size(wal_of(database()));
         frame += 4096 + frame_header_bytes) {
      if (number_in(wal_of(database()), frame) == 1)
        flip_bit(wal_of(database()), frame + frame_header_bytes + place, 3);
    }
    SCOPED_TRACE(place);
    open();
    EXPECT_TRUE(damaged.empty());
    for (const dht::PersistedGroup& group : node.groups) EXPECT_EQ(group.damage, dht::Damage::none);
    Result<ReadReply> reply = read_name(7, name_of(3));
    ASSERT_TRUE(reply && reply->gets[0].found);
  }
  // Without the copy it is reported, not guessed.
  restore_files();
  std::filesystem::remove(first_page_of(database()));
  std::filesystem::remove(wal_of(database()));
  std::filesystem::remove(mark_of(database()));
  flip_bit(database(), 200, 0);
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
}

// Shows that the first test can fail: without verification some flips change answers.
TEST_F(StoreFlips, Bit_WithoutVerification_ChangesAnswers) {
  make_node();
  verify_pages(false);
  const Outcome outcome = flip(2, 500);
  verify_pages(true);
  EXPECT_FALSE(outcome.wrong.empty());
}

}  // namespace
}  // namespace ringfs::nodes
