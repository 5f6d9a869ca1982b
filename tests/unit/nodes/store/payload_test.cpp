// Payloads that entries and rows share: counts, bytes and patches, in the file and in the database.
#include "tests/unit/nodes/store/fixture.hpp"

namespace ringfs::nodes {
namespace {

using Kind = Mutation::Kind;
constexpr std::size_t block_bytes = 64 << 10;

class StorePayload : public StoreTest {
 protected:
  std::int64_t payloads() { return number("SELECT count(*) FROM payload"); }
  std::int64_t references() { return number("SELECT coalesce(sum(refs), 0) FROM payload"); }
};

TEST_F(StorePayload, Put_OfABlob_SharesItWithTheLogUntilThatIsCut) {
  open();
  std::string block = pattern(block_bytes, 'a');
  run(first_partition,
      {batch_entry(1, {put("c", "0", block), put("c", "1", pattern(block_bytes, 'b')), put("c", "small", "x")})});
  EXPECT_EQ(payloads(), 2);
  EXPECT_EQ(references(), 4);
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, 1)));
  EXPECT_EQ(payloads(), 2);
  EXPECT_EQ(references(), 2);
  EXPECT_EQ(value_of(*store, first_partition, "c", "0"), block);
  run(first_partition, {batch_entry(2, {mutation(Kind::erase, "c", "0"), put("c", "1", "now small")})});
  EXPECT_EQ(payloads(), 0);
  expect_payloads_in_place();
}

TEST_F(StorePayload, WriteBytes_IntoASharedPayload_CopiesOnceThenPatchesInPlace) {
  open();
  std::string block = pattern(block_bytes, 'a');
  run(first_partition, {batch_entry(1, {put("c", "0", block)})});
  run(first_partition, {batch_entry(2, {mutation(Kind::write_bytes, "c", "0", "patched", 1000)})});
  EXPECT_EQ(payloads(), 2);  // one of the entry, one of the row
  EXPECT_EQ(references(), 2);
  std::int64_t own = number("SELECT payload FROM rows WHERE key = x'63'");
  run(first_partition, {batch_entry(3, {mutation(Kind::write_bytes, "c", "0", "again", 40000)})});
  EXPECT_EQ(number("SELECT payload FROM rows WHERE key = x'63'"), own);
  block.replace(1000, 7, "patched");
  block.replace(40000, 5, "again");
  EXPECT_EQ(value_of(*store, first_partition, "c", "0"), block);
  auto logged = wait_load(*store, first_partition, 1, 1);
  ASSERT_TRUE(logged) << logged.error().text();
  EXPECT_EQ((*logged)[0].blobs.at(0).view(), pattern(block_bytes, 'a'));  // the entry has not changed
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, 3)));
  EXPECT_EQ(payloads(), 1);
  reopen();
  EXPECT_EQ(value_of(*store, first_partition, "c", "0"), block);
  run(first_partition, {batch_entry(4, {mutation(Kind::erase_prefix, "c", "")})});
  EXPECT_EQ(payloads(), 0);
  expect_payloads_in_place();
}

TEST_F(StorePayload, Put_OfLittle_LiesInTheDatabaseAndOfMuchInTheFile) {
  options.payload_file_bytes = SqliteStoreOptions{}.payload_file_bytes;
  open();
  const std::string in_file = "SELECT count(*) FROM payload WHERE id >= " + std::to_string(PayloadFile::first_id);
  run(first_partition, {batch_entry(1, {put("c", "0", pattern(block_bytes, 'a'))})});
  EXPECT_EQ(number(in_file), 0);
  run(first_partition,
      {batch_entry(2, {put("c", "1", pattern(block_bytes, 'b')), put("c", "2", pattern(block_bytes, 'c'))})});
  EXPECT_EQ(number(in_file), 2);
  EXPECT_EQ(payloads(), 3);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(value_of(*store, first_partition, "c", std::to_string(i)),
              pattern(block_bytes, static_cast<char>('a' + i)));
  expect_payloads_in_place();
}

TEST_F(StorePayload, ErasePrefix_OverRowsWithPayloads_TakesThoseOfThePrefixOnly) {
  open();
  run(first_partition, {batch_entry(1, {put("c", "a1", pattern(20000, 'a')), put("c", "a2", pattern(20000, 'b')),
                                        put("c", "b", pattern(20000, 'c')),
                                        put("c", std::string("\xff\xff") + "1", pattern(20000, 'd'))})});
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, 1)));
  EXPECT_EQ(payloads(), 4);
  run(first_partition, {batch_entry(2, {mutation(Kind::erase_prefix, "c", "a")})});
  EXPECT_EQ(payloads(), 2);
  run(first_partition, {batch_entry(3, {mutation(Kind::erase_prefix, "c", "\xff\xff")})});
  EXPECT_EQ(payloads(), 1);
  EXPECT_EQ(value_of(*store, first_partition, "c", "b"), pattern(20000, 'c'));
  expect_payloads_in_place();
}

// Parameter: payload_file_bytes.
class StorePayloadHistory : public StorePayload, public testing::WithParamInterface<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(InTheFileMixedInTheDatabase, StorePayloadHistory, testing::Values(0, 45000, 1 << 20));

TEST_P(StorePayloadHistory, OfPutsPatchesErasesAndCuts_KeepsCountsAndValues) {
  options.payload_file_bytes = GetParam();
  open();
  std::map<std::string, std::string> model;
  SeededRandom draw(7);
  for (dht::LogIndex i = 1; i <= 200; ++i) {
    std::string sort = std::to_string(draw.below(6));
    std::vector<Mutation> mutations;
    std::uint64_t what = draw.below(6);
    if (what <= 1) {
      model[sort] =
          pattern(draw.below(2) == 0 ? 100 : 16384 + draw.below(60000), static_cast<char>('a' + draw.below(20)));
      mutations.push_back(put("c", sort, model[sort]));
    } else if (what <= 3) {
      auto offset = static_cast<std::uint32_t>(draw.below(50000));
      std::string bytes = pattern(1 + draw.below(20000), 'B');
      std::string& value = model[sort];
      if (value.size() < offset + bytes.size()) value.resize(offset + bytes.size(), '\0');
      value.replace(offset, bytes.size(), bytes);
      mutations.push_back(mutation(Kind::write_bytes, "c", sort, bytes, offset));
    } else if (what == 4) {
      model.erase(sort);
      mutations.push_back(mutation(Kind::erase, "c", sort));
    } else {
      Mutation truncate = mutation(Kind::truncate, "c", sort);
      truncate.number = static_cast<std::int64_t>(1 + draw.below(70000));
      model[sort].resize(static_cast<std::size_t>(truncate.number), '\0');
      mutations.push_back(truncate);
    }
    run(first_partition, {batch_entry(i, mutations)});
    if (draw.below(10) == 0) {
      ASSERT_TRUE(wait_write(*store, compact_write(first_partition, i - draw.below(3) * (i > 5 ? 1 : 0))));
    }
    if (i % 70 == 0) reopen();
  }
  for (int i = 0; i < 6; ++i) {
    auto expected = model.find(std::to_string(i));
    std::optional<std::string> value = value_of(*store, first_partition, "c", std::to_string(i));
    EXPECT_EQ(value, expected == model.end() ? std::nullopt : std::optional(expected->second)) << i;
  }
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, 200)));
  EXPECT_EQ(references(), number("SELECT count(*) FROM rows WHERE payload IS NOT NULL"));
  EXPECT_EQ(references(), payloads());
  expect_payloads_in_place();
}

}  // namespace
}  // namespace ringfs::nodes
