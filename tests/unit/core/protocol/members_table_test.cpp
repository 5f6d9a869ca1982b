// The members table: encoding, rows, damage and limits.
#include "dht/core/protocol/members_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "dht/base/random.hpp"

namespace ringfs::dht {
namespace {

Position anchor(std::uint32_t index) { return anchor_of(PartitionId{index}, 8); }

MembersTable example() {
  SeededRandom random(1);
  MembersTable table;
  table.version = 42;
  for (std::uint32_t i = 0; i < 5; ++i) {
    Member member;
    member.id = random_uuid(random);
    member.address = "127.0.0.1:" + std::to_string(4000 + i);
    member.rest_address = "127.0.0.1:" + std::to_string(5000 + i);
    member.state = static_cast<MemberState>(1 + i);
    member.tokens = {anchor(i), anchor(100 + i)};
    member.weight = 100 + i;
    table.members.push_back(member);
  }
  std::sort(table.members.begin(), table.members.end(), [](const Member& a, const Member& b) { return a.id < b.id; });
  table.settings = {{"op_timeout", "30"}, {"replication", "5"}};
  return table;
}

// Of a ring with certificates.
MembersTable keyed_example() {
  MembersTable table = example();
  for (std::size_t i = 1; i < table.members.size(); ++i)
    table.members[i].key.emplace().fill(static_cast<std::uint8_t>(i));
  table.clients = {{.name = "admin-1", .role = AccessRole::admin, .key = {1, 2, 3}, .revoked = false},
                   {.name = "host.example", .role = AccessRole::reader, .key = {4}, .revoked = true},
                   {.name = "w", .role = AccessRole::writer, .key = {}, .revoked = false}};
  table.authorities = {{std::string(64, '0'), "-----BEGIN CERTIFICATE-----"}, {std::string(64, 'f'), "x"}};
  return table;
}

std::vector<Row> stored(const MembersTable& table) {
  std::vector<Row> rows;
  for (InitialRow& row : rows_of(table)) rows.push_back({row.row.sort, 1, SharedBytes(std::move(row.value))});
  return rows;
}

void expect_corrupt(std::string_view bytes) {
  Result<MembersTable> table = decode_members_table(bytes);
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, ErrorCode::corrupt);
}

TEST(MembersTable, Encoding_RoundTrip_IsEqual) {
  MembersTable table = example();
  Result<MembersTable> back = decode_members_table(encode(table));
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_EQ(*back, table);
  EXPECT_EQ(*decode_members_table(encode(MembersTable{})), MembersTable{});
  EXPECT_EQ(*decode_member(encode(table.members[0])), table.members[0]);
  table = keyed_example();
  back = decode_members_table(encode(table));
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_EQ(*back, table);
  EXPECT_EQ(*decode_member(encode(table.members[1])), table.members[1]);
}

TEST(MembersTable, Encoding_WithoutCertificates_IsWhatEarlierProgramsRead) {
  EXPECT_EQ(encode(example()).front(), 1);
  EXPECT_EQ(encode(example().members[0]).front(), 1);
  EXPECT_EQ(encode(keyed_example()).front(), 2);
  EXPECT_EQ(encode(keyed_example().members[0]).front(), 1);
  EXPECT_EQ(encode(keyed_example().members[1]).front(), 2);
}

TEST(MembersTable, Rows_RoundTrip_IsEqualAndAscending) {
  for (const MembersTable& table : {example(), keyed_example()}) {
    std::vector<Row> rows = stored(table);
    for (std::size_t i = 1; i < rows.size(); ++i) EXPECT_LT(rows[i - 1].sort, rows[i].sort);
    for (const InitialRow& row : rows_of(table)) EXPECT_EQ(row.row.key, members_key);
    Result<MembersTable> back = table_from_rows(rows);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(*back, table);
    EXPECT_EQ(rows.back().sort, "v");
    EXPECT_EQ(rows.back().value.view(), std::string("\0\0\0\0\0\0\0\x2a", 8));
  }
}

TEST(MembersTable, FindClient_NameAndStranger_OnlyTheClient) {
  const MembersTable table = keyed_example();
  for (const Client& client : table.clients) EXPECT_EQ(table.find_client(client.name), &client);
  EXPECT_EQ(table.find_client("stranger"), nullptr);
  EXPECT_EQ(table.find_client(""), nullptr);
}

TEST(MembersTable, Find_MemberAndStranger_OnlyTheMember) {
  MembersTable table = example();
  for (const Member& member : table.members) EXPECT_EQ(table.find(member.id), &member);
  SeededRandom random(2);
  EXPECT_EQ(table.find(random_uuid(random)), nullptr);
  EXPECT_EQ(table.find(Uuid{}), nullptr);
}

TEST(MembersTable, Replication_SettingAbsentOrWrong_IsThree) {
  MembersTable table;
  EXPECT_EQ(table.replication(), 3U);
  for (unsigned value = 1; value <= 7; ++value) {
    table.settings["replication"] = std::to_string(value);
    EXPECT_EQ(table.replication(), value);
  }
  for (std::string wrong : {"", "0", "8", "-1", "x", "3x", " 3", "99999999999999999999"}) {
    table.settings["replication"] = wrong;
    EXPECT_EQ(table.replication(), 3U) << wrong;
  }
}

TEST(MembersTable, Decode_CutAnywhereOrExtended_IsCorrupt) {
  for (const std::string& bytes : {encode(example()), encode(keyed_example())}) {
    for (std::size_t size = 0; size < bytes.size(); ++size) expect_corrupt(std::string_view(bytes).substr(0, size));
    expect_corrupt(bytes + "x");
  }
}

TEST(MembersTable, Decode_AnyByteChanged_NeverCrashesAndStaysConsistent) {
  std::string bytes = encode(keyed_example());
  SeededRandom random(3);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int round = 0; round < 8; ++round) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(random.next());
      Result<MembersTable> table = decode_members_table(damaged);
      if (table) {
        EXPECT_EQ(encode(*table), damaged);  // one encoding for each table
      }
    }
  }
}

TEST(MembersTable, Decode_MembersOutOfOrderOrTwice_IsCorrupt) {
  MembersTable table = example();
  std::swap(table.members[0], table.members[1]);
  expect_corrupt(encode(table));
  table = example();
  table.members[1] = table.members[0];
  expect_corrupt(encode(table));
}

TEST(MembersTable, Decode_LimitsExceeded_IsCorrupt) {
  MembersTable table = example();
  table.members[0].tokens.clear();
  for (std::uint32_t i = 0; i <= max_tokens_per_member; ++i)
    table.members[0].tokens.push_back(anchor_of(PartitionId{i}, 16));
  expect_corrupt(encode(table));
  table.members[0].tokens.pop_back();
  EXPECT_TRUE(decode_members_table(encode(table)));

  table = example();
  table.members[0].address = std::string(301, 'a');
  expect_corrupt(encode(table));

  table = example();
  for (int i = 0; i < 65; ++i) table.settings["s" + std::to_string(i)] = "1";
  expect_corrupt(encode(table));

  table = example();
  table.settings["s"] = std::string(1025, 'a');
  expect_corrupt(encode(table));

  auto broken = [](const std::function<void(MembersTable&)>& change) {
    MembersTable changed = keyed_example();
    change(changed);
    expect_corrupt(encode(changed));
  };
  broken([](MembersTable& one) { one.clients[0].name = "-x"; });
  broken([](MembersTable& one) { one.clients[0].role = AccessRole::node; });
  broken([](MembersTable& one) { std::swap(one.clients[0], one.clients[1]); });
  broken([](MembersTable& one) { one.authorities.emplace(std::string(63, 'a'), "x"); });
  broken([](MembersTable& one) { one.authorities.emplace(std::string(64, 'A'), "x"); });
  broken([](MembersTable& one) { one.authorities[std::string(64, 'a')] = std::string(max_authority_bytes + 1, 'x'); });
  broken([](MembersTable& one) {
    for (char digit : {'1', '2', '3'}) one.authorities[std::string(64, digit)] = "x";
  });
  broken([](MembersTable& one) {
    one.clients.clear();
    for (std::size_t i = 0; i <= max_clients; ++i) one.clients.push_back({.name = "c" + std::to_string(100000 + i)});
  });

  MembersTable large;
  SeededRandom random(4);
  std::map<Uuid, Member> members;
  while (members.size() <= max_members) {
    Member member;
    member.id = random_uuid(random);
    members[member.id] = member;
  }
  for (auto& [id, member] : members) large.members.push_back(member);
  expect_corrupt(encode(large));
  large.members.pop_back();
  EXPECT_TRUE(decode_members_table(encode(large)));
}

TEST(MembersTable, DecodeMember_OddValues_IsCorrupt) {
  auto is_corrupt = [](const Member& member) {
    Result<Member> back = decode_member(encode(member));
    return !back && back.error().code == ErrorCode::corrupt;
  };
  Member good = example().members[0];
  EXPECT_FALSE(is_corrupt(good));
  Member member = good;
  member.state = static_cast<MemberState>(0);
  EXPECT_TRUE(is_corrupt(member));
  member.state = static_cast<MemberState>(6);
  EXPECT_TRUE(is_corrupt(member));
  member = good;
  member.id = Uuid{};
  EXPECT_TRUE(is_corrupt(member));
  member = good;
  member.tokens = {anchor(2), anchor(1)};
  EXPECT_TRUE(is_corrupt(member));
  member.tokens = {anchor(2), anchor(2)};
  EXPECT_TRUE(is_corrupt(member));
}

TEST(MembersTable, FromRows_DamagedRows_IsCorrupt) {
  const std::vector<Row> good = stored(example());
  auto is_corrupt = [](const std::vector<Row>& rows) {
    Result<MembersTable> table = table_from_rows(rows);
    return !table && table.error().code == ErrorCode::corrupt;
  };
  EXPECT_FALSE(is_corrupt(good));
  EXPECT_TRUE(is_corrupt({}));
  std::vector<Row> rows = good;
  rows.pop_back();
  EXPECT_TRUE(is_corrupt(rows)) << "no version";
  rows = good;
  rows.back().value = "1234567";
  EXPECT_TRUE(is_corrupt(rows)) << "short version";
  rows = good;
  std::swap(rows[0].value, rows[1].value);
  EXPECT_TRUE(is_corrupt(rows)) << "members under each other's uuid";
  rows = good;
  std::swap(rows[0], rows[1]);
  EXPECT_TRUE(is_corrupt(rows)) << "not ascending";
  rows = good;
  rows.push_back({"z", 1, "?"});
  EXPECT_TRUE(is_corrupt(rows)) << "unknown row";
}

}  // namespace
}  // namespace ringfs::dht
