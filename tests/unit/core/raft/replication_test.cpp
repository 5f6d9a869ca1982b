// Proposals and appends: batching, windows, malformed entries, full disks. What is committed when is in the Raft
// scenarios. And the parts on their own: quorums and the log.
#include <gtest/gtest.h>

#include "dht/core/raft/leader/progress.hpp"
#include "dht/core/raft/log.hpp"
#include "dht/core/raft/quorum.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class ReadyGroupReplication : public ReadyGroup {
 protected:
  ReadyGroupReplication() : ReadyGroup(key) {}
};

Entry entry(LogIndex index, Term term, EntryKind kind = EntryKind::no_op, SharedBytes head = {}) {
  return {index, term, Stamp{1}, kind, std::move(head), {}};
}

TEST_F(ReadyGroupReplication, ManyProposalsOfOneTurn_ShareAMessage) {
  for (OperationId id = 1000; id < 1010; ++id)
    cluster.node(leader).submit(id, cluster.client.put(key, "x"), cluster.clock);
  cluster.network.clear();
  cluster.pump(leader);
  std::vector<Append> appends = cluster.network.taken<Append>((leader + 1) % 3);
  ASSERT_EQ(appends.size(), 1U);
  EXPECT_EQ(appends[0].entries.size(), 10U);
}

TEST_F(ReadyGroupReplication, Appends_ArePipelinedUpToTheWindow) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(1s);
  cluster.network.clear();
  for (int i = 0; i < 100; ++i) cluster.put(leader, key, "x");
  EXPECT_EQ(cluster.network.taken<Append>(follower).size(), max_inflight_messages);
}

TEST_F(ReadyGroupReplication, AppendMessages_AreBounded) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(1s);
  std::string half_a_mebibyte(512 << 10, 'x');
  for (OperationId id = 1000; id < 1006; ++id) {
    cluster.node(leader).submit(id, cluster.client.put(key, half_a_mebibyte), cluster.clock);
  }
  cluster.network.clear();
  cluster.pump(leader);
  std::vector<Append> appends = cluster.network.taken<Append>(follower);
  EXPECT_GE(appends.size(), 5U);
  for (const Append& append : appends) {
    std::size_t bytes = 0;
    for (const Entry& one : append.entries) bytes += one.bytes();
    EXPECT_TRUE(bytes <= max_append_bytes || append.entries.size() == 1);
  }
}

TEST(GroupReplication, AppendBytesOfOne_AnEntryAMessage) {
  NodeOptions options;
  options.append_bytes = 1;
  Cluster cluster(3, 2, true, options);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  unsigned leader = *cluster.leader(partition);
  cluster.run(1s);
  for (OperationId id = 1000; id < 1010; ++id)
    cluster.node(leader).submit(id, cluster.client.put(key, "x"), cluster.clock);
  cluster.network.clear();
  cluster.pump(leader);
  std::vector<Append> appends = cluster.network.taken<Append>((leader + 1) % 3);
  ASSERT_EQ(appends.size(), 10U);
  for (const Append& append : appends) EXPECT_EQ(append.entries.size(), 1U);
}

TEST_F(ReadyGroupReplication, LeadershipLost_CommittedOperationStillGetsItsResult) {
  unsigned old = leader;
  cluster.machines[old].hold_disk = true;
  OperationId put = cluster.put(old, key, "one");
  cluster.settle();  // committed by the two followers, not applied on the leader
  ASSERT_FALSE(cluster.reply(old, put));
  Term term = cluster.group(old, partition).term;
  Append append;
  append.raft = {partition, term + 1, 0, 0};
  append.previous_index = cluster.group(old, partition).last_index;
  append.previous_term = term;
  cluster.inject((old + 1) % 3, old, append);
  ASSERT_NE(cluster.group(old, partition).role, Role::leader);
  cluster.release_disk(old);
  EXPECT_TRUE(succeeded(cluster.reply(old, put)));
}

TEST_F(ReadyGroupReplication, MalformedAppends_ChangeNothing) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(500ms);
  GroupStatus status = cluster.group(follower, partition);
  LogIndex last = status.last_index;
  std::vector<std::vector<Entry>> bad = {
      {entry(last + 2, status.term)},                                            // a gap
      {entry(last + 1, status.term + 1)},                                        // of a later term than its leader
      {entry(last + 1, 0)},                                                      // terms go back
      {entry(last + 1, status.term, EntryKind{9})},                              // no such kind
      {entry(last + 1, status.term, EntryKind::configuration, "not a config")},  // does not decode
      {entry(last + 1, status.term, EntryKind::configuration, encode(Configuration{}))},  // nobody could ever vote
  };
  cluster.network.clear();
  for (std::vector<Entry>& entries : bad) {
    Append append;
    append.raft = {partition, status.term, 0, 0};
    append.previous_index = last;
    append.previous_term = status.term;
    append.entries = entries;
    cluster.inject(leader, follower, append);
    EXPECT_EQ(cluster.group(follower, partition).last_index, last);
  }
  EXPECT_TRUE(cluster.network.taken<AppendReply>(leader).empty());
  EXPECT_EQ(cluster.machines[follower].events["malformed_append"], bad.size());
}

TEST_F(ReadyGroupReplication, ConfigurationEntry_CountsOnAppendAndIsRolledBackOnTruncation) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(500ms);
  GroupStatus status = cluster.group(follower, partition);
  Configuration without;
  without.voters = {{node_id(leader), 0}};
  Append append;
  append.raft = {partition, status.term, 0, 0};
  append.previous_index = status.last_index;
  append.previous_term = status.term;
  append.entries = {entry(status.last_index + 1, status.term, EntryKind::configuration, encode(without))};
  cluster.inject(leader, follower, append);
  auto members = [&] {  // of the newest configuration
    OperationId read = cluster.get(follower, key);
    return cluster.reply(follower, read)->error().redirect.members;
  };
  EXPECT_EQ(members(), std::vector<Uuid>{node_id(leader)});
  // Until that configuration is committed its vote may be needed (dissertation, figure 4.6): it can still campaign.
  EXPECT_EQ(cluster.group(follower, partition).role, Role::follower);
  // It survives a restart although it is not committed ...
  cluster.crash(follower);
  cluster.start(follower);
  EXPECT_EQ(members(), std::vector<Uuid>{node_id(leader)});
  // ... and goes with the entry.
  append.raft.term = status.term + 1;
  append.entries = {entry(status.last_index + 1, status.term + 1)};
  cluster.inject((leader + 2) % 3, follower, append);
  EXPECT_EQ(members().size(), 3U);
}

TEST_F(ReadyGroupReplication, BodiesNotInMemory_AreLoadedFromTheDisk) {
  unsigned away = (leader + 1) % 3;
  cluster.crash(away);
  std::string large(300 << 10, 'x');
  for (int i = 0; i < 20; ++i) {  // 6 MB: more than a leader caches, less than the log's limit
    OperationId put = cluster.put(leader, key, large + std::to_string(i));
    ASSERT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, put)); }));
  }
  cluster.start(away);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.stored(away, key) == large + "19"; }, 10s));
  EXPECT_EQ(cluster.machines[away].events["snapshot_installed"], 0U);
}

TEST_F(ReadyGroupReplication, FullDisk_RefusesBatchesButStillReadsAndElects) {
  for (unsigned i = 0; i < 3; ++i) cluster.node(i).set_room(Room::reserve, cluster.clock);
  cluster.run(500ms);  // heartbeats say so
  cluster.wait_ready(partition);
  leader = *cluster.leader(partition);
  OperationId put = cluster.put(leader, key, "x");
  EXPECT_EQ(error_of(cluster.reply(leader, put)), ErrorCode::no_space);
  OperationId get = cluster.get(leader, key);
  EXPECT_EQ(value_of(cluster.reply(leader, get)), "<absent>");
  cluster.crash(leader);
  cluster.wait_ready(partition);
  for (unsigned i = 0; i < 3; ++i) {
    if (i != leader) cluster.node(i).set_room(Room::ample, cluster.clock);
  }
  cluster.run(500ms);
  cluster.wait_ready(partition);
  leader = *cluster.leader(partition);
  put = cluster.put(leader, key, "x");
  EXPECT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, put)); }));
}

TEST_F(ReadyGroupReplication, FollowersDiskIsFull_ItGetsTheEntriesWhenSpaceReturns) {
  unsigned full = (leader + 1) % 3;
  cluster.node(full).set_room(Room::reserve, cluster.clock);
  EXPECT_TRUE(cluster.executes(leader, cluster.client.put(key, "x")));
  cluster.run(2s);
  EXPECT_EQ(cluster.stored(full, key), "");
  EXPECT_GT(cluster.group(leader, partition).behind, 0U);
  cluster.node(full).set_room(Room::ample, cluster.clock);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.stored(full, key) == "x"; }, 5s));
}

TEST_F(ReadyGroupReplication, LeadersDiskIsFull_AnotherOneLeadsAndTakesBatches) {
  const unsigned full = leader;
  cluster.node(full).set_room(Room::reserve, cluster.clock);
  OperationId put = cluster.put(full, key, "x");
  EXPECT_EQ(error_of(cluster.reply(full, put)), ErrorCode::overloaded);  // try again: another one will lead
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) && *cluster.leader(partition) != full; }, 5s));
  cluster.wait_ready(partition);
  leader = *cluster.leader(partition);
  put = cluster.put(leader, key, "x");
  EXPECT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, put)); }));
  cluster.run(20s);  // it is the preferred primary, and yet it does not lead again
  EXPECT_NE(*cluster.leader(partition), full);
  cluster.node(full).set_room(Room::ample, cluster.clock);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.stored(full, key) == "x"; }, 5s));
}

TEST_F(ReadyGroupReplication, AMajorityIsFull_NoSpaceAtOnceAndErasingWorks) {
  OperationId put = cluster.put(leader, key, "x");
  ASSERT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, put)); }));
  for (unsigned i = 0; i < 3; ++i) {
    if (i != leader) cluster.node(i).set_room(Room::reserve, cluster.clock);
  }
  cluster.run(1s);  // heartbeats say so
  put = cluster.put(leader, key, "y");
  EXPECT_EQ(error_of(cluster.reply(leader, put)), ErrorCode::no_space);
  OperationId erased = cluster.submit(leader, cluster.client.erase(key));
  EXPECT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, erased)); }));
  OperationId get = cluster.get(leader, key);
  cluster.settle();
  EXPECT_EQ(value_of(cluster.reply(leader, get)), "<absent>");
}

// A batch that was admitted before the leader knew stands before the batch that would free room.
TEST_F(ReadyGroupReplication, AMajorityIsFullBehindABatch_ErasingWorksAllTheSame) {
  for (unsigned i = 0; i < 3; ++i) {
    if (i != leader) cluster.node(i).set_room(Room::reserve, cluster.clock);
  }
  OperationId put = cluster.put(leader, key, "x");  // the leader does not know yet
  cluster.run(10s);
  EXPECT_FALSE(succeeded(cluster.reply(leader, put)));
  cluster.wait_ready(partition);
  leader = *cluster.leader(partition);
  OperationId erased = cluster.submit(leader, cluster.client.erase(key));
  EXPECT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, erased)); }, 5s));
}

TEST_F(ReadyGroupReplication, AFollowerIsFullForLong_ItsEntriesAreNotKeptAndASnapshotFollows) {
  const unsigned full = (leader + 1) % 3;
  cluster.node(full).set_room(Room::reserve, cluster.clock);
  cluster.run(40s);
  const std::string large(600 << 10, 'x');
  for (int i = 0; i < 40; ++i) {  // 24 MB: three times a log's limit
    OperationId put = cluster.put(leader, key, large + std::to_string(i));
    ASSERT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, put)); }));
  }
  EXPECT_GT(cluster.group(leader, partition).first_index, 5U);
  cluster.node(full).set_room(Room::ample, cluster.clock);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.stored(full, key) == large + "39"; }, 10s));
  EXPECT_GT(cluster.machines[full].events["snapshot_installed"], 0U);
}

TEST_F(ReadyGroupReplication, TooManyBytesInFlight_Overloaded) {
  cluster.network.isolate(leader);
  SharedBytes large(std::string(1 << 20, 'x'));
  std::optional<ErrorCode> error;
  int accepted = 0;
  while (!error && accepted < 100) {
    error = error_of(cluster.reply(leader, cluster.put(leader, key, large.str())));
    if (!error) ++accepted;
  }
  EXPECT_EQ(error, ErrorCode::overloaded);
  EXPECT_LE(accepted, 64);
  EXPECT_GE(accepted, 60);
}

// ---- The parts on their own -------------------------------------------------------------------------

TEST(Quorum, JointConfiguration_NeedsBothHalves) {
  Configuration configuration;
  for (unsigned i = 0; i < 3; ++i) configuration.voters.push_back({node_id(i), 0});
  for (unsigned i = 3; i < 6; ++i) configuration.old_voters.push_back({node_id(i), 0});
  std::map<ReplicaId, LogIndex> match;
  auto value = [&] {
    return quorum_value<LogIndex>(configuration, 0, [&](const ReplicaId& voter) { return match[voter]; });
  };
  for (unsigned i = 0; i < 3; ++i) match[{node_id(i), 0}] = 10;
  EXPECT_EQ(value(), 0U);
  match[{node_id(3), 0}] = 7;
  EXPECT_EQ(value(), 0U);
  match[{node_id(4), 0}] = 5;
  EXPECT_EQ(value(), 5U);
  std::map<ReplicaId, bool> votes = {{{node_id(0), 0}, true}, {{node_id(1), 0}, true}};
  EXPECT_EQ(vote_outcome(configuration, votes), VoteOutcome::pending);
  votes[{node_id(3), 0}] = false;
  votes[{node_id(4), 0}] = false;
  EXPECT_EQ(vote_outcome(configuration, votes), VoteOutcome::lost);
  votes[{node_id(4), 0}] = votes[{node_id(5), 0}] = true;
  EXPECT_EQ(vote_outcome(configuration, votes), VoteOutcome::won);
  votes[{node_id(0), 99}] = true;  // another replica of a voter's node does not count
  EXPECT_EQ(vote_outcome({{{node_id(9), 0}}, {}, {}}, votes), VoteOutcome::pending);
}

TEST(Quorum, EvenNumberOfVoters_NeedsMoreThanHalf) {
  Configuration configuration;
  for (unsigned i = 0; i < 4; ++i) configuration.voters.push_back({node_id(i), 0});
  auto two = [](const ReplicaId& voter) { return LogIndex{number_of(voter.node) < 2 ? 5U : 0U}; };
  auto three = [](const ReplicaId& voter) { return LogIndex{number_of(voter.node) < 3 ? 5U : 0U}; };
  EXPECT_EQ(quorum_value<LogIndex>(configuration, 0, two), 0U);
  EXPECT_EQ(quorum_value<LogIndex>(configuration, 0, three), 5U);
  std::map<ReplicaId, bool> votes = {{{node_id(0), 0}, false}, {{node_id(1), 0}, false}};
  EXPECT_EQ(vote_outcome(configuration, votes), VoteOutcome::lost);
}

TEST(LogView, TermsBodiesAndBytes_FollowAppendTruncateCutAndEvict) {
  Log log(10, 2, {{11, 2, 100}, {12, 3, 100}});
  EXPECT_EQ(log.last_index(), 12U);
  EXPECT_EQ(log.term(10), 2U);
  EXPECT_EQ(log.term(9), std::nullopt);
  EXPECT_EQ(log.term(13), std::nullopt);
  EXPECT_EQ(log.body(12), nullptr);
  for (LogIndex i = 13; i <= 20; ++i) log.append(entry(i, 4, EntryKind::batch, std::string(36, 'x')));
  EXPECT_EQ(log.bytes(), 200 + 8 * 100U);
  EXPECT_EQ(log.last_with_term_up_to(20, 3), 12U);
  EXPECT_EQ(log.last_with_term_up_to(20, 1), 10U);
  log.truncate_from(19);
  EXPECT_EQ(log.last_index(), 18U);
  EXPECT_EQ(log.cached_bytes(), 600U);
  log.evict(15, 0);
  EXPECT_EQ(log.body(15), nullptr);
  ASSERT_NE(log.body(16), nullptr);
  EXPECT_EQ(log.body(16)->index, 16U);
  log.compact_through(17);
  EXPECT_EQ(log.base_term(), 4U);
  EXPECT_EQ(log.body(17), nullptr);
  EXPECT_EQ(log.bytes(), 100U);
  EXPECT_EQ(log.cached_bytes(), 100U);
  log.reset(50, 7);
  EXPECT_EQ(log.last_index(), 50U);
  EXPECT_EQ(log.last_term(), 7U);
  EXPECT_EQ(log.bytes(), 0U);
}

}  // namespace
}  // namespace ringfs::dht::test
