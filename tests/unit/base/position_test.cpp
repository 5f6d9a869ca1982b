// Arcs, fingers, partitions and the positions of keys.
#include "dht/base/position.hpp"

#include <gtest/gtest.h>

#include "dht/base/random.hpp"

namespace ringfs {
namespace {

// Positions that differ in few bits, so that equal and neighbouring ones come up often.
Position draw(Random& random) {
  Position position;
  if (random.below(4) == 0) {
    for (auto& byte : position.bytes) byte = static_cast<std::uint8_t>(random.next());
  } else {
    position.bytes[0] = static_cast<std::uint8_t>(random.below(2) * 255);
    position.bytes[19] = static_cast<std::uint8_t>(random.below(4));
  }
  return position;
}

Position of(std::uint8_t first, std::uint8_t last = 0) {
  Position position;
  position.bytes[0] = first;
  position.bytes[19] = last;
  return position;
}

TEST(Position, Arcs_EndsAndWrapping_AsDefined) {
  EXPECT_TRUE(in_open_arc(of(1), of(2), of(3)));
  EXPECT_FALSE(in_open_arc(of(1), of(1), of(3)));
  EXPECT_FALSE(in_open_arc(of(1), of(3), of(3)));
  EXPECT_TRUE(in_half_open_arc(of(1), of(3), of(3)));
  EXPECT_FALSE(in_half_open_arc(of(1), of(1), of(3)));
  EXPECT_TRUE(in_open_arc(of(200), of(0), of(3)));
  EXPECT_TRUE(in_open_arc(of(200), of(255, 255), of(3)));
  EXPECT_FALSE(in_open_arc(of(200), of(100), of(3)));
  EXPECT_FALSE(in_open_arc(of(1), of(1), of(1)));
  EXPECT_TRUE(in_open_arc(of(1), of(2), of(1)));
  EXPECT_TRUE(in_half_open_arc(of(1), of(1), of(1)));
}

TEST(Position, Arcs_RandomTriples_TwoArcsMakeTheCircle) {
  SeededRandom random(1);
  for (int i = 0; i < 20000; ++i) {
    Position a = draw(random);
    Position b = draw(random);
    Position x = draw(random);
    if (a == b) continue;
    ASSERT_NE(in_half_open_arc(a, x, b), in_half_open_arc(b, x, a));
    ASSERT_EQ(in_half_open_arc(a, x, b), in_open_arc(a, x, b) || x == b);
    if (x != a && x != b) {
      ASSERT_NE(in_open_arc(a, x, b), in_open_arc(b, x, a));
    }
  }
}

TEST(Position, Arcs_RotatedCircle_SameAnswer) {
  SeededRandom random(2);
  for (int i = 0; i < 5000; ++i) {
    Position a = draw(random);
    Position b = draw(random);
    Position x = draw(random);
    auto exponent = static_cast<unsigned>(random.below(160));
    auto turn = [exponent](const Position& position) { return plus_power_of_two(position, exponent); };
    ASSERT_EQ(in_half_open_arc(a, x, b), in_half_open_arc(turn(a), turn(x), turn(b)));
    ASSERT_EQ(in_open_arc(a, x, b), in_open_arc(turn(a), turn(x), turn(b)));
  }
}

TEST(Position, PowerOfTwo_CarryAndOverflow_WrapAround) {
  Position last;
  last.bytes.fill(255);
  EXPECT_EQ(plus_power_of_two(last, 0), Position{});
  EXPECT_EQ(plus_power_of_two(of(128), 159), Position{});
  EXPECT_EQ(plus_power_of_two(of(0, 255), 0).bytes[18], 1);
  EXPECT_EQ(plus_power_of_two(Position{}, 159), of(128));
}

TEST(Position, Log2Distance_OfPowerOfTwo_IsTheExponent) {
  SeededRandom random(3);
  for (int i = 0; i < 2000; ++i) {
    Position from = draw(random);
    auto exponent = static_cast<unsigned>(random.below(160));
    Position to = plus_power_of_two(from, exponent);
    ASSERT_EQ(log2_distance(from, to), exponent);
    if (exponent > 0) {
      ASSERT_EQ(log2_distance(from, plus_power_of_two(to, exponent - 1)), exponent);
    }
  }
  EXPECT_EQ(log2_distance(of(7), of(7)), 0U);
}

TEST(Position, Partitions_EveryBitCount_AnchorIsTheLowerEnd) {
  SeededRandom random(4);
  for (unsigned bits = 0; bits <= 16; ++bits) {
    std::uint32_t partitions = 1U << bits;
    for (int i = 0; i < 500; ++i) {
      PartitionId partition{static_cast<std::uint32_t>(random.below(partitions))};
      Position anchor = anchor_of(partition, bits);
      ASSERT_EQ(partition_of(anchor, bits), partition);
      Position inside = draw(random);
      PartitionId its = partition_of(inside, bits);
      ASSERT_LT(index_of(its), partitions);
      ASSERT_LE(anchor_of(its, bits), inside);
      if (index_of(its) + 1 < partitions) {
        ASSERT_LT(inside, anchor_of(PartitionId{index_of(its) + 1}, bits));
      }
    }
  }
}

TEST(Position, KeyPosition_KnownKey_IsSha256) {
  EXPECT_EQ(key_position("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a3");
}

TEST(Position, PlacementKey_Bits_AreTheTopOfThePosition) {
  for (std::uint32_t placement : {0U, 1U, 0x1234567U, (1U << 27) - 1}) {
    std::string key = placement_key(placement);
    EXPECT_EQ(key.size(), 6U);
    EXPECT_EQ(key_position(key).top64() >> 37, placement);
    EXPECT_EQ(key_position(key + "/anything"), key_position(key));
  }
  EXPECT_NE(key_position("i/ab").top64() & ((1ULL << 37) - 1), 0U);  // too short for a placement: hashed
}

TEST(Position, Encoding_RoundTrip_IsTwentyBytes) {
  Position position = key_position("x");
  Writer writer;
  write(writer, position);
  EXPECT_EQ(writer.size(), 20U);
  Reader reader(writer.bytes());
  EXPECT_EQ(read_position(reader), position);
  EXPECT_TRUE(reader.done());
  Reader cut(std::string_view(writer.bytes()).substr(1));
  EXPECT_EQ(read_position(cut), Position{});
  EXPECT_FALSE(cut.ok());
}

}  // namespace
}  // namespace ringfs
