// The genesis record: encoding, damage and the rules of validate().
#include "dht/core/protocol/genesis.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "dht/base/random.hpp"
#include "dht/core/members/placement.hpp"

namespace ringfs::dht {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

Genesis example() {
  SeededRandom random(1);
  Genesis genesis;
  genesis.ring = random_uuid(random);
  genesis.timing.lease_margin = 0.125;
  genesis.first_table.version = 1;
  std::vector<Uuid> nodes;
  for (int i = 0; i < 3; ++i) nodes.push_back(random_uuid(random));
  for (auto& [id, tokens] : allocate_first_tokens(nodes, genesis.partition_bits, 3)) {
    genesis.first_table.members.push_back({id, "127.0.0.1:1", "127.0.0.1:2", MemberState::up, tokens, 100, {}});
  }
  genesis.first_table.settings["replication"] = "3";
  return genesis;
}

TEST(Genesis, Encoding_RoundTrip_IsEqual) {
  Genesis genesis = example();
  Result<Genesis> back = decode_genesis(encode(genesis));
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_EQ(back->ring, genesis.ring);
  EXPECT_EQ(back->partition_bits, genesis.partition_bits);
  EXPECT_EQ(back->first_table, genesis.first_table);
  EXPECT_EQ(back->timing.lease_margin, 0.125);
  EXPECT_EQ(back->timing.merge, genesis.timing.merge);
  EXPECT_EQ(encode(*back), encode(genesis));
}

TEST(Genesis, Decode_CutAnywhereOrExtended_IsCorrupt) {
  std::string bytes = encode(example());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Result<Genesis> genesis = decode_genesis(std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(genesis);
    EXPECT_EQ(genesis.error().code, ErrorCode::corrupt);
  }
  EXPECT_FALSE(decode_genesis(bytes + "x"));
}

TEST(Genesis, Decode_AnyByteChanged_NeverCrashesAndIsValid) {
  std::string bytes = encode(example());
  SeededRandom random(3);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(random.next());
    Result<Genesis> genesis = decode_genesis(damaged);
    if (genesis) {
      EXPECT_TRUE(validate(*genesis));
    }
  }
}

TEST(Genesis, Validate_EachRuleBroken_IsCorrupt) {
  ASSERT_TRUE(validate(example()));
  using Change = std::function<void(Genesis&)>;
  const std::vector<std::pair<std::string, Change>> changes = {
      {"no ring uuid", [](Genesis& g) { g.ring = Uuid{}; }},
      {"too many partitions", [](Genesis& g) { g.partition_bits = 17; }},
      {"tokens off the anchors", [](Genesis& g) { g.partition_bits = 2; }},
      {"zero heartbeat", [](Genesis& g) { g.timing.heartbeat = Duration(0); }},
      {"negative stabilize", [](Genesis& g) { g.timing.stabilize = Duration(-1); }},
      {"zero merge", [](Genesis& g) { g.timing.merge = Duration(0); }},
      {"a day", [](Genesis& g) { g.timing.election_maximum = hours(24); }},
      {"margin of one half", [](Genesis& g) { g.timing.lease_margin = 0.5; }},
      {"negative margin", [](Genesis& g) { g.timing.lease_margin = -0.1; }},
      {"margin not a number", [](Genesis& g) { g.timing.lease_margin = std::numeric_limits<double>::quiet_NaN(); }},
      {"lease = heartbeat", [](Genesis& g) { g.timing.lease = g.timing.heartbeat; }},
      {"election = lease", [](Genesis& g) { g.timing.election_minimum = g.timing.lease; }},
      {"no election interval", [](Genesis& g) { g.timing.election_maximum = g.timing.election_minimum; }},
      {"table version 2", [](Genesis& g) { g.first_table.version = 2; }},
      {"no members", [](Genesis& g) { g.first_table.members.clear(); }},
      {"member without uuid", [](Genesis& g) { g.first_table.members[0].id = Uuid{}; }},
      {"members out of order", [](Genesis& g) { std::swap(g.first_table.members[0], g.first_table.members[2]); }},
      {"dead first member", [](Genesis& g) { g.first_table.members[1].state = MemberState::dead; }},
      {"shared token", [](Genesis& g) { g.first_table.members[1].tokens = g.first_table.members[0].tokens; }},
      {"tokens out of order",
       [](Genesis& g) { std::swap(g.first_table.members[1].tokens[0], g.first_table.members[1].tokens[1]); }},
      {"no tokens at all",
       [](Genesis& g) {
         for (Member& member : g.first_table.members) member.tokens.clear();
       }},
      {"replication 0", [](Genesis& g) { g.first_table.settings["replication"] = "0"; }},
      {"replication 8", [](Genesis& g) { g.first_table.settings["replication"] = "8"; }},
      {"replication many", [](Genesis& g) { g.first_table.settings["replication"] = "many"; }},
  };
  for (const auto& [name, change] : changes) {
    Genesis genesis = example();
    change(genesis);
    Status status = validate(genesis);
    ASSERT_FALSE(status) << name;
    EXPECT_EQ(status.error().code, ErrorCode::corrupt) << name;
    EXPECT_FALSE(decode_genesis(encode(genesis))) << name;
  }
}

TEST(Genesis, Validate_SmallestAndLargestRing_IsFine) {
  Genesis genesis = example();
  genesis.first_table.members.resize(1);
  genesis.partition_bits = 0;
  genesis.first_table.members[0].tokens = {Position{}};
  genesis.first_table.settings.clear();
  EXPECT_TRUE(validate(genesis));
  genesis.partition_bits = 16;
  genesis.timing.lease_margin = 0;
  EXPECT_TRUE(validate(genesis));
}

}  // namespace
}  // namespace ringfs::dht
