// The node around its groups: creation, who may speak, the members table, limits, heartbeats.
#include <gtest/gtest.h>

#include "dht/core/raft/heartbeats.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

// ---- Creation ---------------------------------------------------------------------------------------

TEST(NodeCreate, FirstNode_RepliesWhenGenesisIsDurable) {
  Cluster cluster(3, 2, false);
  cluster.machines[0].hold_disk = true;
  OperationId create = cluster.submit(0, CreateOperation{cluster.genesis});
  OperationId twice = cluster.submit(0, CreateOperation{cluster.genesis});
  EXPECT_FALSE(cluster.reply(0, create));
  EXPECT_FALSE(cluster.node(0).genesis());
  cluster.release_disk(0);
  EXPECT_TRUE(succeeded(cluster.reply(0, create)));
  EXPECT_TRUE(succeeded(cluster.reply(0, twice)));
  ASSERT_TRUE(cluster.node(0).genesis());
  EXPECT_EQ(cluster.node(0).table(), cluster.genesis.first_table);
  EXPECT_EQ(cluster.node(0).status(cluster.clock).groups.size(), 4U);
}

TEST(NodeCreate, CrashBeforeItIsDurable_NodeStillWaits) {
  Cluster cluster(3, 2, false);
  cluster.machines[0].hold_disk = true;
  cluster.submit(0, CreateOperation{cluster.genesis});
  cluster.crash(0);
  cluster.start(0);
  EXPECT_FALSE(cluster.node(0).genesis());
}

TEST(NodeCreate, SameGenesisAgain_IsFineAlsoAfterARestart) {
  Cluster cluster(3);
  EXPECT_TRUE(succeeded(cluster.reply(0, cluster.submit(0, CreateOperation{cluster.genesis}))));
  cluster.crash(0);
  cluster.start(0);
  EXPECT_TRUE(succeeded(cluster.reply(0, cluster.submit(0, CreateOperation{cluster.genesis}))));
}

TEST(NodeCreate, OtherGenesis_IsRefused) {
  Cluster cluster(3);
  Genesis other = cluster.genesis;
  other.ring.bytes[3] = 1;
  EXPECT_EQ(error_of(cluster.reply(0, cluster.submit(0, CreateOperation{other}))), ErrorCode::already_member);
  other = cluster.genesis;
  other.timing.lease += 1ms;
  EXPECT_EQ(error_of(cluster.reply(0, cluster.submit(0, CreateOperation{other}))), ErrorCode::foreign_ring);
  other.first_table.members.clear();
  EXPECT_TRUE(error_of(cluster.reply(0, cluster.submit(0, CreateOperation{other}))));
}

TEST(NodeCreate, TableWithoutThisNode_WrongIdentity) {
  Cluster cluster(3, 2, false);
  Genesis other = small_genesis(2);
  OperationId create = cluster.submit(2, CreateOperation{other});
  EXPECT_EQ(error_of(cluster.reply(2, create)), ErrorCode::wrong_identity);
  EXPECT_FALSE(cluster.node(2).genesis());
}

TEST(NodeCreate, WaitingNode_AnswersWhatItCan) {
  Cluster cluster(1, 2, false);
  OperationId table = cluster.submit(0, TableOperation{});
  ASSERT_TRUE(succeeded(cluster.reply(0, table)));
  EXPECT_FALSE(std::get<TableAnswer>(**cluster.reply(0, table)).genesis);
  EXPECT_TRUE(succeeded(cluster.reply(0, cluster.submit(0, StatusOperation{}))));
  EXPECT_EQ(error_of(cluster.reply(0, cluster.get(0, key))), ErrorCode::not_member);
  EXPECT_EQ(error_of(cluster.reply(0, cluster.put(0, key, "x"))), ErrorCode::not_member);
  EXPECT_EQ(error_of(cluster.reply(0, cluster.submit(0, FindOperation{}))), ErrorCode::not_member);
}

TEST(NodeCreate, InitialGroups_FollowFromPlacementAndOnlyTheTablesPartitionHasRows) {
  Genesis genesis = small_genesis(6, 4);
  Placement placement(genesis.first_table, genesis.partition_bits);
  std::map<PartitionId, unsigned> replicas;
  for (unsigned i = 0; i < 6; ++i) {
    for (const InitialGroup& group : initial_groups(genesis, node_id(i))) {
      ++replicas[group.partition];
      ASSERT_EQ(group.configuration.voters.size(), 5U);
      for (std::size_t n = 0; n < 5; ++n) {
        EXPECT_EQ(group.configuration.voters[n], (ReplicaId{placement.preference_list(group.partition)[n], 0}));
      }
      bool tables = group.partition == partition_of(key_position(members_key), 4);
      EXPECT_EQ(group.rows.empty(), !tables);
    }
  }
  ASSERT_EQ(replicas.size(), 16U);
  for (const auto& [partition, count] : replicas) EXPECT_EQ(count, 5U);
  EXPECT_TRUE(initial_groups(genesis, node_id(9)).empty());
}

// ---- Who may speak ----------------------------------------------------------------------------------

TEST(NodeHeader, ForeignRingWrongDestinationOldAndClonedIncarnations_AreRefused) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  auto offer = [&](auto change) {
    Envelope envelope = cluster.envelope(0, 1, TableRequest{});
    change(envelope.header);
    cluster.network.clear();
    cluster.node(1).receive(envelope, cluster.clock);
    cluster.pump(1);
    return cluster.network.taken<TableReply>(0).size() == 1;
  };
  auto& events = cluster.machines[1].events;
  EXPECT_TRUE(offer([](Header&) {}));
  EXPECT_FALSE(offer([](Header& header) { header.ring.bytes[1] = 9; }));
  EXPECT_EQ(events["foreign_ring_refused"], 1U);
  EXPECT_FALSE(offer([](Header& header) { header.destination = node_id(2); }));
  EXPECT_EQ(events["wrong_identity_refused"], 1U);
  EXPECT_FALSE(offer([](Header& header) { header.incarnation.nonce += 1; }));
  EXPECT_EQ(events["clone_refused"], 1U);
  EXPECT_FALSE(offer([](Header& header) { header.source = node_id(1); }));
  EXPECT_TRUE(offer([](Header& header) { header.incarnation.counter += 1; }));
  EXPECT_FALSE(offer([](Header&) {})) << "the lower counter is of the past now";
  EXPECT_EQ(events["old_incarnation_refused"], 1U);
  // It is remembered across a restart.
  cluster.crash(1);
  cluster.start(1);
  EXPECT_FALSE(offer([](Header&) {}));
}

TEST(NodeHeader, PeersThatGreet_AreRefusedOnlyForAnotherProcessOfTheSameNode) {
  Cluster cluster(3);
  cluster.wait_ready(cluster.partition_of_key(key));
  const Incarnation heard = cluster.envelope(0, 1, TableRequest{}).header.incarnation;
  auto check = [&](unsigned who, Incarnation incarnation) {
    const Status fits = cluster.node(1).check_peer(node_id(who), incarnation, cluster.clock);
    return fits ? ErrorCode::internal : fits.error().code;
  };
  const ErrorCode fits = ErrorCode::internal;
  EXPECT_EQ(check(0, heard), fits);
  EXPECT_EQ(check(0, {heard.counter + 1, 5}), fits);
  EXPECT_EQ(check(0, heard), fits) << "a handshake alone is not remembered";
  EXPECT_EQ(check(77, {1, 1}), fits) << "not heard before";
  EXPECT_EQ(check(0, {heard.counter, heard.nonce + 1}), ErrorCode::cloned_identity);
  EXPECT_EQ(check(0, {heard.counter - 1, heard.nonce}), ErrorCode::cloned_identity);
  EXPECT_EQ(check(1, {100, 1}), ErrorCode::cloned_identity) << "of itself";
}

TEST(NodeHeader, Stranger_IsRefusedAndNotRemembered) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  Envelope stranger = cluster.envelope(0, 1, RequestVote{{partition, 100, 0, 0}, false, true, 1000, 100});
  stranger.header.source = node_id(77);
  cluster.node(1).receive(stranger, cluster.clock);
  cluster.node(1).peer_disconnected(node_id(77), cluster.clock);
  cluster.pump(1);
  EXPECT_EQ(cluster.machines[1].events["stranger_refused"], 1U);
  EXPECT_LT(cluster.group(1, partition).term, 100U);
}

TEST(NodeHeader, ClonedDatabase_TwoProcessesOfOneNodeAreNoticed) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  Envelope clone = cluster.envelope(0, 1, RequestVote{{partition, 100, 0, 0}, false, true, 1000, 100});
  clone.header.incarnation.nonce = 1;
  cluster.node(1).receive(clone, cluster.clock);
  cluster.pump(1);
  EXPECT_EQ(cluster.machines[1].events["clone_refused"], 1U);
  EXPECT_LT(cluster.group(1, partition).term, 100U);
}

// ---- Operations -------------------------------------------------------------------------------------

TEST(NodeOperation, KeyOfAnotherPartition_InvalidArgument) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  unsigned leader = *cluster.leader(partition);
  std::string elsewhere = "b";
  while (cluster.partition_of_key(elsewhere) == partition) elsewhere += "b";
  CommitOperation put = cluster.client.put(elsewhere, "x");
  put.partition = partition;
  EXPECT_EQ(error_of(cluster.reply(leader, cluster.submit(leader, put))), ErrorCode::invalid_argument);
  ReadOperation get = cluster.client.get(elsewhere);
  get.partition = partition;
  EXPECT_EQ(error_of(cluster.reply(leader, cluster.submit(leader, get))), ErrorCode::invalid_argument);
  get.partition = PartitionId{99};
  EXPECT_EQ(error_of(cluster.reply(leader, cluster.submit(leader, get))), ErrorCode::invalid_argument);
}

TEST(NodeOperation, BatchThatDoesNotDecode_IsNotProposed) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  unsigned leader = *cluster.leader(partition);
  LogIndex before = cluster.group(leader, partition).last_index;
  CommitOperation broken{partition, {SharedBytes("garbage"), {}}};
  EXPECT_EQ(error_of(cluster.reply(leader, cluster.submit(leader, broken))), ErrorCode::corrupt);
  EXPECT_EQ(cluster.group(leader, partition).last_index, before);
}

TEST(NodeOperation, NoReplicaHere_ToldWhereThePlacementPutsIt) {
  Cluster cluster(7, 3);
  cluster.run(1s);
  for (std::uint32_t p = 0; p < 8; ++p) {
    Placement placement(cluster.genesis.first_table, 3);
    const std::vector<Uuid>& list = placement.preference_list(PartitionId{p});
    for (unsigned i = 0; i < 7; ++i) {
      if (std::find(list.begin(), list.end(), node_id(i)) != list.end()) continue;
      ReadOperation get;
      get.partition = PartitionId{p};
      OperationResult result = *cluster.reply(i, cluster.submit(i, get));
      ASSERT_FALSE(result.has_value());
      EXPECT_EQ(result.error().error.code, ErrorCode::not_member);
      EXPECT_EQ(result.error().redirect.members, list);
    }
  }
}

TEST(NodeOperation, TooManyPending_Overloaded) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  unsigned leader = *cluster.leader(partition);
  cluster.machines[leader].hold_reads = true;
  for (OperationId id = 1; id <= max_pending_operations; ++id) {
    cluster.node(leader).submit(1'000'000 + id, cluster.client.get(key), cluster.clock);
  }
  OperationId one_more = cluster.get(leader, key);
  EXPECT_EQ(error_of(cluster.reply(leader, one_more)), ErrorCode::overloaded);
  cluster.machines[leader].hold_reads = false;
  cluster.pump(leader);
  EXPECT_TRUE(succeeded(cluster.reply(leader, cluster.get(leader, key))));
}

TEST(NodeOperation, Cancelled_GetsNoReplyAndMakesRoom) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  unsigned leader = *cluster.leader(partition);
  cluster.network.deliver = [](const Envelope&) { return false; };
  OperationId put = cluster.put(leader, key, "x");
  cluster.node(leader).cancel(put);
  cluster.network.heal();
  cluster.run(2s);
  EXPECT_FALSE(cluster.reply(leader, put));
  EXPECT_EQ(cluster.stored(leader, key), "x") << "a proposal cannot be taken back";
}

TEST(NodeOperation, Find_LeadsToTheSuccessorWithItsAddress) {
  Cluster cluster(3);
  cluster.run(5s);
  Position position = key_position(key);
  unsigned at = 0;
  for (int hop = 0; hop < 5; ++hop) {
    OperationId find = cluster.submit(at, FindOperation{position});
    ASSERT_TRUE(succeeded(cluster.reply(at, find)));
    FindReply reply = std::get<FindReply>(**cluster.reply(at, find));
    EXPECT_EQ(reply.address, "node" + std::to_string(number_of(reply.node)) + ":1");
    at = number_of(reply.node);
    if (!reply.final) continue;
    const Position* successor = nullptr;
    for (const Member& member : cluster.genesis.first_table.members) {
      for (const Position& token : member.tokens) {
        if (successor == nullptr || in_half_open_arc(position, token, *successor)) successor = &token;
      }
    }
    EXPECT_EQ(reply.token, *successor);
    return;
  }
  FAIL() << "no final answer";
}

// ---- The members table ------------------------------------------------------------------------------

struct TableChange {
  Cluster& cluster;
  PartitionId partition = partition_of(key_position(members_key), cluster.genesis.partition_bits);

  CommitOperation to(std::uint64_t version) {
    CommitOperation operation = cluster.client.put(key, "");
    Batch batch = *decode_batch(operation.batch.head, operation.batch.blobs);
    batch.mutations.clear();
    MembersTable table = cluster.genesis.first_table;
    table.version = version;
    table.members[0].address = "elsewhere:" + std::to_string(version);
    for (const InitialRow& row : rows_of(table)) batch.mutations.push_back(put(row.row.key, row.row.sort, row.value));
    return {partition, encode(batch)};
  }
};

TEST(NodeTable, CommittedChange_ReachesEveryNodeAndItsDisk) {
  Cluster cluster(7, 3);  // some nodes have no replica of the table's partition
  TableChange change{cluster};
  cluster.wait_ready(change.partition);
  unsigned leader = *cluster.leader(change.partition);
  OperationId put = cluster.submit(leader, change.to(2));
  ASSERT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(leader, put)); }));
  EXPECT_TRUE(cluster.run_until([&] {
    for (unsigned i = 0; i < 7; ++i) {
      if (cluster.node(i).table().version != 2) return false;
    }
    return true;
  }));
  for (unsigned i = 0; i < 7; ++i) {
    EXPECT_EQ(cluster.node(i).table().members[0].address, "elsewhere:2");
    ASSERT_TRUE(cluster.machines[i].store.table);
    EXPECT_EQ(cluster.machines[i].store.table->version, 2U);
  }
}

TEST(NodeTable, BatchThatDoesNotTouchIt_CausesNoReading) {
  Cluster cluster(3);
  TableChange change{cluster};
  cluster.wait_ready(change.partition);
  unsigned leader = *cluster.leader(change.partition);
  cluster.run(1s);
  std::string beside = "x";
  while (cluster.partition_of_key(beside) != change.partition) beside += "x";
  cluster.machines[leader].hold_reads = true;
  OperationId put = cluster.put(leader, beside, "x");
  cluster.settle();
  ASSERT_TRUE(succeeded(cluster.reply(leader, put)));
  EXPECT_TRUE(cluster.machines[leader].held_reads.empty());
}

TEST(NodeTable, RestartAfterTheRowsWereApplied_LearnsFromItsOwnRows) {
  Cluster cluster(3);
  TableChange change{cluster};
  cluster.wait_ready(change.partition);
  unsigned leader = *cluster.leader(change.partition);
  cluster.submit(leader, change.to(2));
  cluster.run(1s);
  cluster.crash(leader);
  cluster.machines[leader].store.table = cluster.genesis.first_table;  // the copy was lost, the rows were not
  cluster.network.deliver = [](const Envelope&) { return false; };
  cluster.start(leader);
  EXPECT_EQ(cluster.node(leader).table().version, 2U);
}

TEST(NodeTable, OlderOrBrokenTable_IsNotAdopted) {
  Cluster cluster(3);
  cluster.run(1s);
  MembersTable older = cluster.genesis.first_table;
  older.members[0].address = "forged:1";
  cluster.inject(0, 1, TableReply{encode(older)});
  cluster.inject(0, 1, TableReply{"garbage"});
  EXPECT_EQ(cluster.node(1).table(), cluster.genesis.first_table);
  EXPECT_EQ(cluster.machines[1].events["malformed_table"], 1U);
}

// ---- Heartbeats -------------------------------------------------------------------------------------

// What a node sends in one turn leaves in one piece: messages of a pair of nodes that follow each other count once.
unsigned pieces(const std::vector<Envelope>& delivered, const Uuid& from, const Uuid& to) {
  unsigned count = 0;
  const Envelope* before = nullptr;
  for (const Envelope& envelope : delivered) {
    if (envelope.header.source != from || envelope.header.destination != to) {
      if (envelope.header.source == to && envelope.header.destination == from) before = nullptr;
      continue;
    }
    if (before == nullptr) ++count;
    before = &envelope;
  }
  return count;
}

// Two nodes that lead groups of each other, nothing else: a heartbeat, the answer with the other's heartbeat, the
// answer.
TEST(NodeHeartbeats, TwoLeadersOfEachOther_SendThreePiecesAnInterval) {
  Cluster cluster(2, 4);
  cluster.network.deliver = [](const Envelope& envelope) {
    return !std::holds_alternative<ChordNeighboursRequest>(envelope.message) &&
           !std::holds_alternative<ChordFind>(envelope.message);
  };
  cluster.run(20s);
  for (unsigned i = 0; i < 2; ++i) ASSERT_FALSE(cluster.node(i).led_partitions(cluster.clock).empty());
  cluster.network.record = true;
  cluster.run(2s);
  unsigned heartbeats = 0;
  unsigned replies = 0;
  for (const Envelope& envelope : cluster.network.delivered) {
    heartbeats += std::holds_alternative<Heartbeat>(envelope.message);
    replies += std::holds_alternative<HeartbeatReply>(envelope.message);
  }
  EXPECT_GE(heartbeats, 14U);
  EXPECT_LE(heartbeats, 18U);
  EXPECT_EQ(heartbeats, replies);
  EXPECT_LE(pieces(cluster.network.delivered, node_id(0), node_id(1)) +
                pieces(cluster.network.delivered, node_id(1), node_id(0)),
            heartbeats * 3 / 2 + 2);
}

TEST(NodeHeartbeats, QuietLeader_BeatsLessOftenAndKeepsItsLeaseUntilItHasSomethingToSay) {
  Cluster cluster(3, 4);
  const PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  const unsigned leader = *cluster.leader(partition);
  auto rounds_in = [&](Duration duration) {
    cluster.network.delivered.clear();
    cluster.network.record = true;
    cluster.run(duration);
    std::map<Uuid, unsigned> rounds;
    for (const Envelope& envelope : cluster.network.delivered) {
      if (envelope.header.source != node_id(leader)) continue;
      rounds[envelope.header.destination] += std::holds_alternative<Heartbeat>(envelope.message);
    }
    unsigned most = 0;
    for (const auto& [peer, count] : rounds) most = std::max(most, count);
    return most;
  };
  cluster.run(10s);
  EXPECT_LE(rounds_in(2s), 9U);
  cluster.machines[leader].events.clear();
  for (int i = 0; i < 300; ++i) {
    cluster.run(10ms);
    EXPECT_TRUE(cluster.group(leader, partition).lease);
  }
  EXPECT_EQ(cluster.machines[leader].events["lease_expired"], 0U);
  cluster.put(leader, key, "value");
  EXPECT_GE(rounds_in(2s), 17U);
}

TEST(NodeHeartbeats, IdleRing_SendsDigestsOneFramePerPairAndInterval) {
  Cluster cluster(3, 4);
  cluster.run(5s);
  cluster.network.record = true;
  cluster.run(1s);
  std::map<std::pair<Uuid, Uuid>, unsigned> frames;
  for (const Envelope& envelope : cluster.network.delivered) {
    EXPECT_FALSE(std::holds_alternative<Append>(envelope.message));
    auto* heartbeat = std::get_if<Heartbeat>(&envelope.message);
    if (heartbeat == nullptr) continue;
    EXPECT_FALSE(heartbeat->full);
    EXPECT_TRUE(heartbeat->groups.empty());
    ++frames[{envelope.header.source, envelope.header.destination}];
  }
  EXPECT_EQ(frames.size(), 6U);
  for (const auto& [pair, count] : frames) EXPECT_LE(count, 11U);
  EXPECT_GE(frames.begin()->second, 4U);
}

TEST(NodeHeartbeats, AnswerToAnEarlierLife_AcknowledgesNothing) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.wait_ready(partition);
  unsigned leader = *cluster.leader(partition);
  std::set<std::uint64_t> rounds;
  std::set<std::uint64_t> later;
  std::set<std::uint64_t>* seen = &rounds;
  cluster.network.deliver = [&](const Envelope& envelope) {
    auto* heartbeat = std::get_if<Heartbeat>(&envelope.message);
    if (heartbeat != nullptr && number_of(envelope.header.source) == leader) seen->insert(heartbeat->round);
    return true;
  };
  cluster.run(3s);
  cluster.crash(leader);
  seen = &later;
  cluster.start(leader);
  cluster.run(10s);  // leadership drifts back
  ASSERT_FALSE(rounds.empty());
  ASSERT_FALSE(later.empty());
  EXPECT_GT(*later.begin(), *rounds.rbegin()) << "a late answer would be taken for one to the new life's round";
}

TEST(NodeHeartbeats, ReceiverRestarted_GetsTheFullListAgain) {
  Cluster cluster(3, 4);
  cluster.run(3s);
  cluster.crash(0);
  cluster.start(0);
  cluster.network.record = true;
  cluster.run(500ms);
  bool unknown = false;
  bool full = false;
  for (const Envelope& envelope : cluster.network.delivered) {
    if (auto* reply = std::get_if<HeartbeatReply>(&envelope.message)) unknown |= reply->unknown_digest;
    if (auto* heartbeat = std::get_if<Heartbeat>(&envelope.message)) {
      full |= heartbeat->full && envelope.header.destination == node_id(0);
    }
  }
  EXPECT_TRUE(unknown || full);
  for (std::uint32_t p = 0; p < 16; ++p) EXPECT_TRUE(cluster.group(0, PartitionId{p}).leader.has_value());
}

TEST(Heartbeats, Acknowledgement_CountsForTheListOfItsRound) {
  Heartbeats sender;
  Heartbeats receiver;
  Uuid peer = node_id(1);
  std::vector<HeartbeatGroup> first = {{PartitionId{1}, 5, 10, 0, 0}};
  std::vector<HeartbeatGroup> second = {{PartitionId{1}, 6, 11, 0, 0}};
  TimePoint start(10s);
  bool resend = false;
  Heartbeat one = sender.make(peer, first, 1, start);
  Heartbeat two = sender.make(peer, second, 2, start + 1s);
  EXPECT_TRUE(one.full && two.full);
  auto acknowledged = sender.acknowledge(peer, {1, false, Room::ample, {}}, resend);
  ASSERT_TRUE(acknowledged);
  EXPECT_EQ(acknowledged->sent_at, start);
  EXPECT_EQ(acknowledged->groups->front().term, 5U);
  EXPECT_FALSE(sender.acknowledge(peer, {1, false, Room::ample, {}}, resend)) << "once only";
  ASSERT_TRUE(sender.acknowledge(peer, {2, false, Room::ample, {}}, resend));
  Heartbeat three = sender.make(peer, second, 3, start + 2s);
  EXPECT_FALSE(three.full);
  EXPECT_FALSE(receiver.groups_of(peer, three)) << "never saw the list";
  EXPECT_FALSE(sender.acknowledge(peer, {3, true, Room::ample, {}}, resend));
  EXPECT_TRUE(resend);
  Heartbeat four = sender.make(peer, second, 4, start + 3s);
  EXPECT_TRUE(four.full);
  ASSERT_TRUE(receiver.groups_of(peer, four));
  EXPECT_TRUE(receiver.groups_of(peer, three)) << "the digest is of the same list";
  four.digest ^= 1;
  EXPECT_FALSE(receiver.groups_of(peer, four)) << "a list that does not have its digest";
  EXPECT_FALSE(sender.acknowledge(node_id(2), {4, false, Room::ample, {}}, resend));
}

TEST(NodeTimers, IdleNode_AsksToBeWokenAtTheGranularityOnly) {
  Cluster cluster(3, 4);
  cluster.run(3s);
  unsigned wakeups = 0;
  TimePoint end = cluster.clock.now + 1s;
  while (cluster.clock.now < end) {
    TimePoint next = never;
    for (const Machine& machine : cluster.machines) next = std::min(next, machine.deadline);
    ASSERT_GT(next, cluster.clock.now) << "a deadline that has passed would spin";
    cluster.run(next - cluster.clock.now);
    ++wakeups;
  }
  EXPECT_LE(wakeups, 100U);
}

// ---- What it knows of the table -----------------------------------------------------------------------

TEST(NodeTable, ConfirmedAt_StandsStillWhileTheHoldersAreNotHeard) {
  Cluster cluster(3);
  cluster.wait_ready(cluster.partition_of_key(std::string(members_key)));
  cluster.run(20s);
  const auto unconfirmed = [&](unsigned i) {
    return cluster.clock.now - cluster.node(i).table_confirmed_at(cluster.clock);
  };
  for (unsigned i = 0; i < 3; ++i) EXPECT_LE(unconfirmed(i), 4s) << i;
  cluster.network.isolate(2);
  cluster.run(20s);
  EXPECT_LE(unconfirmed(0), 4s);
  EXPECT_LE(unconfirmed(1), 4s);
  EXPECT_GE(unconfirmed(2), 16s);
  cluster.network.heal();
  cluster.run(5s);
  EXPECT_LE(unconfirmed(2), 4s);
}

// It hears that there is a newer table, and cannot get it.
TEST(NodeTable, ConfirmedAt_StandsStillWhileOthersKnowANewerTable) {
  Cluster cluster(6);
  const PartitionId home = cluster.partition_of_key(std::string(members_key));
  cluster.wait_ready(home);
  cluster.run(5s);
  const Placement placement(cluster.genesis.first_table, cluster.genesis.partition_bits);
  const std::vector<Uuid>& holders = placement.preference_list(home);
  unsigned other = 0;
  while (std::find(holders.begin(), holders.end(), node_id(other)) != holders.end()) ++other;
  cluster.network.deliver = [other](const Envelope& envelope) {
    return number_of(envelope.header.source) != other || !std::holds_alternative<TableRequest>(envelope.message);
  };
  cluster.members.set("replace_after", "1000");
  cluster.run(20s);
  const auto unconfirmed = [&] { return cluster.clock.now - cluster.node(other).table_confirmed_at(cluster.clock); };
  ASSERT_LT(cluster.node(other).table().version, cluster.node(number_of(holders[0])).table().version);
  EXPECT_GE(unconfirmed(), 16s);
  cluster.network.heal();
  cluster.run(5s);
  EXPECT_LE(unconfirmed(), 4s);
}

// Heartbeats say that there is a newer table.
TEST(NodeTable, RevokedClient_IsKnownToEveryNodeWithinASecond) {
  Cluster cluster(6);
  cluster.wait_ready(cluster.partition_of_key(std::string(members_key)));
  const auto commit = [&](bool revoked) {
    cluster.members.change([revoked](const MembersTable& before) {
      MembersTable after = before;
      after.clients = {{.name = "laptop", .role = AccessRole::writer, .revoked = revoked}};
      after.version = before.version + 1;
      return change_table(before, after);
    });
  };
  commit(false);
  cluster.run(20s);  // quiet: heartbeats are rare
  const std::uint64_t version = cluster.node(0).table().version;
  commit(true);
  cluster.run(1s);
  for (unsigned i = 0; i < 6; ++i) {
    const Client* client = cluster.node(i).table().find_client("laptop");
    ASSERT_NE(client, nullptr) << i;
    EXPECT_TRUE(client->revoked) << i;
    EXPECT_EQ(cluster.node(i).table().version, version + 1) << i;
  }
}

// The ring works without it, so nobody waits for it.
TEST(NodeTable, ConfirmedAt_WaitsForNoNodeThatNeverJoined) {
  Cluster cluster(1);
  cluster.wait_ready(PartitionId{0});
  cluster.members.change([&](const MembersTable& table) {
    Member joining;
    joining.id = node_id(1);
    joining.address = address_of(1);
    joining.state = MemberState::joining;
    joining.tokens = allocate_tokens(table, node_id(1), cluster.genesis.partition_bits);
    return change_members(table, {joining});
  });
  cluster.run(20s);
  EXPECT_EQ(cluster.node(0).table_confirmed_at(cluster.clock), cluster.clock.now);
}

TEST(NodeTable, ConfirmedAt_WithoutARing_IsNow) {
  Cluster cluster(1, 2, false);
  EXPECT_EQ(cluster.node(0).table_confirmed_at(cluster.clock), cluster.clock.now);
  EXPECT_EQ(error_of(cluster.reply(0, cluster.submit(0, SettleOperation{}))), ErrorCode::not_supported);
}

}  // namespace
}  // namespace ringfs::dht::test
