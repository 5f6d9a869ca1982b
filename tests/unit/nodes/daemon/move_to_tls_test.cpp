// When a node that moves from plain loopback to TLS tells its new address, and how long it keeps the former one.
#include "nodes/daemon/move_to_tls.hpp"

#include <gtest/gtest.h>

namespace ringfs::nodes {
namespace {

Uuid uuid_of(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes[15] = number;
  return uuid;
}

dht::Member member(std::uint8_t number, std::string address, bool has_key, MemberState state = MemberState::up) {
  dht::Member one;
  one.id = uuid_of(number);
  one.address = std::move(address);
  one.state = state;
  if (has_key) one.key = KeyHash{number};
  return one;
}

dht::MembersTable table_of(std::vector<dht::Member> members) {
  dht::MembersTable table;
  table.members = std::move(members);
  return table;
}

const std::string here = "127.0.0.1:4001", outside = "10.0.0.1:4001";

TEST(MoveToTls, IsUnderWay_FromLoopbackToAnotherAddressOnly) {
  const auto former = [](const std::string& before, const std::string& now, MemberState state = MemberState::up) {
    return MoveToTls(table_of({member(1, before, false, state)}), uuid_of(1), now).former();
  };
  EXPECT_EQ(former(here, outside), here);
  EXPECT_EQ(former("[::1]:4001", "node1:4001"), "[::1]:4001");
  EXPECT_EQ(former(here, outside, MemberState::joining), here);
  EXPECT_EQ(former(here, "127.0.0.1:4002"), "") << "plain both";
  EXPECT_EQ(former(outside, "10.0.0.2:4001"), "") << "TLS both";
  EXPECT_EQ(former(outside, here), "");
  EXPECT_EQ(former(here, outside, MemberState::removed), "");
  EXPECT_FALSE(MoveToTls({}, uuid_of(1), outside).under_way()) << "no member";
}

TEST(MoveToTls, NewAddress_IsAnnouncedWhenEveryMemberHasACertificate) {
  const dht::MembersTable one_without = table_of({member(1, here, true), member(2, here, false)});
  EXPECT_FALSE(may_be_announced(one_without, outside));
  EXPECT_TRUE(may_be_announced(one_without, here)) << "plain: everybody can dial it";
  EXPECT_TRUE(may_be_announced(table_of({member(1, here, true), member(2, here, true)}), outside));
  EXPECT_TRUE(
      may_be_announced(table_of({member(1, here, true), member(2, here, false, MemberState::removed)}), outside));
}

TEST(MoveToTls, WithAnOperatorsAuthority_OnlyAddressesCount) {
  const dht::MembersTable table = table_of({member(1, here, false), member(2, outside, false)});
  const MoveToTls move(table, uuid_of(1), "10.0.0.3:4001", false);
  EXPECT_TRUE(move.under_way());
  EXPECT_TRUE(move.may_announce(table));
  EXPECT_FALSE(all_have_moved(table, false));
  EXPECT_TRUE(all_have_moved(table_of({member(2, outside, false)}), false));
}

TEST(MoveToTls, AllHaveMoved_WhenNobodyIsLeftAtLoopbackOrWithoutACertificate) {
  EXPECT_TRUE(all_have_moved(table_of({member(1, outside, true), member(2, "node2:4001", true)})));
  EXPECT_FALSE(all_have_moved(table_of({member(1, outside, true), member(2, here, true)})));
  EXPECT_FALSE(all_have_moved(table_of({member(1, outside, true), member(2, outside, false)})));
  EXPECT_TRUE(all_have_moved(table_of({member(1, outside, true), member(2, here, false, MemberState::removed)})));
}

}  // namespace
}  // namespace ringfs::nodes
