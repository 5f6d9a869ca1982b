// What an operator is told about a ring of scripted nodes.
#include "dht/net/client/ring_client.hpp"

#include <gtest/gtest.h>

#include "tests/support/fake_ring.hpp"

namespace ringfs::dht {
namespace {

class RingClientTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(time_.run(client_.start(in(10)))); }
  TimePoint in(int seconds) const { return time_.clock().now + std::chrono::seconds(seconds); }
  Result<RingStatus> status() { return time_.run(view_.status(in(10))); }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  FakeRing ring_{time_, 5};
  ObjectClient client_{ring_, {"10.0.0.1:4000"}};
  RingClient view_{ring_, client_};
};

TEST_F(RingClientTest, Status_AllWell_IsOk) {
  Result<RingStatus> result = status();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->health, Health::ok);
  EXPECT_EQ(result->nodes, 5u);
  EXPECT_EQ(result->answering, 5u);
  EXPECT_EQ(result->partitions, 16u);
  EXPECT_EQ(result->under_replicated, 0u);
  EXPECT_EQ(result->leaderless, 0u);
  EXPECT_FALSE(result->moving);
  EXPECT_EQ(result->ring, ring_.genesis().ring);
}

TEST_F(RingClientTest, Events_OfAllNodes_AreTheNewOnesByTime) {
  FakeNode& first = ring_.node(std::size_t{0});
  FakeNode& second = ring_.node(std::size_t{1});
  first.events = {{1, Stamp{10}, "a", "x=1"}, {2, Stamp{30}, "b", ""}};
  second.events = {{7, Stamp{20}, "c", ""}};
  ring_.node(std::size_t{2}).state = FakeNode::State::dead;
  Result<std::vector<EventView>> events = time_.run(view_.events({}, in(10)));
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 3u);
  EXPECT_EQ(events->at(0).name, "a");
  EXPECT_EQ(events->at(0).detail, "x=1");
  EXPECT_EQ(events->at(0).node, first.id);
  EXPECT_EQ(events->at(1).name, "c");
  EXPECT_EQ(events->at(1).node, second.id);
  EXPECT_EQ(events->at(2).name, "b");
  events = time_.run(view_.events({{first.id, 1}, {second.id, 7}}, in(10)));
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->at(0).name, "b");
}

TEST_F(RingClientTest, Status_RemovedNodeKnewTheAuthority_AdvisesToRotate) {
  const auto advised = [this] {
    const Result<RingStatus> result = status();
    EXPECT_TRUE(result);
    EXPECT_EQ(result->health, Health::ok);
    return std::any_of(result->remarks.begin(), result->remarks.end(), [](const std::string& remark) {
      return remark.find("`ringfs authority rotate`") != std::string::npos;
    });
  };
  Member removed;
  removed.id.bytes[0] = 1;
  removed.state = MemberState::removed;
  removed.key = KeyHash{};
  ring_.table.members.push_back(removed);
  std::sort(ring_.table.members.begin(), ring_.table.members.end(),
            [](const Member& left, const Member& right) { return left.id < right.id; });
  ++ring_.table.version;
  EXPECT_FALSE(advised()) << "the ring has no authority";
  ring_.table.authorities["hash"] = "certificate";
  ++ring_.table.version;
  EXPECT_TRUE(advised());
}

TEST_F(RingClientTest, Status_ANodeThatShouldNotLead_IsDegradedAndNamed) {
  FakeNode& node = ring_.node(std::size_t{1});
  const auto remark = [this](const std::string& words) {
    Result<RingStatus> result = status();
    return result && result->health == Health::degraded &&
           std::any_of(result->remarks.begin(), result->remarks.end(),
                       [&](const std::string& one) { return one.find(words) != std::string::npos; });
  };
  node.disk_stalled = std::chrono::milliseconds(7400);
  EXPECT_TRUE(remark("The disk of node " + node.address + " has not answered for 7 seconds"));
  node.disk_stalled = Duration::zero();
  node.disk_slow = true;
  node.disk_write_time = std::chrono::milliseconds(310);
  EXPECT_TRUE(remark("The disk of node " + node.address + " is much slower than those of the others (310 ms a write)"));
  node.disk_slow = false;
  node.late = true;
  EXPECT_TRUE(remark("The process of node " + node.address + " gets too little processor time"));
  node.late = false;
  node.storage_note = "the database's pages have no checksums";
  EXPECT_TRUE(remark("Node " + node.address + ": the database's pages have no checksums."));
  node.storage_note.clear();
  EXPECT_EQ(status()->health, Health::ok);
}

TEST_F(RingClientTest, Status_ANodeIsFrozen_IsDegradedWithinASecond) {
  FakeNode& frozen = ring_.node(std::size_t{2});
  for (auto& [partition, group] : ring_.groups) {
    if (group.leader == frozen.id) group.leader = group.members[1];
  }
  frozen.state = FakeNode::State::frozen;
  const TimePoint before = time_.clock().now;
  Result<RingStatus> result = status();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->health, Health::degraded);
  EXPECT_EQ(result->answering, 4u);
  EXPECT_GT(result->under_replicated, 0u);
  EXPECT_LE(time_.clock().now - before, std::chrono::seconds(2));
  EXPECT_FALSE(result->remarks.empty());
}

TEST_F(RingClientTest, Status_DamagedCopies_AreDegradedAndNameTheirNodes) {
  const PartitionId partition{3};
  const std::vector<Uuid> members = ring_.groups[partition].members;
  ASSERT_EQ(members.size(), 3u);
  auto node_of = [&](const Uuid& id) -> FakeNode& {
    for (std::size_t i = 0;; ++i) {
      if (ring_.node(i).id == id) return ring_.node(i);
    }
  };
  auto remarks = [&] {
    Result<RingStatus> result = status();
    EXPECT_TRUE(result);
    EXPECT_EQ(result->health, Health::degraded);
    std::string all;
    for (const std::string& remark : result->remarks) all += remark + "\n";
    return all;
  };
  node_of(members[0]).damaged.insert(partition);  // the leader, too
  std::string said = remarks();
  EXPECT_NE(said.find(node_of(members[0]).address + " is damaged and being replaced from the other nodes"),
            std::string::npos)
      << said;
  node_of(members[1]).damaged.insert(partition);
  said = remarks();
  EXPECT_NE(said.find("Partition 3 is damaged on "), std::string::npos) << said;
  EXPECT_NE(said.find("add a node"), std::string::npos) << said;
  node_of(members[2]).damaged.insert(partition);
  said = remarks();
  EXPECT_NE(said.find("no sound copy is left"), std::string::npos) << said;
}

TEST_F(RingClientTest, Status_ANodesClockIsWrong_IsDegradedAndNamesIt) {
  FakeNode& wrong = ring_.node(std::size_t{2});
  wrong.clock_error = std::chrono::hours(6);
  Result<RingStatus> result = status();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->health, Health::degraded);
  ASSERT_FALSE(result->remarks.empty());
  EXPECT_NE(result->remarks.front().find(wrong.id.text()), std::string::npos) << result->remarks.front();
  EXPECT_NE(result->remarks.front().find("clock"), std::string::npos);
  wrong.clock_error = Duration(0);
  EXPECT_EQ(status()->health, Health::ok);
}

TEST_F(RingClientTest, Status_APartitionWithoutLeader_IsReadonly) {
  ring_.groups[PartitionId{3}].leader.reset();
  Result<RingStatus> result = status();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->health, Health::readonly);
  EXPECT_EQ(result->leaderless, 1u);
}

TEST_F(RingClientTest, Status_NobodyAnswers_IsAnError) {
  for (std::size_t i = 0; i < ring_.size(); ++i) ring_.node(i).state = FakeNode::State::dead;
  Result<RingStatus> result = status();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unreachable);
}

TEST_F(RingClientTest, Members_SharesAddUpAndTheDeadOneShows) {
  ring_.node(std::size_t{4}).state = FakeNode::State::dead;
  Result<std::vector<MemberView>> members = time_.run(view_.members(in(10)));
  ASSERT_TRUE(members);
  ASSERT_EQ(members->size(), 5u);
  double share = 0;
  for (const MemberView& member : *members) {
    share += member.share;
    EXPECT_EQ(member.answers, member.id != ring_.node(std::size_t{4}).id);
    EXPECT_EQ(member.round_trip.has_value(), member.answers);
    EXPECT_EQ(member.used_bytes, member.answers ? 1000u : 0u);
  }
  EXPECT_NEAR(share, 1.0, 1e-9);
}

TEST_F(RingClientTest, Partitions_EachOne_HasItsLeaderAndReplicas) {
  Result<std::vector<PartitionView>> partitions = time_.run(view_.partitions(in(10)));
  ASSERT_TRUE(partitions);
  ASSERT_EQ(partitions->size(), 16u);
  for (const PartitionView& view : *partitions) {
    EXPECT_EQ(view.leader, ring_.groups[view.partition].leader);
    EXPECT_EQ(view.replicas, ring_.groups[view.partition].members);
    EXPECT_EQ(view.answering_replicas, 3u);
    EXPECT_EQ(view.term, 3u);
  }
}

TEST_F(RingClientTest, Lookup_AnyKey_ShowsTheRouteThatEndsAtThePrimary) {
  std::size_t longest = 0;
  for (int i = 0; i < 40; ++i) {
    Result<RouteView> route = time_.run(view_.lookup("key" + std::to_string(i), in(10)));
    ASSERT_TRUE(route);
    const FakeRing::Group& group = ring_.groups[route->partition];
    EXPECT_EQ(route->primary, group.members.front());
    EXPECT_EQ(route->leader, group.leader);
    EXPECT_EQ(route->replicas, group.members);
    ASSERT_FALSE(route->hops.empty());
    longest = std::max(longest, route->hops.size());
  }
  EXPECT_GT(longest, 1u);
  EXPECT_EQ(client_.counters().most_lookup_hops, longest);
}

TEST_F(RingClientTest, Space_NodesOnOneDisk_CountOnce) {
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    // The same host for the first three.
    if (i < 3) {
      ring_.node(i).disk_id = 5;
      for (Member& member : ring_.table.members) {
        if (member.id == ring_.node(i).id) member.address = "10.0.0.1:" + std::to_string(4000 + i);
      }
      ring_.node(i).address = "10.0.0.1:" + std::to_string(4000 + i);
    } else {
      ring_.node(i).disk_id = 6;
    }
  }
  ring_.table.version = 2;
  Result<SpaceView> space = time_.run(view_.space(in(10)));
  ASSERT_TRUE(space);
  EXPECT_EQ(space->total_bytes, 3u * 9000 / 3)
      << "two hosts' nodes with disks of their own and one shared disk, three copies";
  // A partition on the three that share a disk is full first.
  EXPECT_GT(space->free_bytes, 0u);
  EXPECT_LE(space->free_bytes, 3u * 6000 / 3);
}

// A partition goes on while a majority of its replicas has room: a full node does not count, two of three do.
TEST(RingClientSpace, Free_IsWhatAMajorityHasRoomFor) {
  boost::asio::io_context loop;
  VirtualTime time{loop};
  FakeRing ring{time, 3};
  ObjectClient client{ring, {"10.0.0.1:4000"}};
  RingClient view{ring, client};
  ASSERT_TRUE(time.run(client.start(time.clock().now + std::chrono::seconds(10))));
  auto free_bytes = [&] { return time.run(view.space(time.clock().now + std::chrono::seconds(10)))->free_bytes; };
  for (std::size_t i = 0; i < 3; ++i) {
    ring.node(i).disk_id = i + 1;
    ring.node(i).free_bytes = 5000;
  }
  EXPECT_NEAR(static_cast<double>(free_bytes()), 5000, 1);
  ring.node(std::size_t{1}).free_bytes = 0;
  EXPECT_NEAR(static_cast<double>(free_bytes()), 5000, 1);
  ring.node(std::size_t{2}).free_bytes = 100;
  EXPECT_NEAR(static_cast<double>(free_bytes()), 100, 1);
  ring.node(std::size_t{2}).state = FakeNode::State::dead;  // who does not answer takes in nothing
  EXPECT_EQ(free_bytes(), 0u);
}

TEST_F(RingClientTest, Metrics_EveryCounter_IsPrometheusText) {
  const std::string text = view_.metrics_text();
  EXPECT_NE(text.find("# TYPE ringfs_client_calls_total counter\n"), std::string::npos);
  EXPECT_NE(text.find("\nringfs_client_table_refreshes_total 1\n"), std::string::npos);
}

}  // namespace
}  // namespace ringfs::dht
