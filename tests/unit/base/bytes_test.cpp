// Encoding and decoding of integers and strings, hexadecimal text, shared buffers.
#include "dht/base/bytes.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "dht/base/random.hpp"

namespace ringfs {
namespace {

TEST(Bytes, WriterReader_EveryType_RoundTrips) {
  Writer writer;
  writer.u8(0xfe);
  writer.u16(0xfedc);
  writer.u32(0xfedcba98);
  writer.u64(0xfedcba9876543210);
  writer.i64(std::numeric_limits<std::int64_t>::min());
  writer.boolean(true);
  writer.string(std::string("a\0b", 3));
  writer.raw("raw");
  Reader reader(writer.bytes());
  EXPECT_EQ(reader.u8(), 0xfe);
  EXPECT_EQ(reader.u16(), 0xfedc);
  EXPECT_EQ(reader.u32(), 0xfedcba98);
  EXPECT_EQ(reader.u64(), 0xfedcba9876543210);
  EXPECT_EQ(reader.i64(), std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE(reader.boolean());
  EXPECT_EQ(reader.string(), std::string_view("a\0b", 3));
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(reader.raw(3), "raw");
  EXPECT_TRUE(reader.done());
}

TEST(Bytes, Writer_Integers_AreBigEndian) {
  Writer writer;
  writer.u32(0x01020304);
  writer.string("x");
  EXPECT_EQ(writer.bytes(), std::string("\1\2\3\4\0\0\0\1x", 9));
}

TEST(Bytes, Reader_ShortInput_EverythingAfterIsZeroAndNotOk) {
  Reader reader(std::string_view("\1\2\3", 3));
  EXPECT_EQ(reader.u32(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0);  // although three bytes were there
  EXPECT_EQ(reader.raw(1), "");
  EXPECT_EQ(reader.string(), "");
  EXPECT_FALSE(reader.done());
}

TEST(Bytes, Reader_StringLongerThanInput_Fails) {
  Writer writer;
  writer.u32(std::numeric_limits<std::uint32_t>::max());
  writer.raw("abc");
  Reader reader(writer.bytes());
  EXPECT_EQ(reader.string(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, Reader_CountBeyondInput_IsRefused) {
  Writer writer;
  writer.u32(4);
  writer.raw("123456789012");
  Reader fits(writer.bytes());
  EXPECT_EQ(fits.count(3), 4U);
  EXPECT_TRUE(fits.ok());
  Reader too_many(writer.bytes());
  EXPECT_EQ(too_many.count(4), 0U);
  EXPECT_FALSE(too_many.ok());
}

TEST(Bytes, Reader_RandomInput_NeverReadsOutside) {
  SeededRandom random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random.below(40), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.below(3));
    Reader reader(bytes);
    std::size_t left = bytes.size();
    while (reader.ok() && !reader.rest().empty()) {
      switch (random.below(4)) {
        case 0: reader.u8(); break;
        case 1: reader.u64(); break;
        case 2: reader.string(); break;
        default: reader.count(2); break;
      }
      ASSERT_LT(reader.rest().size(), left);
      left = reader.rest().size();
    }
  }
}

TEST(Bytes, SharedBytes_Part_KeepsTheWholeAlive) {
  SharedBytes part;
  {
    SharedBytes whole(std::string("hello world, longer than a small string"));
    part = SharedBytes(whole, 6, 5);
    SharedBytes copy = whole;
    EXPECT_EQ(copy, whole);
    EXPECT_EQ(copy.data(), whole.data());
  }
  EXPECT_EQ(part.view(), "world");
  EXPECT_EQ(part, SharedBytes("world"));
  EXPECT_EQ(SharedBytes(part, 1, 100).view(), "orld");
  EXPECT_TRUE(SharedBytes().empty());
}

TEST(Bytes, ToHex_AllValues_TwoLowerCaseDigits) {
  EXPECT_EQ(to_hex(std::string_view("\0\x0f\xa0\xff", 4)), "000fa0ff");
  EXPECT_EQ(to_hex(""), "");
}

}  // namespace
}  // namespace ringfs
