// Creation against waiting nodes that are simulated by their answers alone.
#include "dht/net/client/ring_creation.hpp"

#include <gtest/gtest.h>

#include "tests/support/virtual_time.hpp"

namespace ringfs::dht {
namespace {

Uuid id(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes[15] = number;
  return uuid;
}

class FakeNodes : public ClientTransport {
 public:
  struct Node {
    Uuid id;
    std::optional<Genesis> genesis;
    bool dead = false;
    int creations = 0;
  };

  explicit FakeNodes(VirtualTime& time) : time_(time) {}

  Task<OperationResult> call(std::string address, Uuid expected, Operation operation, TimePoint deadline) override {
    const auto found = nodes.find(address);
    if (found == nodes.end() || found->second.dead) {
      co_return tl::unexpected<OperationFailure>(
          OperationFailure{Error{ErrorCode::unreachable, "refused"}, Redirect{}});
    }
    Node& node = found->second;
    if (deadline <= now()) co_return refuse(ErrorCode::timeout);
    if (!expected.is_nil() && expected != node.id) co_return refuse(ErrorCode::wrong_identity);
    if (std::holds_alternative<StatusOperation>(operation)) {
      NodeStatus status;
      status.node = node.id;
      if (node.genesis) status.ring = node.genesis->ring;
      co_return Answer(status);
    }
    if (std::holds_alternative<TableOperation>(operation)) {
      TableAnswer table;
      table.genesis = node.genesis;
      co_return Answer(table);
    }
    const Genesis& genesis = std::get<CreateOperation>(operation).genesis;
    if (node.genesis && node.genesis->ring != genesis.ring) co_return refuse(ErrorCode::already_member);
    node.genesis = genesis;
    ++node.creations;
    co_return Answer(Empty{});
  }
  void take_recalls(const Uuid&, std::function<void(const Recall&, Forgotten)>) override {}  // there are none
  Task<void> sleep(Duration duration) override { return time_.sleep(duration); }
  TimePoint now() override { return time_.clock().now; }
  Stamp ring_time() override { return time_.clock().stamp; }
  Random& random() override { return random_; }

  std::map<std::string, Node> nodes;

 private:
  static OperationResult refuse(ErrorCode code) {
    return tl::unexpected<OperationFailure>(OperationFailure{Error{code, ""}, Redirect{}});
  }
  VirtualTime& time_;
  SeededRandom random_{1};
};

class RingCreationTest : public testing::Test {
 protected:
  RingCreationTest() {
    for (std::uint8_t i = 1; i <= 3; ++i) {
      const std::string address = "node" + std::to_string(i) + ":4000";
      transport_.nodes[address].id = id(i);
      first_.push_back(FirstNode{address, "node" + std::to_string(i) + ":3000"});
    }
  }
  Result<CreationReport> create(CreationOptions options = {}) {
    return time_.run(create_ring(transport_, first_, options, transport_.now() + std::chrono::seconds(5)));
  }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  FakeNodes transport_{time_};
  std::vector<FirstNode> first_;
};

TEST_F(RingCreationTest, WaitingNodes_AllGetTheSameRecord) {
  const auto report = create();
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_FALSE(report->existed);
  for (const auto& [address, node] : transport_.nodes) {
    ASSERT_TRUE(node.genesis) << address;
    EXPECT_EQ(encode(*node.genesis), encode(report->genesis));
  }
  const MembersTable& table = report->genesis.first_table;
  ASSERT_EQ(table.members.size(), 3U);
  EXPECT_EQ(table.version, 1U);
  EXPECT_EQ(table.replication(), 3U);
  for (const Member& member : table.members) {
    EXPECT_EQ(member.state, MemberState::up);
    EXPECT_FALSE(member.tokens.empty());
    EXPECT_FALSE(member.rest_address.empty());
  }
}

TEST_F(RingCreationTest, FewerNodesThanCopies_KeepTheSetting) {
  first_.resize(1);
  const auto report = create();
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->genesis.first_table.settings.at("replication"), "3");
}

TEST_F(RingCreationTest, SecondRun_ChangesNothing) {
  const auto first = create();
  ASSERT_TRUE(first);
  const auto second = create();
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->existed);
  EXPECT_EQ(second->genesis.ring, first->genesis.ring);
  for (const auto& [address, node] : transport_.nodes) EXPECT_EQ(node.creations, 1) << address;
}

TEST_F(RingCreationTest, RunThatWasCutShort_IsFinishedWithTheFirstRecord) {
  const auto first = create();
  ASSERT_TRUE(first);
  transport_.nodes["node3:4000"].genesis.reset();
  const auto second = create();
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_FALSE(second->existed);
  EXPECT_EQ(encode(*transport_.nodes["node3:4000"].genesis), encode(first->genesis));
}

TEST_F(RingCreationTest, NodeOfAnotherRing_IsRefusedAndNobodyIsTouched) {
  Genesis foreign;
  foreign.ring = id(99);
  transport_.nodes["node2:4000"].genesis = foreign;
  const auto report = create();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::already_member);
  EXPECT_NE(report.error().context.find("node2:4000"), std::string::npos);
  EXPECT_FALSE(transport_.nodes["node1:4000"].genesis);
}

TEST_F(RingCreationTest, RingWithOtherFirstNodes_IsRefused) {
  first_.resize(2);
  ASSERT_TRUE(create());
  first_.push_back(FirstNode{"node3:4000", ""});
  const auto report = create();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::already_member);
}

TEST_F(RingCreationTest, AskedForAnotherRing_IsRefused) {
  ASSERT_TRUE(create());
  CreationOptions options;
  options.ring = id(77);
  EXPECT_EQ(create(options).error().code, ErrorCode::already_member);
}

TEST_F(RingCreationTest, DeadNode_IsTriedUntilTheDeadlineAndNamed) {
  transport_.nodes["node2:4000"].dead = true;
  const TimePoint before = transport_.now();
  const auto report = create();
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().context.find("node2:4000"), std::string::npos);
  EXPECT_LE(transport_.now() - before, std::chrono::seconds(5));
  EXPECT_FALSE(transport_.nodes["node1:4000"].genesis);
}

TEST_F(RingCreationTest, SameNodeTwice_IsRefused) {
  transport_.nodes["alias:4000"].id = id(1);
  first_.push_back(FirstNode{"alias:4000", ""});
  const auto report = create();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::invalid_argument);
  first_.clear();
  EXPECT_EQ(create().error().code, ErrorCode::invalid_argument);
}

TEST_F(RingCreationTest, OptionsOutOfRange_AreRefused) {
  CreationOptions options;
  options.partition_bits = 17;
  EXPECT_EQ(create(options).error().code, ErrorCode::invalid_argument);
  options = CreationOptions();
  options.replication = 0;
  EXPECT_EQ(create(options).error().code, ErrorCode::invalid_argument);
  options.replication = 8;
  EXPECT_EQ(create(options).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace ringfs::dht
