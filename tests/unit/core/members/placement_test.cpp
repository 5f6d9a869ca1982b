// Which nodes hold a partition, and which tokens a node gets: the definition, balance, and how little moves.
#include "dht/core/members/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "dht/base/random.hpp"

namespace ringfs::dht {
namespace {

std::vector<Uuid> draw_nodes(std::size_t count, std::uint64_t seed) {
  SeededRandom random(seed);
  std::vector<Uuid> nodes;
  for (std::size_t i = 0; i < count; ++i) nodes.push_back(random_uuid(random));
  return nodes;
}

void add(MembersTable& table, const Uuid& id, std::vector<Position> tokens, MemberState state = MemberState::up) {
  table.members.push_back({id, "", "", state, std::move(tokens), 100, {}});
  std::sort(table.members.begin(), table.members.end(), [](const Member& a, const Member& b) { return a.id < b.id; });
}

MembersTable first_table(std::size_t nodes, unsigned bits, unsigned replication = 3, unsigned tokens = 8) {
  MembersTable table;
  table.version = 1;
  table.settings["replication"] = std::to_string(replication);
  for (auto& [id, positions] : allocate_first_tokens(draw_nodes(nodes, nodes), bits, replication, tokens)) {
    add(table, id, positions);
  }
  return table;
}

// The definition, word for word: walk clockwise from the anchor.
std::vector<Uuid> by_definition(const MembersTable& table, PartitionId partition, unsigned bits) {
  std::vector<std::pair<Position, Uuid>> tokens;
  for (const Member& member : table.members) {
    if (member.state != MemberState::up && member.state != MemberState::joining) continue;
    for (const Position& token : member.tokens) tokens.emplace_back(token, member.id);
  }
  std::sort(tokens.begin(), tokens.end());
  std::vector<Uuid> list;
  std::size_t first = 0;
  while (first < tokens.size() && tokens[first].first < anchor_of(partition, bits)) ++first;
  for (std::size_t i = 0; i < tokens.size() && list.size() < table.replication(); ++i) {
    const Uuid& node = tokens[(first + i) % tokens.size()].second;
    if (std::find(list.begin(), list.end(), node) == list.end()) list.push_back(node);
  }
  return list;
}

std::map<Uuid, std::size_t> primaries(const Placement& placement) {
  std::map<Uuid, std::size_t> count;
  for (std::uint32_t i = 0; i < placement.partitions(); ++i) ++count[placement.preference_list(PartitionId{i}).front()];
  return count;
}

void expect_no_shared_anchor(const MembersTable& table, unsigned bits) {
  std::set<Position> taken;
  for (const Member& member : table.members) {
    EXPECT_TRUE(std::is_sorted(member.tokens.begin(), member.tokens.end()));
    for (const Position& token : member.tokens) {
      EXPECT_TRUE(taken.insert(token).second) << token.hex();
      EXPECT_EQ(token, anchor_of(partition_of(token, bits), bits));
    }
  }
}

TEST(Placement, EmptyTable_AllLists_AreEmpty) {
  Placement placement(MembersTable{}, 4);
  EXPECT_EQ(placement.partitions(), 16U);
  EXPECT_TRUE(placement.preference_list(PartitionId{15}).empty());
  EXPECT_EQ(placement.balance().primaries_max_to_mean, 0);
  EXPECT_TRUE(Placement().preference_list(PartitionId{0}).empty());
}

TEST(Placement, PartitionOutOfRange_List_IsEmpty) {
  Placement placement(first_table(3, 4), 4);
  EXPECT_TRUE(placement.preference_list(PartitionId{16}).empty());
  EXPECT_TRUE(placement.preference_list(PartitionId{0xffffffff}).empty());
}

TEST(Placement, RandomTables_EveryList_FollowsTheDefinition) {
  SeededRandom random(7);
  for (int round = 0; round < 300; ++round) {
    auto bits = static_cast<unsigned>(random.below(8));
    MembersTable table;
    table.settings["replication"] = std::to_string(1 + random.below(7));
    for (const Uuid& id : draw_nodes(random.below(12), random.next())) {
      std::set<Position> tokens;
      for (std::uint64_t i = random.below(6); i > 0; --i) {
        tokens.insert(anchor_of(PartitionId{static_cast<std::uint32_t>(random.below(1U << bits))}, bits));
      }
      add(table, id, {tokens.begin(), tokens.end()}, static_cast<MemberState>(1 + random.below(5)));
    }
    Placement placement(table, bits);
    for (std::uint32_t i = 0; i < placement.partitions(); ++i) {
      ASSERT_EQ(placement.preference_list(PartitionId{i}), by_definition(table, PartitionId{i}, bits));
    }
  }
}

TEST(Placement, LeavingDeadAndRemovedNodes_HoldNothing) {
  for (MemberState state : {MemberState::leaving, MemberState::dead, MemberState::removed}) {
    MembersTable table = first_table(5, 8);
    table.members[2].state = state;
    Placement placement(table, 8);
    for (std::uint32_t i = 0; i < 256; ++i) {
      const auto& list = placement.preference_list(PartitionId{i});
      EXPECT_EQ(list.size(), 3U);
      EXPECT_EQ(std::count(list.begin(), list.end(), table.members[2].id), 0);
    }
  }
}

TEST(Placement, FewerNodesThanReplication_List_NamesAllOfThem) {
  Placement placement(first_table(2, 8), 8);
  for (std::uint32_t i = 0; i < 256; ++i) EXPECT_EQ(placement.preference_list(PartitionId{i}).size(), 2U);
}

class FirstTokens : public testing::TestWithParam<std::size_t> {};

TEST_P(FirstTokens, Balance_PrimariesAndReplicas_StayNearTheMean) {
  for (unsigned replication : {1U, 2U, 3U, 5U, 7U}) {
    MembersTable table = first_table(GetParam(), 8, replication);
    expect_no_shared_anchor(table, 8);
    Placement::Balance balance = Placement(table, 8).balance();
    EXPECT_GE(balance.primaries_max_to_mean, 1.0);
    EXPECT_LE(balance.primaries_max_to_mean, 1.25) << replication;
    EXPECT_LE(balance.replicas_max_to_mean, 1.25) << replication;
  }
}

TEST_P(FirstTokens, NodeDies_ItsLoad_SpreadsOverSeveral) {
  if (GetParam() < 5) return;  // with three replicas on four nodes there is nobody to spread the load over
  MembersTable table = first_table(GetParam(), 8);
  auto before = primaries(Placement(table, 8));
  for (Member& member : table.members) {
    member.state = MemberState::dead;
    auto after = primaries(Placement(table, 8));
    std::size_t recipients = 0;
    for (const auto& [id, count] : after) {
      std::size_t gained = count - before[id];
      recipients += gained > 0 ? 1 : 0;
      EXPECT_LE(static_cast<double>(gained), 0.6 * static_cast<double>(before[member.id]));
    }
    EXPECT_GE(recipients, GetParam() == 5 ? 2U : 3U);
    member.state = MemberState::up;
  }
}

INSTANTIATE_TEST_SUITE_P(Nodes, FirstTokens, testing::Values(1, 3, 5, 10, 16, 30), testing::PrintToStringParamName());

TEST(TokenAllocation, FirstTokens_SameNodesInAnyOrder_SameTokens) {
  std::vector<Uuid> nodes = draw_nodes(7, 3);
  auto tokens = allocate_first_tokens(nodes, 8, 3);
  std::reverse(nodes.begin(), nodes.end());
  EXPECT_EQ(allocate_first_tokens(nodes, 8, 3), tokens);
  nodes.push_back(nodes.front());
  EXPECT_EQ(allocate_first_tokens(nodes, 8, 3), tokens);
}

TEST(TokenAllocation, FirstTokens_FewAnchors_EachNodeGetsAtLeastOneWhileTheyLast) {
  for (std::size_t nodes : {1U, 2U, 3U, 5U, 8U}) {
    for (const auto& [id, tokens] : allocate_first_tokens(draw_nodes(nodes, 1), 3, 3)) EXPECT_GE(tokens.size(), 1U);
  }
  std::size_t given = 0;
  auto tokens = allocate_first_tokens(draw_nodes(9, 1), 3, 3);
  EXPECT_EQ(tokens.size(), 9U);
  for (const auto& [id, positions] : tokens) given += positions.size();
  EXPECT_EQ(given, 8U);
  EXPECT_EQ(allocate_first_tokens(draw_nodes(1, 1), 0, 1).begin()->second, std::vector<Position>{Position{}});
  EXPECT_TRUE(allocate_first_tokens({}, 8, 3).empty());
}

TEST(TokenAllocation, Join_OneByOne_BalanceHoldsAndNobodyElseMoves) {
  for (std::size_t first : {1U, 3U, 10U}) {
    MembersTable table = first_table(first, 8);
    for (const Uuid& id : draw_nodes(16 - first, 99)) {
      MembersTable before = table;
      std::vector<Position> tokens = allocate_tokens(table, id, 8);
      EXPECT_EQ(tokens.size(), 8U);
      EXPECT_EQ(tokens, allocate_tokens(table, id, 8));
      add(table, id, tokens, MemberState::joining);
      for (const Member& member : before.members) EXPECT_EQ(table.find(member.id)->tokens, member.tokens);
      expect_no_shared_anchor(table, 8);
      Placement::Balance balance = Placement(table, 8).balance();
      EXPECT_LE(balance.primaries_max_to_mean, 1.25) << table.members.size();
      EXPECT_LE(balance.replicas_max_to_mean, 1.25) << table.members.size();
    }
  }
}

TEST(TokenAllocation, Join_DeadMembersTokens_StayReservedAndRemovedOnesAreFree) {
  MembersTable table = first_table(2, 2, 3, 2);  // four anchors, one token each at most half
  std::vector<Uuid> others = draw_nodes(6, 5);
  table.members[0].state = MemberState::dead;
  while (true) {
    Uuid id = others.back();
    others.pop_back();
    std::vector<Position> tokens = allocate_tokens(table, id, 2);
    if (tokens.empty()) break;
    add(table, id, tokens);
    expect_no_shared_anchor(table, 2);
  }
  EXPECT_EQ(table.members.size(), 4U);  // every anchor is taken, the dead one's too
  Member& dead = *std::find_if(table.members.begin(), table.members.end(),
                               [](const Member& member) { return member.state == MemberState::dead; });
  dead.state = MemberState::removed;
  EXPECT_EQ(allocate_tokens(table, others.back(), 2), dead.tokens);
}

TEST(TokenAllocation, Join_AllOthersDead_TakesFreeAnchors) {
  MembersTable table = first_table(2, 8);
  for (Member& member : table.members) member.state = MemberState::dead;
  Uuid id = draw_nodes(1, 77)[0];
  std::vector<Position> tokens = allocate_tokens(table, id, 8);
  EXPECT_EQ(tokens.size(), 8U);
  add(table, id, tokens);
  expect_no_shared_anchor(table, 8);
}

TEST(TokenAllocation, Join_ManyPartitionsAndNodes_StaysBalanced) {
  MembersTable table = first_table(40, 14);
  Uuid id = draw_nodes(1, 77)[0];
  add(table, id, allocate_tokens(table, id, 14));
  Placement::Balance balance = Placement(table, 14).balance();
  EXPECT_LE(balance.primaries_max_to_mean, 1.25);
  EXPECT_LE(balance.replicas_max_to_mean, 1.25);
}

// Sixteen partitions a node at least (docs/membership.md#balance).
unsigned bits_for(std::size_t nodes) {
  unsigned bits = 4;
  while ((std::size_t{1} << bits) < 16 * nodes) ++bits;
  return bits;
}

void join_until(MembersTable& table, std::size_t nodes, unsigned bits) {
  while (table.members.size() < nodes) {
    Uuid id = draw_nodes(1, 1000 + table.members.size())[0];
    add(table, id, allocate_tokens(table, id, bits));
  }
}

void leave(MembersTable& table, const Uuid& id, unsigned bits) {
  for (const Member& changed : leave_members(table, id, bits)) {
    *std::find_if(table.members.begin(), table.members.end(), [&](const Member& one) { return one.id == changed.id; }) =
        changed;
  }
}

struct BalanceRow {
  Placement::Balance joins;   // a third of the nodes first, the others one after the other
  Placement::Balance leaves;  // a fourth more, of whom as many leave, spread over the old and the new ones
};

BalanceRow balance_row(std::size_t nodes) {
  std::size_t more = std::max<std::size_t>(nodes / 4, 1);
  unsigned bits = bits_for(nodes + more);
  BalanceRow row;
  MembersTable table = first_table(std::max<std::size_t>(nodes / 3, 1), bits);
  join_until(table, nodes, bits);
  row.joins = Placement(table, bits).balance();
  join_until(table, nodes + more, bits);
  for (std::size_t i = 0; i < more; ++i) leave(table, table.members[i * table.members.size() / more].id, bits);
  row.leaves = Placement(table, bits).balance();
  return row;
}

TEST(TokenAllocation, Leave_TokensGoToOthersAndNobodyLosesOne) {
  MembersTable table = first_table(5, 8);
  MembersTable before = table;
  Uuid leaving = table.members[2].id;
  leave(table, leaving, 8);
  EXPECT_EQ(table.find(leaving)->state, MemberState::leaving);
  EXPECT_TRUE(table.find(leaving)->tokens.empty());
  expect_no_shared_anchor(table, 8);
  std::size_t tokens = 0;
  for (const Member& member : table.members) {
    tokens += member.tokens.size();
    const std::vector<Position>& old = before.find(member.id)->tokens;
    if (member.id != leaving) {
      EXPECT_TRUE(std::includes(member.tokens.begin(), member.tokens.end(), old.begin(), old.end()));
    }
  }
  EXPECT_EQ(tokens, 40U);
  // No group that it was not a member of changes its members.
  Placement old(before, 8), now(table, 8);
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::vector<Uuid> was = old.preference_list(PartitionId{i});
    std::vector<Uuid> is = now.preference_list(PartitionId{i});
    if (std::find(was.begin(), was.end(), leaving) == was.end()) {
      std::sort(was.begin(), was.end());
      std::sort(is.begin(), is.end());
      EXPECT_EQ(was, is) << i;
    }
  }
}

TEST(TokenAllocation, Leave_LastOne_KeepsItsTokens) {
  MembersTable table = first_table(1, 4);
  std::vector<Member> changed = leave_members(table, table.members[0].id, 4);
  ASSERT_EQ(changed.size(), 1U);
  EXPECT_FALSE(changed[0].tokens.empty());
  EXPECT_TRUE(leave_members(table, Uuid{}, 4).empty());
}

TEST(TokenAllocation, JoinsAndLeaves_BalanceTable) {
  std::printf("%6s %11s %20s %20s\n", "nodes", "partitions", "after joins", "after leaves");
  std::printf("%6s %11s %10s %9s %10s %9s   max / mean\n", "", "", "primaries", "replicas", "primaries", "replicas");
  for (std::size_t nodes : {3U, 5U, 10U, 30U, 100U}) {
    BalanceRow row = balance_row(nodes);
    std::printf("%6zu %11u %10.2f %9.2f %10.2f %9.2f\n", nodes,
                1U << bits_for(nodes + std::max<std::size_t>(nodes / 4, 1)), row.joins.primaries_max_to_mean,
                row.joins.replicas_max_to_mean, row.leaves.primaries_max_to_mean, row.leaves.replicas_max_to_mean);
    EXPECT_LE(row.joins.primaries_max_to_mean, 1.25) << nodes;
    EXPECT_LE(row.joins.replicas_max_to_mean, 1.25) << nodes;
    EXPECT_LE(row.leaves.primaries_max_to_mean, 1.25) << nodes;
    EXPECT_LE(row.leaves.replicas_max_to_mean, 1.25) << nodes;
  }
}

}  // namespace
}  // namespace ringfs::dht
