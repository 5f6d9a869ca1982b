// What is measured of peers that are far away, and that groups between them keep their leaders.
#include "dht/core/raft/distances.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

TEST(Distances, Peer_IsAsFarAsItsShortestRoundTripOfLate) {
  Distances distances;
  const Uuid peer = node_id(1), unknown = node_id(2);
  TimePoint now(100s);
  const auto measure = [&](Duration round_trip, Duration later) {
    now += later;
    distances.measured(peer, round_trip, now);
  };
  measure(900ms, 0ms);
  EXPECT_EQ(distances.to(peer), Distances::farthest);
  measure(200ms, 100ms);
  measure(700ms, 100ms);  // a packet was lost
  EXPECT_EQ(distances.to(peer), 200ms);
  EXPECT_EQ(distances.to(unknown), 0ms);
  EXPECT_EQ(distances.to_the_farthest(now), 200ms);
  // It has moved farther away.
  measure(300ms, 30s);
  EXPECT_EQ(distances.to(peer), 200ms);
  measure(300ms, 30s);
  EXPECT_EQ(distances.to(peer), 300ms);
  measure(Distances::near - 1us, 1s);
  EXPECT_EQ(distances.to(peer), 0ms);
  measure(300ms, 60s);
  measure(300ms, 30s);
  EXPECT_EQ(distances.to_the_farthest(now + 59s), 300ms);
  EXPECT_EQ(distances.to_the_farthest(now + 60s), 0ms);
}

// Messages arrive a while after they were sent, in order; `hold` keeps everything back for longer, as a lost packet
// does.
class FarCluster : public testing::Test {
 protected:
  FarCluster() {
    cluster.network.deliver = [this](const Envelope&) { return arriving; };
    cluster.network.watch = [this](const Envelope& envelope, bool arrives) {
      if (!arrives) under_way.emplace_back(cluster.clock.now + one_way, envelope);
    };
  }

  void run(Duration duration) {
    for (const TimePoint end = cluster.clock.now + duration; cluster.clock.now < end;) {
      cluster.run(5ms);
      while (!under_way.empty() && under_way.front().first <= cluster.clock.now && cluster.clock.now >= held_until) {
        const Envelope envelope = std::move(under_way.front().second);
        under_way.pop_front();
        arriving = true;
        cluster.receive(envelope);
        arriving = false;
      }
    }
  }
  void hold(Duration duration) { held_until = cluster.clock.now + duration; }

  bool led_everywhere() {
    for (std::uint32_t p = 0; p < 4; ++p) {
      if (cluster.leader(PartitionId{p}) != cluster.preferred(PartitionId{p})) return false;
    }
    return true;
  }
  std::vector<Term> terms() {
    std::vector<Term> all;
    for (std::uint32_t p = 0; p < 4; ++p) {
      for (unsigned i = 0; i < 3; ++i) all.push_back(cluster.group(i, PartitionId{p}).term);
    }
    return all;
  }

  static constexpr Duration one_way = 100ms;
  bool arriving = false;
  TimePoint held_until{};
  std::deque<std::pair<TimePoint, Envelope>> under_way;
  Cluster cluster{3};
};

TEST_F(FarCluster, LostPackets_CostNoLeaderItsGroups) {
  for (int i = 0; i < 60 && !led_everywhere(); ++i) run(1s);
  ASSERT_TRUE(led_everywhere());
  const std::vector<Term> before = terms();
  // Sent again after a round trip and 200 ms.
  for (int i = 0; i < 20; ++i) {
    hold(2 * one_way + 200ms);
    run(1500ms);
  }
  EXPECT_EQ(terms(), before);
  EXPECT_TRUE(led_everywhere());
}

TEST_F(FarCluster, LeaderGone_AnotherOneLeadsAllTheSame) {
  for (int i = 0; i < 60 && !led_everywhere(); ++i) run(1s);
  const PartitionId partition{0};
  cluster.crash(*cluster.leader(partition));
  run(6s);
  EXPECT_TRUE(cluster.leader(partition));
}

}  // namespace
}  // namespace ringfs::dht::test
