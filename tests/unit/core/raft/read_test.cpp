// Reads without a heartbeat round, reads that fail, and row leases. Leases and ReadIndex are in the Raft scenarios.
#include <gtest/gtest.h>

#include "dht/core/raft/group.hpp"
#include "dht/core/rows/row_leases.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class ReadyGroupRead : public ReadyGroup {
 protected:
  ReadyGroupRead() : ReadyGroup(key) {}
};

bool is_heartbeat_traffic(const Envelope& envelope) {
  return std::holds_alternative<Heartbeat>(envelope.message) ||
         std::holds_alternative<HeartbeatReply>(envelope.message);
}

TEST(GroupRead, NoHeartbeatArrives_NoLease) {
  Cluster cluster(3);
  PartitionId partition = cluster.partition_of_key(key);
  cluster.network.deliver = [](const Envelope& envelope) { return !is_heartbeat_traffic(envelope); };
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition).has_value(); }));
  unsigned leader = *cluster.leader(partition);
  EXPECT_FALSE(cluster.group(leader, partition).lease);
  OperationId get = cluster.get(leader, key);
  cluster.settle();
  EXPECT_FALSE(cluster.reply(leader, get));
  for (PartitionId led : cluster.node(leader).led_partitions(cluster.clock)) EXPECT_NE(led, partition);
}

TEST_F(ReadyGroupRead, StoreFails_ErrorReachesTheClient) {
  cluster.machines[leader].hold_reads = true;
  OperationId get = cluster.get(leader, key);
  ReadEffect read = cluster.machines[leader].held_reads.front();
  cluster.machines[leader].held_reads.pop_front();
  cluster.node(leader).read_done(read.id, fail(ErrorCode::io_error, "a cable"), cluster.clock);
  cluster.pump(leader);
  EXPECT_EQ(error_of(cluster.reply(leader, get)), ErrorCode::io_error);
}

// The lease that a read got; zero: none.
Duration lease_of(const std::optional<OperationResult>& result) {
  const ReadAnswer* answer = result && *result ? std::get_if<ReadAnswer>(&**result) : nullptr;
  return answer == nullptr ? Duration::zero() : answer->lease;
}

Operation leased_get(Cluster& cluster, std::uint8_t client) {
  Operation operation = cluster.client.get(key);
  Uuid id;
  id.bytes[0] = client;
  std::get<ReadOperation>(operation).lease = RowLease{id, max_row_lease};
  return operation;
}

TEST_F(ReadyGroupRead, RowUnderALease_ChangeWaitsForItsEndAndIsNotLost) {
  OperationId first = cluster.put(leader, key, "w");
  cluster.run(row_contention_pause);  // before that another client gets no lease
  ASSERT_TRUE(succeeded(cluster.reply(leader, first)));
  OperationId get = cluster.submit(leader, leased_get(cluster, 77));
  EXPECT_EQ(lease_of(cluster.reply(leader, get)), brief_row_lease);
  OperationId put = cluster.put(leader, key, "x");
  cluster.run(brief_row_lease / 2);
  EXPECT_FALSE(cluster.reply(leader, put)) << "somebody may still answer the old row";
  OperationId again = cluster.submit(leader, leased_get(cluster, 78));
  EXPECT_EQ(value_of(cluster.reply(leader, again)), "w");
  EXPECT_EQ(lease_of(cluster.reply(leader, again)), Duration::zero()) << "a change waits";
  cluster.run(brief_row_lease);
  EXPECT_TRUE(succeeded(cluster.reply(leader, put)));
}

class LongLease : public ReadyGroupRead {
 protected:
  // Client 77 holds a lease that outlives the leader lease.
  LongLease() {
    OperationId first = cluster.put(leader, key, "w");
    cluster.run(row_contention_pause);  // before that another client gets no lease
    EXPECT_TRUE(succeeded(cluster.reply(leader, first)));
    OperationId brief = cluster.submit(leader, leased_get(cluster, 77));
    EXPECT_EQ(lease_of(cluster.reply(leader, brief)), brief_row_lease) << "no quorum knows the client";
    cluster.run(2 * Timing().heartbeat);
    OperationId get = cluster.submit(leader, leased_get(cluster, 77));
    EXPECT_EQ(lease_of(cluster.reply(leader, get)), max_row_lease);
  }
  std::vector<Recall>& recalls(unsigned machine) { return cluster.machines[machine].recalls; }
  void release(unsigned machine, const Recall& recall) {
    cluster.node(machine).released(recall, cluster.clock);
    cluster.pump(machine);
    cluster.settle();
  }
  bool done(unsigned machine, OperationId put) { return succeeded(cluster.reply(machine, put)); }
};

TEST_F(LongLease, Change_AsksForItBackAndGoesOnWithTheAnswer) {
  OperationId put = cluster.put(leader, key, "x");
  cluster.settle();
  EXPECT_FALSE(cluster.reply(leader, put));
  ASSERT_EQ(recalls(leader).size(), 1U);
  const Recall recall = recalls(leader)[0];
  EXPECT_EQ(recall.rows.size(), 1U);
  cluster.run(2 * Timing().heartbeat);
  EXPECT_GT(recalls(leader).size(), 1U) << "the first one may be lost";
  Recall another = recall;
  another.term += 1;
  release(leader, another);
  EXPECT_FALSE(done(leader, put)) << "of another leader's recall";
  release(leader, recall);
  EXPECT_TRUE(done(leader, put));
}

TEST_F(LongLease, HolderEnds_GivesEverythingBack) {
  OperationId put = cluster.put(leader, key, "x");
  cluster.settle();
  Recall all = recalls(leader).at(0);
  all.partition = {};
  all.term = 0;
  all.number = UINT64_MAX;
  all.rows.clear();
  all.everything = true;
  Recall of_another = all;
  of_another.client.bytes[0] = 78;
  release(leader, of_another);
  EXPECT_FALSE(done(leader, put));
  release(leader, all);
  EXPECT_TRUE(done(leader, put));
}

TEST_F(LongLease, HolderDoesNotAnswer_ChangeWaitsForTheEnd) {
  OperationId put = cluster.put(leader, key, "x");
  cluster.run(max_row_lease * 3 / 4);
  EXPECT_FALSE(done(leader, put));
  cluster.run(max_row_lease / 2);
  EXPECT_TRUE(done(leader, put));
}

class FormerLongLease : public LongLease {
 protected:
  FormerLongLease() {
    cluster.crash(leader);
    cluster.disconnect(leader);
    const unsigned former = leader;
    EXPECT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != former && cluster.ready(partition); }));
    leader = *cluster.leader(partition);
  }
};

TEST_F(FormerLongLease, NextLeader_AsksForAllOfThePartitionBack) {
  OperationId put = cluster.put(leader, key, "x");
  cluster.settle();
  EXPECT_FALSE(done(leader, put));
  ASSERT_FALSE(recalls(leader).empty());
  const Recall recall = recalls(leader).back();
  EXPECT_TRUE(recall.everything);
  EXPECT_EQ(recall.client.bytes[0], 77);
  release(leader, recall);
  EXPECT_TRUE(done(leader, put));
}

TEST_F(FormerLongLease, HolderDoesNotAnswer_ChangesWaitForTheEnd) {
  OperationId put = cluster.put(leader, key, "x");
  cluster.settle();
  EXPECT_FALSE(done(leader, put));
  cluster.run(Timing().lease + max_row_lease);
  EXPECT_TRUE(done(leader, put));
}

TEST_F(LongLease, LeadershipIsHandedOver_NextLeaderKnowsTheHolder) {
  const unsigned former = leader;
  cluster.members.set_state(former, MemberState::leaving);
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader(partition) != former && cluster.ready(partition); }));
  leader = *cluster.leader(partition);
  bool asked = false;
  for (const Recall& recall : recalls(leader)) asked = asked || (recall.everything && recall.client.bytes[0] == 77);
  EXPECT_TRUE(asked);
}

TEST_F(ReadyGroupRead, AbsentRowUnderALease_ChangeWaitsForAMoment) {
  OperationId get = cluster.submit(leader, leased_get(cluster, 77));
  EXPECT_EQ(value_of(cluster.reply(leader, get)), "<absent>");
  OperationId put = cluster.put(leader, key, "x");
  cluster.run(absent_row_lease / 2);
  EXPECT_FALSE(cluster.reply(leader, put));
  cluster.run(absent_row_lease);
  EXPECT_TRUE(succeeded(cluster.reply(leader, put)));
}

TEST_F(ReadyGroupRead, LeaderThatIsAlone_GrantsNothingBeyondItsOwnLease) {
  cluster.network.deliver = [&](const Envelope& envelope) { return !is_heartbeat_traffic(envelope); };
  cluster.run(Timing().lease - brief_row_lease);
  OperationId get = cluster.submit(leader, leased_get(cluster, 77));
  EXPECT_EQ(lease_of(cluster.reply(leader, get)), Duration::zero());
}

// Two changes of one row are applied together. The client of the first one must get no lease: the second one has
// changed the row.
TEST_F(ReadyGroupRead, ChangeFollowedByAnotherOne_GetsNoLease) {
  auto leased = [&](const std::string& value) {
    Operation operation = cluster.client.put(key, value);
    std::get<CommitOperation>(operation).lease = max_row_lease;
    return operation;
  };
  auto lease = [&](OperationId id) { return std::get<BatchResult>(**cluster.reply(leader, id)).lease; };
  OperationId alone = cluster.submit(leader, leased("x"));
  cluster.settle();
  ASSERT_TRUE(succeeded(cluster.reply(leader, alone)));
  EXPECT_EQ(lease(alone), brief_row_lease);
  cluster.machines[leader].hold_disk = true;
  OperationId first = cluster.submit(leader, leased("y"));
  OperationId second = cluster.submit(leader, leased("z"));
  cluster.machines[leader].hold_disk = false;
  cluster.run(std::chrono::milliseconds(1));
  cluster.settle();
  ASSERT_TRUE(succeeded(cluster.reply(leader, first)) && succeeded(cluster.reply(leader, second)));
  EXPECT_EQ(lease(first), Duration::zero());
  EXPECT_EQ(lease(second), brief_row_lease);
}

// A batch of one client, which asks for a lease with its answer.
Operation leased_batch(Cluster& cluster, std::uint8_t client, std::uint64_t sequence, std::vector<Mutation> mutations) {
  Operation like = cluster.client.put(key, "x");
  auto& commit = std::get<CommitOperation>(like);
  Batch batch = *decode_batch(commit.batch.head, commit.batch.blobs);
  batch.client = Uuid{};
  batch.client.bytes[0] = client;
  batch.sequence = sequence;
  batch.first_incomplete = sequence;
  for (Mutation& mutation : mutations) {
    if (mutation.kind != Mutation::Kind::resolve)
      (mutation.kind == Mutation::Kind::prepare ? mutation.part[0] : mutation).row = batch.mutations[0].row;
  }
  batch.mutations = std::move(mutations);
  commit.batch = encode(batch);
  commit.lease = max_row_lease;
  return like;
}

std::vector<Mutation> one_mutation(Mutation::Kind kind) {
  Mutation mutation;
  mutation.kind = kind;
  mutation.number = 1;
  if (kind == Mutation::Kind::put) mutation.value = SharedBytes(std::string(8, '\0'));
  if (kind == Mutation::Kind::prepare) mutation.part = one_mutation(Mutation::Kind::add_i64);
  return {mutation};
}

TEST_F(ReadyGroupRead, RowThatAPendingTransactionAddsTo_GetsNoLeaseWithABatchOrItsPrepare) {
  using Kind = Mutation::Kind;
  auto answer = [&](std::uint64_t sequence, Kind kind) {
    OperationId id = cluster.submit(leader, leased_batch(cluster, 9, sequence, one_mutation(kind)));
    cluster.settle();
    std::optional<OperationResult> reply = cluster.reply(leader, id);
    return reply && *reply ? std::get<BatchResult>(**reply) : BatchResult{};
  };
  EXPECT_EQ(answer(1, Kind::put).lease, brief_row_lease);
  const BatchResult prepared = answer(2, Kind::prepare);
  EXPECT_EQ(prepared.outcome, BatchResult::Outcome::applied);
  EXPECT_EQ(prepared.lease, Duration::zero());
  const BatchResult added = answer(3, Kind::add_i64);
  EXPECT_EQ(added.outcome, BatchResult::Outcome::applied);
  EXPECT_EQ(added.lease, Duration::zero()) << "the transaction may change it at any time";
  EXPECT_EQ(answer(4, Kind::resolve).outcome, BatchResult::Outcome::applied);
  EXPECT_EQ(answer(5, Kind::add_i64).lease, brief_row_lease);
}

// Each group is within its own limit; the node is not.
TEST(GroupRead, TooManyBytesOfAllGroupsWaitForRowLeases_FurtherBatchesAreRefused) {
  Cluster cluster(1);
  std::map<PartitionId, std::string> keys;
  for (unsigned i = 0; keys.size() < 4; ++i)
    keys.emplace(cluster.partition_of_key(std::to_string(i)), std::to_string(i));
  for (const auto& [partition, one] : keys) {
    cluster.wait_ready(partition);
    Operation get = cluster.client.get(one);
    std::get<ReadOperation>(get).lease = RowLease{node_id(77), max_row_lease};
    ASSERT_GT(lease_of(cluster.reply(0, cluster.submit(0, std::move(get)))), Duration::zero());
  }
  const std::string value(max_value_bytes, 'x');
  std::vector<OperationId> waiting;
  std::optional<ErrorCode> refused;
  for (unsigned round = 0; round < NodeLimits::delayed_bytes / max_value_bytes && !refused; ++round) {
    for (const auto& [partition, one] : keys) {
      const OperationId put = cluster.put(0, one, value);
      refused = error_of(cluster.reply(0, put));
      if (refused) break;
      waiting.push_back(put);
    }
  }
  EXPECT_EQ(refused, ErrorCode::overloaded);
  EXPECT_LE(waiting.size() * value.size(), NodeLimits::delayed_bytes);
  EXPECT_LT(waiting.size() / keys.size() * value.size(), max_group_pending_bytes / 2)
      << "no group is near its own limit";
  cluster.run(max_row_lease);
  for (OperationId put : waiting) EXPECT_TRUE(succeeded(cluster.reply(0, put)));
  EXPECT_TRUE(succeeded(cluster.reply(0, cluster.put(0, key, "y")))) << "there is room again";
}

}  // namespace
}  // namespace ringfs::dht::test
