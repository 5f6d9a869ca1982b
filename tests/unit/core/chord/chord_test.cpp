// Chord: joining, look-ups, crashes, splits, and what an idle ring costs.
#include "dht/core/chord/chord.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/unit/core/chord/network.hpp"

namespace ringfs::dht {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void start_all(ChordNetwork& network) {
  for (const Member& member : network.table().members) network.start(member.id);
}

// A ring of that many nodes that all start together, some time later.
void run_fresh(ChordNetwork& network, std::size_t nodes, Duration duration) {
  network.add_first_rows(nodes);
  start_all(network);
  network.run(duration);
}

ChordPeer owner_of(const std::vector<ChordPeer>& ring, const Position& position) {
  for (const ChordPeer& peer : ring) {
    if (peer.token >= position) return peer;
  }
  return ring.front();
}

Position random_position(Random& random) {
  Position position;
  for (auto& byte : position.bytes) byte = static_cast<std::uint8_t>(random.next());
  return position;
}

void expect_lookups_work(ChordNetwork& network) {
  std::vector<ChordPeer> ring = network.live_ring();
  double bound = std::log2(static_cast<double>(ring.size())) + 2;
  for (const Uuid& first : network.running_nodes()) {
    for (int i = 0; i < 20; ++i) {
      Position position = i == 0 ? ring[network.random().below(ring.size())].token : random_position(network.random());
      auto answer = network.lookup(first, position);
      ASSERT_TRUE(answer);
      ASSERT_EQ(answer->first, owner_of(ring, position)) << position.hex();
      ASSERT_LE(answer->second, bound);
    }
  }
}

class ChordRing : public testing::TestWithParam<std::size_t> {};

TEST_P(ChordRing, FreshRing_AllStartTogether_IsIdealWithinSeconds) {
  ChordNetwork network(GetParam());
  run_fresh(network, GetParam(), seconds(3));
  ASSERT_EQ(network.difference_from_ideal(false), "");
  network.run(seconds(60));
  ASSERT_EQ(network.difference_from_ideal(true), "");
  expect_lookups_work(network);
}

TEST_P(ChordRing, WholeRing_RestartsOneByOne_IsIdealAgain) {
  ChordNetwork network(GetParam() + 100);
  network.add_first_rows(GetParam());
  for (const Member& member : network.table().members) {
    network.start(member.id);
    network.run(milliseconds(700));
  }
  network.run(seconds(90));
  ASSERT_EQ(network.difference_from_ideal(true), "");
}

TEST_P(ChordRing, OneNode_Crashes_OthersHealAndItComesBack) {
  ChordNetwork network(GetParam() + 200);
  run_fresh(network, GetParam(), seconds(20));
  for (const Uuid& node : network.running_nodes()) {
    if (GetParam() == 1) break;
    network.crash(node);
    ASSERT_EQ(network.missing_live_successor(), "");
    network.run(seconds(20));
    ASSERT_EQ(network.difference_from_ideal(false), "");
    network.run(seconds(40));
    expect_lookups_work(network);
    network.start(node);
    network.run(seconds(20));
    ASSERT_EQ(network.difference_from_ideal(false), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Nodes, ChordRing, testing::Values(1, 2, 3, 4, 5, 10, 16), testing::PrintToStringParamName());

TEST(Chord, Start_NoTable_IsNoMemberAndAsksForNoTick) {
  SeededRandom random(1);
  ChordOptions options;
  options.self = random_uuid(random);
  options.tokens = {Position{}};
  Chord chord(options, random, TimePoint{});
  EXPECT_FALSE(chord.find(Position{}).member);
  EXPECT_EQ(chord.deadline(), never);
  chord.receive(random_uuid(random), ChordFind{7, Position{}}, TimePoint{});
  auto messages = chord.take_messages();
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_FALSE(std::get<ChordFound>(messages[0].second).member);
}

TEST(Chord, Ring_OneNodeOfEightTokens_AnswersEverythingItself) {
  ChordNetwork network(1);
  run_fresh(network, 1, seconds(5));
  EXPECT_EQ(network.messages_sent(), 0U);
  expect_lookups_work(network);
  ASSERT_EQ(network.difference_from_ideal(true), "");
}

TEST(Chord, Growth_OneTwoThreeTenNodes_IsIdealAfterEach) {
  ChordNetwork network(5);
  network.start(network.add_row());
  for (int nodes = 2; nodes <= 10; ++nodes) {
    network.run(seconds(10));
    Uuid id = network.add_row();
    network.publish();
    network.start(id);
    network.run(seconds(30));
    ASSERT_EQ(network.difference_from_ideal(false), "") << nodes;
    expect_lookups_work(network);
  }
}

TEST(Chord, Join_RunningRing_NewTokensAreFoundBySuccessorsOfTheTable) {
  ChordNetwork network(9);
  run_fresh(network, 6, seconds(20));
  Uuid id = network.add_row();
  network.publish();
  network.start(id);
  network.run(seconds(2));
  for (const auto& [token, pointers] : network.chord(id).pointers()) EXPECT_TRUE(pointers.member);
  network.run(seconds(60));
  ASSERT_EQ(network.difference_from_ideal(true), "");
}

TEST(Chord, Remove_MemberOfTheTable_LeavesAllPointersAtOnce) {
  ChordNetwork network(11);
  run_fresh(network, 5, seconds(20));
  Uuid gone = network.running_nodes().front();
  network.remove_row(gone);
  network.crash(gone);
  network.publish();
  for (const Uuid& node : network.running_nodes()) {
    for (const auto& [token, pointers] : network.chord(node).pointers()) {
      for (const ChordPeer& peer : pointers.successors) ASSERT_NE(peer.node, gone);
      for (const auto& finger : pointers.fingers) ASSERT_FALSE(finger && finger->node == gone);
      ASSERT_FALSE(pointers.predecessor && pointers.predecessor->node == gone);
    }
  }
  network.run(seconds(30));
  ASSERT_EQ(network.difference_from_ideal(true), "");
}

TEST(Chord, Split_IntoTwoHalves_EachIsARingAndTheyMergeAgain) {
  for (std::size_t nodes : {2U, 3U, 6U, 10U}) {
    ChordNetwork network(nodes);
    run_fresh(network, nodes, seconds(10));
    std::map<Uuid, int> groups;
    int next = 0;
    for (const Uuid& node : network.running_nodes()) groups[node] = next++ % 2;
    network.split(groups);
    network.run(seconds(60));
    ASSERT_EQ(network.difference_from_ideal(false, 0), "");
    ASSERT_EQ(network.difference_from_ideal(false, 1), "");
    network.split({});
    network.run(seconds(120));
    ASSERT_EQ(network.difference_from_ideal(false), "") << nodes;
    network.run(seconds(60));
    ASSERT_EQ(network.difference_from_ideal(true), "") << nodes;
  }
}

TEST(Chord, SuccessorList_AllOthersInItDie_FallsBackToTheTable) {
  ChordNetwork network(3);
  run_fresh(network, 10, seconds(20));
  Uuid self = network.running_nodes().front();
  const Chord::Pointers& pointers = network.chord(self).pointers().begin()->second;
  std::set<Uuid> dying;
  for (const ChordPeer& peer : pointers.successors) dying.insert(peer.node);
  dying.erase(self);
  ASSERT_GE(dying.size(), 3U);
  for (const Uuid& node : dying) network.crash(node);
  network.run(seconds(90));
  ASSERT_EQ(network.difference_from_ideal(true), "");
  expect_lookups_work(network);
}

TEST(Chord, PeerFailed_Hint_RoutesPastItUntilItIsHeard) {
  ChordNetwork network(13);
  run_fresh(network, 5, seconds(20));
  Uuid self = network.running_nodes().front();
  Chord& chord = network.chord(self);
  ChordPeer successor;
  Position token;
  for (const auto& [own, pointers] : chord.pointers()) {
    if (pointers.successors.front().node == self) continue;
    token = own;
    successor = pointers.successors.front();
  }
  Position wanted = plus_power_of_two(token, 0);
  ASSERT_EQ(chord.find(wanted).peer, successor);
  chord.peer_failed(successor.node, network.now());
  Chord::Step step = chord.find(wanted);
  EXPECT_TRUE(step.final);
  EXPECT_NE(step.peer.node, successor.node);
  chord.peer_heard(successor.node);
  EXPECT_EQ(chord.find(wanted).peer, successor);
}

TEST(Chord, IdleRing_TenNodes_SendsLittle) {
  ChordNetwork network(17);
  run_fresh(network, 10, seconds(60));
  std::size_t before = network.messages_sent();
  network.run(seconds(100));
  double per_token_and_second = static_cast<double>(network.messages_sent() - before) / (80.0 * 100.0);
  EXPECT_LT(per_token_and_second, 2.0);  // a request and its answer count as two
  RecordProperty("messages_per_token_and_second", std::to_string(per_token_and_second));
}

TEST(Chord, Peers_TellNonsense_ItIsNotBelieved) {
  ChordNetwork network(19);
  run_fresh(network, 4, seconds(10));
  std::vector<Uuid> nodes = network.running_nodes();
  Chord& chord = network.chord(nodes[0]);
  auto before = chord.pointers().begin()->second;
  Position token = chord.pointers().begin()->first;
  ChordPeer stranger{random_uuid(network.random()), plus_power_of_two(token, 1)};
  chord.receive(stranger.node, ChordNotify{token, stranger}, network.now());
  chord.receive(nodes[1], ChordNotify{token, ChordPeer{nodes[1], plus_power_of_two(token, 159)}}, network.now());
  chord.receive(nodes[1], ChordNotify{token, ChordPeer{nodes[2], network.table().find(nodes[2])->tokens[0]}},
                network.now());
  chord.receive(nodes[1], ChordNotify{plus_power_of_two(token, 0), ChordPeer{}}, network.now());
  for (std::uint64_t request = 0; request < 2000; ++request) {
    chord.receive(nodes[1], ChordNeighbours{request, true, stranger, {stranger, stranger}}, network.now());
    chord.receive(nodes[1], ChordFound{request, true, true, stranger, token}, network.now());
  }
  const auto& after = chord.pointers().begin()->second;
  EXPECT_EQ(after.predecessor, before.predecessor);
  EXPECT_EQ(after.successors, before.successors);
  network.run(seconds(30));
  EXPECT_EQ(network.difference_from_ideal(true), "");
}

// Crashes and joins at random times. A list names three other nodes; at most two die before the others can have
// noticed.
TEST(Chord, RandomCrashesAndJoins_TwoHundredSeeds_InvariantHoldsAndRingBecomesIdeal) {
  std::size_t crashes = 0;
  std::size_t joins = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ChordNetwork network(seed);
    network.add_first_rows(1 + network.random().below(6), 1 + static_cast<unsigned>(network.random().below(4)));
    start_all(network);
    network.loss = seed % 3 == 0 ? 0.02 : 0;
    network.run(seconds(5));
    std::vector<Uuid> down;
    std::vector<TimePoint> crashed;
    for (int step = 0; step < 8; ++step) {
      std::vector<Uuid> up = network.running_nodes();
      std::uint64_t choice = network.random().below(3);
      auto unnoticed =
          std::count_if(crashed.begin(), crashed.end(), [&](TimePoint at) { return at + seconds(15) > network.now(); });
      if (choice == 0 && up.size() > 1 && unnoticed < 2) {
        crashed.push_back(network.now());
        Uuid victim = up[network.random().below(up.size())];
        network.crash(victim);
        down.push_back(victim);
        ++crashes;
      } else if (choice == 1 && !down.empty()) {
        network.start(down.back());
        down.pop_back();
        ++joins;
      } else if (network.table().members.size() < 10) {
        Uuid id = network.add_row(1 + static_cast<unsigned>(network.random().below(4)));
        network.publish();
        network.start(id);
        ++joins;
      }
      ASSERT_EQ(network.missing_live_successor(), "");
      for (int i = 0; i < 8; ++i) {
        network.run(milliseconds(network.random().below(2000)));
        ASSERT_EQ(network.missing_live_successor(), "");
      }
    }
    network.loss = 0;
    network.run(seconds(90));
    ASSERT_EQ(network.difference_from_ideal(true), "");
    expect_lookups_work(network);
  }
  EXPECT_GT(crashes, 100U);
  EXPECT_GT(joins, 100U);
}

TEST(Chord, SameSeed_RunsTwice_SendsTheSame) {
  auto run = [] {
    ChordNetwork network(23);
    run_fresh(network, 5, seconds(10));
    network.crash(network.running_nodes().back());
    network.run(seconds(20));
    return network.messages_sent();
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace ringfs::dht
