// Members and settings: what is committed, who is told, and what is refused for which reason.
#include "dht/net/client/ring_admin_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "dht/net/client/members_edit.hpp"
#include "dht/net/client/ring_client.hpp"
#include "tests/support/fake_ring.hpp"
#include "tests/support/mutations.hpp"

namespace ringfs::dht {
namespace {

class RingAdminClientTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(time_.run(client_.start(in(10))));
    write_table();
  }
  TimePoint in(int seconds) const { return time_.clock().now + std::chrono::seconds(seconds); }

  // The rows of the members table as genesis makes them.
  void write_table() {
    CommitRequest commit;
    for (const InitialRow& row : rows_of(ring_.table))
      commit.mutations.push_back(put(row.row.key, row.row.sort, row.value));
    ASSERT_TRUE(time_.run(client_.commit(std::move(commit), in(10))));
  }
  MembersTable table() {
    Result<MembersTable> result = time_.run(read_members_table(client_, in(10)));
    EXPECT_TRUE(result);
    return result ? *result : MembersTable{};
  }
  void edit(std::function<Status(MembersTable&)> change) {
    ASSERT_TRUE(time_.run(edit_members_table(client_, std::move(change), in(10))));
  }
  void set_state(std::size_t node, MemberState state) {
    edit([&](MembersTable& table) -> Status {
      for (Member& member : table.members) {
        if (member.id == ring_.node(node).id) member.state = state;
      }
      return {};
    });
  }
  MemberState state_of(const Uuid& node) {
    const MembersTable current = table();
    const Member* member = current.find(node);
    return member != nullptr ? member->state : MemberState{};
  }

  Result<Uuid> add(const std::string& address) { return time_.run(admin_.add(address, in(10))); }
  Result<Uuid> remove(const std::string& member, bool force = false) {
    return time_.run(admin_.remove(member, force, in(10)));
  }
  Status set(const std::string& name, const std::string& value) { return time_.run(admin_.set(name, value, in(10))); }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  FakeRing ring_{time_, 4};
  ObjectClient client_{ring_, {"10.0.0.1:4000"}};
  RingClient view_{ring_, client_};
  RingAdminClient admin_{ring_, client_, view_};
};

TEST_F(RingAdminClientTest, Add_ToAFullTable_ForgetsOneThatWasRemoved) {
  auto fill = [&](MembersTable& table) -> Status {
    for (std::uint8_t i = 0; table.members.size() < max_members; ++i) {
      Member member;
      member.id.bytes[0] = 0xee;
      member.id.bytes[1] = i;
      member.id.bytes[2] = static_cast<std::uint8_t>(table.members.size() & 0xff);
      member.id.bytes[3] = static_cast<std::uint8_t>(table.members.size() >> 8);
      member.address = "10.1.0.1:4000";
      member.state = table.members.size() == 500 ? MemberState::removed : MemberState::dead;
      table.members.push_back(member);
    }
    return {};
  };
  edit(fill);
  FakeNode& first = ring_.add_waiting("10.0.0.9:4000");
  ASSERT_TRUE(add("10.0.0.9:4000"));
  const MembersTable full = table();
  EXPECT_EQ(full.members.size(), max_members);
  EXPECT_NE(full.find(first.id), nullptr);
  for (const Member& member : full.members) EXPECT_NE(member.state, MemberState::removed);
  ring_.add_waiting("10.0.0.8:4000");
  EXPECT_EQ(add("10.0.0.8:4000").error().code, ErrorCode::out_of_range);
}

TEST_F(RingAdminClientTest, Add_AWaitingNode_CommitsItAndTellsIt) {
  FakeNode& node = ring_.add_waiting("10.0.0.9:4000");
  const MembersTable before = table();
  const Result<Uuid> added = add("10.0.0.9:4000");
  ASSERT_TRUE(added) << added.error().text();
  EXPECT_EQ(*added, node.id);
  EXPECT_EQ(node.joins, 1u);
  const MembersTable after = table();
  EXPECT_EQ(after.version, before.version + 1);
  ASSERT_NE(after.find(node.id), nullptr);
  EXPECT_EQ(after.find(node.id)->state, MemberState::joining);
  EXPECT_EQ(after.find(node.id)->address, "10.0.0.9:4000");
  EXPECT_FALSE(after.find(node.id)->tokens.empty());
  for (const Member& member : before.members) EXPECT_EQ(*after.find(member.id), member) << "nobody else's row";
}

TEST_F(RingAdminClientTest, Add_InterruptedBeforeTheNodeWasTold_IsFinished) {
  FakeNode& node = ring_.add_waiting("10.0.0.9:4000");
  ring_.before_call = [&](FakeNode& called, const Operation& operation) {
    if (std::holds_alternative<JoinOperation>(operation)) called.refuses = ErrorCode::unreachable;
  };
  EXPECT_EQ(add("10.0.0.9:4000").error().code, ErrorCode::unreachable);
  EXPECT_EQ(state_of(node.id), MemberState::joining) << "committed all the same";
  ring_.before_call = nullptr;
  node.refuses.reset();
  const std::uint64_t version = table().version;
  EXPECT_TRUE(add("10.0.0.9:4000"));
  EXPECT_EQ(node.joins, 1u);
  EXPECT_EQ(table().version, version) << "it is there already";
}

TEST_F(RingAdminClientTest, Add_Refusals_NameTheReasonAndChangeNothing) {
  const MembersTable before = table();
  ring_.add_waiting("10.0.0.5:1").foreign_ring = ring_.node(std::size_t{0}).id;
  ring_.add_waiting("10.0.0.6:1").refuses = ErrorCode::version_mismatch;
  ring_.add_waiting("10.0.0.7:1").refuses = ErrorCode::connection_refused;
  ring_.add_waiting("10.0.0.8:1").state = FakeNode::State::frozen;
  ring_.add_waiting("10.0.0.9:1").refuses = ErrorCode::wrong_identity;
  const std::pair<std::string, ErrorCode> refusals[] = {
      {"10.0.0.5:1", ErrorCode::foreign_ring},       {"10.0.0.6:1", ErrorCode::version_mismatch},
      {"10.0.0.7:1", ErrorCode::connection_refused}, {"10.0.0.8:1", ErrorCode::timeout},
      {"10.0.0.9:1", ErrorCode::wrong_identity},     {"10.0.0.77:1", ErrorCode::unreachable},
      {"10.0.0.1:4000", ErrorCode::already_member},  {"nonsense", ErrorCode::invalid_argument}};
  for (const auto& [address, code] : refusals) {
    const Result<Uuid> added = add(address);
    ASSERT_FALSE(added) << address;
    EXPECT_EQ(added.error().code, code) << address << ": " << added.error().text();
    EXPECT_FALSE(added.error().context.empty()) << address;
  }
  EXPECT_EQ(table(), before);
}

TEST_F(RingAdminClientTest, Add_ALeavingNode_IsBusy) {
  set_state(1, MemberState::leaving);
  EXPECT_EQ(add("10.0.0.2:4000").error().code, ErrorCode::busy);
}

TEST_F(RingAdminClientTest, Add_ADeadNode_JoinsAgain) {
  set_state(1, MemberState::dead);
  ASSERT_TRUE(add("10.0.0.2:4000"));
  EXPECT_EQ(state_of(ring_.node(1).id), MemberState::joining);
}

TEST_F(RingAdminClientTest, Remove_ByAddressOrId_IsLeaving) {
  ASSERT_TRUE(remove("10.0.0.2:4000"));
  EXPECT_EQ(state_of(ring_.node(1).id), MemberState::leaving);
  EXPECT_EQ(remove("10.0.0.2:4000").error().code, ErrorCode::busy);
  ASSERT_TRUE(remove(ring_.node(2).id.text(), true));
  EXPECT_EQ(state_of(ring_.node(2).id), MemberState::leaving);
}

TEST_F(RingAdminClientTest, Remove_WithTooFewLeft_NeedsForce_AndNeverTheLast) {
  ASSERT_TRUE(remove("10.0.0.1:4000"));
  EXPECT_EQ(remove("10.0.0.2:4000").error().code, ErrorCode::too_few_nodes) << "two for three copies";
  ASSERT_TRUE(remove("10.0.0.2:4000", true));
  ASSERT_TRUE(remove("10.0.0.3:4000", true));
  EXPECT_EQ(remove("10.0.0.4:4000", true).error().code, ErrorCode::too_few_nodes) << "the last one";
  EXPECT_EQ(state_of(ring_.node(3).id), MemberState::up);
}

TEST_F(RingAdminClientTest, Remove_Strangers_IsNotFound_AndNonsenseInvalid) {
  EXPECT_EQ(remove("10.0.0.77:4000").error().code, ErrorCode::not_found);
  EXPECT_EQ(remove(Uuid().text()).error().code, ErrorCode::not_found);
  EXPECT_EQ(remove("nonsense").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(remove("").error().code, ErrorCode::invalid_argument);
  set_state(0, MemberState::removed);
  EXPECT_EQ(remove("10.0.0.1:4000").error().code, ErrorCode::not_found);
}

TEST_F(RingAdminClientTest, Remove_TheOthersAreFull_IsNoSpace) {
  for (std::size_t i = 0; i < 4; ++i) ring_.node(i).free_bytes = 100;
  EXPECT_EQ(remove("10.0.0.1:4000").error().code, ErrorCode::no_space);
  EXPECT_TRUE(remove("10.0.0.1:4000", true));
}

TEST_F(RingAdminClientTest, Settings_HaveValuesAndRanges) {
  EXPECT_TRUE(set("replace_after", "20"));
  EXPECT_EQ(set("replace_after", "0").error().code, ErrorCode::out_of_range);
  EXPECT_EQ(set("replication", "8").error().code, ErrorCode::out_of_range);
  EXPECT_EQ(set("replication", "99999999999999999999999").error().code, ErrorCode::out_of_range);
  EXPECT_EQ(set("replication", "three").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(set("replication", "3 ").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(set("nothing", "1").error().code, ErrorCode::not_found);
  const auto settings = time_.run(admin_.settings(in(10)));
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->at("replace_after"), "20");
  EXPECT_EQ(settings->at("replication"), "3");
}

// Each edit is on condition that the table is unchanged.
TEST_F(RingAdminClientTest, EditsAtOnce_NoneIsLost) {
  const std::uint64_t before = table().version;
  ring_.add_waiting("10.0.1.1:1");
  ring_.add_waiting("10.0.1.2:1");
  Result<Uuid> first = fail(ErrorCode::internal), second = fail(ErrorCode::internal);
  auto beside = [](RingAdmin& admin, Result<Uuid>& slot, TimePoint until) -> Task<void> {
    slot = co_await admin.add("10.0.1.1:1", until);
  };
  boost::asio::co_spawn(loop_, beside(admin_, first, in(10)), boost::asio::detached);
  second = add("10.0.1.2:1");
  time_.advance(std::chrono::seconds(5));
  ASSERT_TRUE(first) << first.error().text();
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_EQ(table().version, before + 2);
  EXPECT_EQ(state_of(*first), MemberState::joining);
  EXPECT_EQ(state_of(*second), MemberState::joining);
}

}  // namespace
}  // namespace ringfs::dht
