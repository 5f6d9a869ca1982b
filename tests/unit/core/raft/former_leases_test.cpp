// What the voters of a group know of row leases that earlier leaders granted.
#include "dht/core/raft/former_leases.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht {
namespace {

using namespace std::chrono_literals;

constexpr Duration longest = 1900ms;
const TimePoint start{std::chrono::hours(1)};

Uuid client(std::uint8_t number) {
  Uuid id;
  id.bytes[0] = number;
  return id;
}

LeaseHolders holders(std::uint64_t version, std::vector<Uuid> clients, bool unknown = false) {
  return {version, unknown, std::move(clients)};
}

TEST(FormerLeases, FreshGroup_NobodyIsWaitedFor) {
  EXPECT_EQ(FormerLeases(true, longest, start).free_at(client(1), start), start);
}

TEST(FormerLeases, ProcessThatStartsAnew_WaitsForTheLongestLease) {
  FormerLeases leases(false, longest, start);
  EXPECT_EQ(leases.free_at(client(1), start + 1s), start + longest);
  EXPECT_EQ(leases.unknown(start + 1s), longest - 1s);
  // Whom a leader names now tells nothing of what it granted before: the message may be an old one.
  leases.heard(3, holders(1, {}), start + 1s);
  EXPECT_EQ(leases.free_at(client(1), start + 1s), start + longest);
}

TEST(FormerLeases, WhoeverWasNamed_IsWaitedForUnlessItAsksItself) {
  FormerLeases leases(true, longest, start);
  leases.heard(3, holders(1, {client(1)}), start);
  EXPECT_EQ(leases.free_at(client(2), start + 1s), start + longest);
  EXPECT_EQ(leases.free_at(client(1), start + 1s), start + 1s);
  leases.heard(3, holders(1, {client(1)}), start + 500ms);
  EXPECT_EQ(leases.free_at(client(2), start + 1s), start + 500ms + longest);
  ASSERT_EQ(leases.left(start + 1s).size(), 1U);
  EXPECT_EQ(leases.left(start + 1s)[0].left, longest - 500ms);
  leases.released(client(1));
  EXPECT_EQ(leases.free_at(client(2), start + 1s), start + 1s);
}

TEST(FormerLeases, NewVoter_KnowsNothingUntilItsLeaderNamesThemForItsEntry) {
  FormerLeases leases(true, longest, start);
  leases.became_voter(start);
  leases.heard(3, holders(9, {}), start + 1ms);
  EXPECT_EQ(leases.free_at(client(1), start + 2ms), start + longest) << "no append has said from which version on";
  leases.appended(3, 5);
  leases.heard(3, holders(4, {}), start + 3ms);
  EXPECT_EQ(leases.free_at(client(1), start + 4ms), start + longest) << "an old message";
  leases.heard(3, holders(5, {}), start + 5ms);
  EXPECT_EQ(leases.free_at(client(1), start + 6ms), start + 6ms);
}

TEST(FormerLeases, LeaderThatKnowsNotAll_SaysSo) {
  FormerLeases leases(true, longest, start);
  leases.heard(3, holders(1, {}, true), start);
  EXPECT_EQ(leases.free_at(client(1), start + 1s), start + longest);
  leases.heard(3, holders(1, {}), start + 1s);
  EXPECT_EQ(leases.free_at(client(1), start + 1s), start + 1s);
}

TEST(FormerLeases, Candidate_LearnsFromItsVoters) {
  FormerLeases leases(true, longest, start);
  leases.learn({{client(1), 700ms}}, 0ms, start);
  leases.learn({{client(1), 300ms}, {client(2), 400ms}}, 0ms, start);
  EXPECT_EQ(leases.free_at(client(3), start), start + 700ms);
  EXPECT_EQ(leases.free_at(client(1), start), start + 400ms);
  leases.learn({}, 1s, start);
  EXPECT_EQ(leases.free_at(client(1), start), start + 1s);
  leases.learn({{client(2), std::chrono::hours(1)}}, 0ms, start);
  EXPECT_EQ(leases.free_at(client(1), start), start + longest) << "no voter can know of a longer one";
}

TEST(FormerLeases, MoreThanTheLimit_AnybodyMayHoldOne) {
  FormerLeases leases(true, longest, start);
  std::vector<RowLeases::Holder> many;
  for (std::size_t i = 0; i <= max_lease_holders; ++i) {
    Uuid id;
    id.bytes[0] = static_cast<std::uint8_t>(i);
    id.bytes[1] = static_cast<std::uint8_t>(i >> 8);
    many.push_back({id, start + 1s});
  }
  leases.granted(many);
  EXPECT_TRUE(leases.left(start).empty());
  EXPECT_EQ(leases.free_at(client(1), start), start + 1s);
}

}  // namespace
}  // namespace ringfs::dht
