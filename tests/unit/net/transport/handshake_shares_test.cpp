// How many handshakes a listener begins, and for whom.
#include "dht/net/sockets/handshake_shares.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ringfs::dht {
namespace {

using boost::asio::ip::make_address;

// The number of those that may begin from addresses 10.0.0.1 on, each as often as it may.
std::size_t begin_from_many(HandshakeShares& shares, int addresses) {
  std::size_t begun = 0;
  for (int i = 1; i <= addresses; ++i) {
    while (shares.begin(make_address("10.0.0." + std::to_string(i)))) ++begun;
  }
  return begun;
}

TEST(HandshakeShares, OneSource_HasItsShareAndNoMore) {
  HandshakeShares shares;
  EXPECT_EQ(begin_from_many(shares, 1), HandshakeShares::share_of_a_source);
  EXPECT_TRUE(shares.begin(make_address("10.0.0.2")));
  EXPECT_FALSE(shares.begin(make_address("10.0.0.1")));
  shares.end(make_address("10.0.0.1"));
  EXPECT_TRUE(shares.begin(make_address("10.0.0.1")));
}

TEST(HandshakeShares, ManySources_LeaveAQuarterToMembers) {
  const std::set<std::string> members = {"10.1.0.1", "10.1.0.2"};
  HandshakeShares shares([&](const auto& address) { return members.contains(address.to_string()); });
  EXPECT_EQ(begin_from_many(shares, 100), HandshakeShares::max_handshakes - HandshakeShares::kept_for_members);
  EXPECT_FALSE(shares.begin(make_address("10.2.0.1")));
  for (std::size_t i = 0; i < HandshakeShares::kept_for_members; ++i) {
    EXPECT_TRUE(shares.begin(make_address(i % 2 == 0 ? "10.1.0.1" : "10.1.0.2")));
  }
  EXPECT_EQ(shares.under_way(), HandshakeShares::max_handshakes);
  EXPECT_FALSE(shares.begin(make_address("10.1.0.1")));
  shares.end(make_address("10.1.0.2"));
  EXPECT_FALSE(shares.begin(make_address("10.2.0.1")));
  EXPECT_TRUE(shares.begin(make_address("10.1.0.1")));
}

TEST(HandshakeShares, OneMember_CannotTakeAll) {
  HandshakeShares shares([](const auto&) { return true; });
  EXPECT_EQ(begin_from_many(shares, 1), HandshakeShares::share_of_a_member);
  EXPECT_EQ(begin_from_many(shares, 100), HandshakeShares::max_handshakes - HandshakeShares::share_of_a_member);
}

TEST(HandshakeShares, AddressesOfOneMachine_AreOneSource) {
  HandshakeShares shares;
  for (std::size_t i = 0; i < HandshakeShares::share_of_a_source; ++i) {
    EXPECT_TRUE(shares.begin(make_address("fd00::" + std::to_string(i + 1))));
  }
  EXPECT_FALSE(shares.begin(make_address("fd00::ffff:0:0:1")));
  EXPECT_TRUE(shares.begin(make_address("fd00:0:0:1::1")));
  for (std::size_t i = 0; i < HandshakeShares::share_of_a_source; ++i) {
    EXPECT_TRUE(shares.begin(make_address(i % 2 == 0 ? "10.0.0.1" : "::ffff:10.0.0.1")));
  }
  EXPECT_FALSE(shares.begin(make_address("10.0.0.1")));
  EXPECT_FALSE(shares.begin(make_address("::ffff:10.0.0.1")));
}

TEST(HandshakeShares, AfterAllHaveEnded_NothingIsKept) {
  HandshakeShares shares;
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(begin_from_many(shares, 2), 2 * HandshakeShares::share_of_a_source);
    for (int i = 1; i <= 2; ++i) {
      for (std::size_t j = 0; j < HandshakeShares::share_of_a_source; ++j) {
        shares.end(make_address("10.0.0." + std::to_string(i)));
      }
    }
    EXPECT_EQ(shares.under_way(), 0U);
  }
}

}  // namespace
}  // namespace ringfs::dht
