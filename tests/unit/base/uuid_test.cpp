// Uuids as text and in order.
#include "dht/base/uuid.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ringfs {
namespace {

TEST(Uuid, Text_RoundTrip_IsEqual) {
  SeededRandom random(1);
  std::set<Uuid> seen;
  for (int i = 0; i < 1000; ++i) {
    Uuid uuid = random_uuid(random);
    EXPECT_TRUE(seen.insert(uuid).second);
    std::string text = uuid.text();
    EXPECT_EQ(text.size(), 36U);
    EXPECT_EQ(text[14], '4');                                          // version
    EXPECT_NE(std::string("89ab").find(text[19]), std::string::npos);  // variant
    ASSERT_TRUE(parse_uuid(text));
    EXPECT_EQ(*parse_uuid(text), uuid);
  }
}

TEST(Uuid, Order_IsThatOfTheBytes) {
  SeededRandom random(2);
  for (int i = 0; i < 1000; ++i) {
    Uuid left = random_uuid(random);
    Uuid right = left;
    EXPECT_EQ(left, right);
    EXPECT_FALSE(left < right);
    right.bytes[random.below(16)] = static_cast<std::uint8_t>(random.next());
    right.bytes[random.below(16)] = static_cast<std::uint8_t>(random.next());
    EXPECT_EQ(left < right, left.bytes < right.bytes);
    EXPECT_EQ(left == right, left.bytes == right.bytes);
  }
}

TEST(Uuid, Parse_UpperCase_IsTheSame) {
  EXPECT_EQ(parse_uuid("0123ABCD-0000-4000-8000-00000000FFFF")->text(), "0123abcd-0000-4000-8000-00000000ffff");
}

TEST(Uuid, Parse_Malformed_IsInvalidArgument) {
  for (std::string text : {"", "0", "0123abcd-0000-4000-8000-00000000fff", "0123abcd-0000-4000-8000-00000000fffff",
                           "0123abcd00000-4000-8000-00000000ffff", "0123abcg-0000-4000-8000-00000000ffff",
                           "0123abcd-0000-4000-8000-0000000 ffff", "-123abcd-0000-4000-8000-00000000ffff",
                           "0123abcd-0000-4000-80000-0000000ffff"}) {
    Result<Uuid> uuid = parse_uuid(text);
    ASSERT_FALSE(uuid) << text;
    EXPECT_EQ(uuid.error().code, ErrorCode::invalid_argument);
  }
}

TEST(Uuid, Nil_OnlyAllZero_IsNil) {
  EXPECT_TRUE(Uuid{}.is_nil());
  EXPECT_TRUE(parse_uuid("00000000-0000-0000-0000-000000000000")->is_nil());
  EXPECT_FALSE(parse_uuid("00000000-0000-0000-0000-000000000001")->is_nil());
}

TEST(Uuid, Encoding_RoundTripAndCut_SixteenBytes) {
  SeededRandom random(2);
  Uuid uuid = random_uuid(random);
  Writer writer;
  write(writer, uuid);
  EXPECT_EQ(writer.bytes(), uuid.raw());
  Reader reader(writer.bytes());
  EXPECT_EQ(read_uuid(reader), uuid);
  EXPECT_TRUE(reader.done());
  Reader cut(std::string_view(writer.bytes()).substr(0, 15));
  EXPECT_TRUE(read_uuid(cut).is_nil());
  EXPECT_FALSE(cut.ok());
}

}  // namespace
}  // namespace ringfs
