// Compaction of the log, and followers that need a snapshot.
#include <gtest/gtest.h>

#include "dht/core/raft/compaction.hpp"
#include "dht/core/raft/group.hpp"
#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

const std::string key = "a key";

class ReadyGroupSnapshot : public ReadyGroup {
 protected:
  ReadyGroupSnapshot() : ReadyGroup(key) {}
};

// Enough entries that the leader compacts its log.
void write_past_the_limit(Cluster& cluster, unsigned leader) {
  std::string value(2000, 'x');
  for (std::size_t i = 0; i < LogLimits::entries + 600; ++i) {
    ASSERT_TRUE(cluster.executes(leader, cluster.client.put(key, value + std::to_string(i))));
    cluster.machines[leader].replies.clear();
    if (i % 100 == 0) cluster.run(10ms);
  }
}

struct Lagging {
  Cluster cluster{3};
  PartitionId partition = cluster.partition_of_key(key);
  unsigned leader = 0;
  unsigned away = 0;

  void prepare() {
    cluster.wait_ready(partition);
    leader = *cluster.leader(partition);
    away = (leader + 1) % 3;
    cluster.crash(away);
    cluster.run(500ms);
    leader = *cluster.leader(partition);
    write_past_the_limit(cluster, leader);
    for (int i = 0; i < 7; ++i) {  // several chunks
      ASSERT_TRUE(cluster.executes(leader, several(i)));
    }
    ASSERT_GT(cluster.group(leader, partition).first_index, 2U);
  }
  CommitOperation several(int number) {
    CommitOperation operation = cluster.client.put(key, "ignored");
    Batch batch = *decode_batch(operation.batch.head, operation.batch.blobs);
    batch.mutations[0].row.sort = "row" + std::to_string(number);
    operation.batch = encode(batch);
    return operation;
  }
  // The receiver starts, and crashes when this chunk is sent to it. The chunk arrives, or it and all later messages are
  // lost.
  void crash_receiver_at(std::uint32_t number, bool arrives) {
    bool sent = false;
    cluster.network.deliver = [&](const Envelope& envelope) {
      auto* chunk = std::get_if<SnapshotChunk>(&envelope.message);
      if (chunk != nullptr && chunk->number == number) sent = true;
      return arrives || !sent;
    };
    cluster.start(away);
    ASSERT_TRUE(cluster.run_until([&] { return sent; }));
    cluster.crash(away);
    cluster.network.heal();
  }
  bool same_rows() {
    return cluster.machines[away].store.groups.at(partition).rows ==
           cluster.machines[leader].store.groups.at(partition).rows;
  }
};

// A snapshot without rows, in one chunk, of a ring of three.
SnapshotChunk only_chunk(PartitionId partition, Term term, LogIndex last_index) {
  SnapshotChunk chunk;
  chunk.raft = {partition, term, 0, 0};
  chunk.snapshot = 77;
  chunk.last_index = last_index;
  chunk.last_term = term;
  Configuration configuration;
  for (unsigned i = 0; i < 3; ++i) configuration.voters.push_back({node_id(i), 0});
  chunk.configuration = encode(configuration);
  chunk.last = true;
  return chunk;
}

TEST_F(ReadyGroupSnapshot, LogBeyondItsLimit_IsCutOnLeaderAndFollowers) {
  write_past_the_limit(cluster, leader);
  cluster.run(1s);
  for (unsigned i = 0; i < 3; ++i) {
    GroupStatus status = cluster.group(i, partition);
    EXPECT_LE(status.last_index - status.first_index, LogLimits::entries + ApplyLimits::entries);
    EXPECT_GT(status.first_index, 1U);
    EXPECT_LE(status.first_index, status.applied + 1);
    EXPECT_EQ(cluster.machines[i].store.groups.at(partition).base_index + 1, status.first_index);
    EXPECT_EQ(cluster.machines[i].events["snapshot_installed"], 0U) << "nobody lagged";
  }
}

TEST(GroupSnapshot, FollowerBelowTheCut_GetsTheRowsAndThenTheLog) {
  Lagging lagging;
  lagging.prepare();
  Cluster& cluster = lagging.cluster;
  cluster.start(lagging.away);
  ASSERT_TRUE(cluster.run_until([&] { return cluster.machines[lagging.away].events["snapshot_installed"] > 0; }));
  OperationId put = cluster.put(lagging.leader, key, "after");
  ASSERT_TRUE(cluster.run_until([&] { return succeeded(cluster.reply(lagging.leader, put)); }));
  ASSERT_TRUE(cluster.run_until([&] { return lagging.same_rows(); }));
  EXPECT_EQ(cluster.stored(lagging.away, key), "after");
  EXPECT_GT(cluster.machines[lagging.leader].events["snapshot_sent"], 0U);
  EXPECT_EQ(cluster.machines[lagging.leader].store.open_snapshots(), 0U);
  cluster.run(1s);
  EXPECT_EQ(cluster.group(lagging.leader, lagging.partition).behind, 0U);
  EXPECT_EQ(cluster.machines[lagging.leader].events["snapshot_started"],
            1U);  // the log goes on where the snapshot ended
  // What it installed is what it starts from.
  cluster.crash(lagging.away);
  cluster.start(lagging.away);
  cluster.run(2s);
  EXPECT_TRUE(lagging.same_rows());
  EXPECT_EQ(cluster.machines[lagging.away].events["snapshot_installed"], 1U);
}

TEST(GroupSnapshot, ChunksAndAnswersGetLost_ItStillArrives) {
  Lagging lagging;
  lagging.prepare();
  Cluster& cluster = lagging.cluster;
  unsigned count = 0;
  cluster.network.deliver = [&](const Envelope& envelope) {
    bool snapshot = std::holds_alternative<SnapshotChunk>(envelope.message) ||
                    std::holds_alternative<SnapshotReply>(envelope.message);
    return !snapshot || ++count % 3 != 0;
  };
  cluster.start(lagging.away);
  EXPECT_TRUE(cluster.run_until([&] { return lagging.same_rows(); }));
}

// A snapshot needs room beside the present rows. The receiver runs out of it while the snapshot is under way.
struct Starving : Lagging {
  void run_short() {
    bool on_its_way = false;
    cluster.network.deliver = [&](const Envelope& envelope) {
      auto* chunk = std::get_if<SnapshotChunk>(&envelope.message);
      if (chunk == nullptr || chunk->raft.partition != partition) return true;
      on_its_way = on_its_way || chunk->number == 1;
      return !on_its_way;
    };
    ASSERT_TRUE(cluster.run_until([&] { return on_its_way; }));
    cluster.node(away).set_room(Room::reserve, cluster.clock);
    cluster.network.heal();
    cluster.run(1s);
    cluster.node(away).set_room(Room::ample, cluster.clock);
  }
  unsigned given_up() { return cluster.machines[leader].events["replica_given_up"]; }
};

TEST(GroupSnapshot, ReceiverHasNoRoomTwice_ItGivesItsReplicaUpAndIsFilledAnew) {
  Starving starving;
  starving.prepare();
  starving.cluster.start(starving.away);
  const unsigned lives = starving.cluster.machines[starving.away].events["replica_added"];
  starving.run_short();
  EXPECT_EQ(starving.given_up(), 0U) << "once may be chance";
  starving.run_short();
  ASSERT_TRUE(starving.cluster.run_until([&] { return starving.given_up() == 1; }));
  // A new replica of the node begins without rows.
  ASSERT_TRUE(starving.cluster.run_until(
      [&] { return starving.cluster.machines[starving.away].events["replica_added"] > lives; }));
  EXPECT_TRUE(starving.cluster.run_until([&] { return starving.same_rows(); }, 20s));
  EXPECT_TRUE(starving.cluster.run_until(
      [&] { return starving.cluster.group(starving.leader, starving.partition).learners == 0; }));
}

// Without this replica the group would depend on a voter whose disk is nearly full.
TEST(GroupSnapshot, ReceiverHasNoRoomAndIsNeeded_ItKeepsItsReplica) {
  Starving starving;
  starving.prepare();
  Cluster& cluster = starving.cluster;
  cluster.start(starving.away);
  cluster.node(3 - starving.away - starving.leader).set_room(Room::low, cluster.clock);
  for (int round = 0; round < 3; ++round) starving.run_short();
  EXPECT_EQ(starving.given_up(), 0U);
  EXPECT_TRUE(cluster.run_until([&] { return starving.same_rows(); }, 20s));
}

TEST(GroupSnapshot, ReceiverGoesAwayForGood_TheSnapshotIsClosed) {
  Lagging lagging;
  lagging.prepare();
  lagging.crash_receiver_at(1, true);
  lagging.cluster.run(15s);
  EXPECT_EQ(lagging.cluster.machines[lagging.leader].store.open_snapshots(), 0U);
}

TEST_F(ReadyGroupSnapshot, OutstandingApply_EndsBeforeTheRowsAreReplaced) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(1s);
  ASSERT_TRUE(cluster.executes(leader, cluster.client.put(key, "one")));
  cluster.machines[follower].hold_disk = true;
  cluster.run(150ms);  // a heartbeat brings the commit index; the apply waits for the disk
  ASSERT_FALSE(cluster.machines[follower].disk.empty());
  GroupStatus status = cluster.group(follower, partition);
  ASSERT_LT(status.applied, status.commit);
  SnapshotChunk chunk = only_chunk(partition, status.term, status.last_index + 100);
  cluster.inject(leader, follower, chunk);
  for (const Machine::Task& task : cluster.machines[follower].disk) {
    if (!task.write) continue;
    for (const GroupWrite& write : task.write->groups) EXPECT_FALSE(write.install);
  }
  // An append in between is ignored.
  Append append;
  append.raft = chunk.raft;
  append.previous_index = status.last_index;
  append.previous_term = status.term;
  append.entries = {{status.last_index + 1, status.term, Stamp{1}, EntryKind::no_op, {}, {}}};
  cluster.inject(leader, follower, append);
  EXPECT_EQ(cluster.group(follower, partition).last_index, status.last_index);
  cluster.network.clear();
  cluster.release_disk(follower);
  EXPECT_EQ(cluster.machines[follower].store.groups.at(partition).applied, chunk.last_index);
  std::vector<SnapshotReply> replies = cluster.network.taken<SnapshotReply>(leader);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_TRUE(replies[0].installed);
  // The same chunk again changes nothing: everything in it is committed here.
  cluster.inject(leader, follower, chunk);
  EXPECT_TRUE(cluster.network.taken<SnapshotReply>(leader).at(0).installed);
  EXPECT_EQ(cluster.machines[follower].events["snapshot_installed"], 1U);
}

TEST_F(ReadyGroupSnapshot, OfEntriesThatAreHere_KeepsTheLogAndWhatFollows) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(1s);
  const GroupStatus before = cluster.group(follower, partition);
  Append append;
  append.raft = {partition, before.term, 0, 0};
  append.previous_index = before.last_index;
  append.previous_term = before.term;
  append.commit = before.commit;
  for (LogIndex index = before.last_index + 1; index <= before.last_index + 2; ++index) {
    append.entries.push_back({index, before.term, Stamp{1}, EntryKind::no_op, {}, {}});
  }
  cluster.inject(leader, follower, append);
  SnapshotChunk chunk = only_chunk(partition, before.term, before.last_index + 1);
  cluster.inject(leader, follower, chunk);
  const GroupStatus after = cluster.group(follower, partition);
  EXPECT_EQ(after.last_index, before.last_index + 2);  // the last one was acknowledged and stays
  EXPECT_EQ(after.commit, chunk.last_index);
  EXPECT_EQ(cluster.machines[follower].events["snapshot_installed"], 0U);
  EXPECT_TRUE(cluster.network.taken<SnapshotReply>(leader).at(0).installed);
}

TEST_F(ReadyGroupSnapshot, ChunkOfAnUnknownSnapshotOrBrokenOne_StartsOverOrIsDropped) {
  unsigned follower = (leader + 1) % 3;
  cluster.run(1s);
  GroupStatus status = cluster.group(follower, partition);
  SnapshotChunk chunk;
  chunk.raft = {partition, status.term, 0, 0};
  chunk.snapshot = 5;
  chunk.number = 3;
  chunk.last_index = 1000;
  chunk.last_term = status.term;
  chunk.configuration = "not a configuration";
  cluster.network.clear();
  cluster.inject(leader, follower, chunk);
  EXPECT_TRUE(cluster.network.taken<SnapshotReply>(leader).empty());
  Configuration configuration;
  configuration.voters = {{node_id(0), 0}};
  chunk.configuration = encode(configuration);
  cluster.inject(leader, follower, chunk);
  EXPECT_EQ(cluster.network.taken<SnapshotReply>(leader).at(0).next, 0U);
  chunk.raft.destination_added = 4;  // for another replica of this node, which a deposed leader added
  chunk.raft.term = status.term - 1;
  chunk.last_term = chunk.raft.term;
  chunk.number = 0;
  cluster.inject(leader, follower, chunk);
  EXPECT_TRUE(cluster.network.taken<SnapshotReply>(leader).empty());
}

// Slow or paused moves do not hold up a voter that lags: repair goes before moves.
class SlowMoves : public testing::Test {
 protected:
  SlowMoves() : cluster_(3, 6, true, options()) {
    for (std::uint32_t i = 0; i < 64; ++i) fill(static_cast<PartitionId>(i));
  }
  static NodeOptions options() {
    NodeOptions options;
    options.log_keep_entries = 4;
    return options;
  }
  std::string key_in(PartitionId partition) const {
    for (int i = 0;; ++i) {
      std::string name = "kv/" + std::to_string(i);
      if (cluster_.partition_of_key(name) == partition) return name;
    }
  }
  // More rows than a chunk has.
  void fill(PartitionId partition) {
    cluster_.wait_ready(partition);
    const std::string name = key_in(partition);
    std::vector<Mutation> rows;
    for (int i = 0; i < 12; ++i) rows.push_back(put(name, "row" + std::to_string(i), std::string(100, 'x')));
    unsigned leader = *cluster_.leader(partition);
    OperationId filled = cluster_.submit(leader, cluster_.client.commit(name, std::move(rows)));
    ASSERT_TRUE(cluster_.run_until([&] { return succeeded(cluster_.reply(leader, filled)); }));
  }
  void set_rate(const std::string& rate) {
    cluster_.members.change([&](const MembersTable& table) { return change_setting(table, "rebalance_rate", rate); });
  }
  // Snapshots to learners are under way and wait for the rate.
  void move_slowly() {
    set_rate("1");
    added_ = cluster_.add_machine();
    cluster_.members.join(added_);
    cluster_.run(20s);
    ASSERT_GT(started(), 0U);
  }
  unsigned started() {
    unsigned sum = 0;
    for (Machine& machine : cluster_.machines) sum += machine.events["snapshot_started"];
    return sum;
  }
  void lagging_voter_is_repaired() {
    const PartitionId partition{17};
    unsigned leader = *cluster_.leader(partition);
    unsigned away = (leader + 1) % 3;
    cluster_.crash(away);
    cluster_.run(2s);
    leader = *cluster_.leader(partition);
    const std::string name = key_in(partition);
    for (int i = 0; i < 40; ++i) {
      OperationId put = cluster_.put(leader, name, std::to_string(i));
      ASSERT_TRUE(cluster_.run_until([&] { return succeeded(cluster_.reply(leader, put)); }));
    }
    cluster_.start(away);
    EXPECT_TRUE(cluster_.run_until([&] { return cluster_.stored(away, name) == "39"; }, 20s));
    EXPECT_GT(cluster_.machines[away].events["snapshot_installed"], 0U);
  }

  Cluster cluster_;
  unsigned added_ = 0;
};

TEST_F(SlowMoves, SlotsTakenByLearners_AVoterThatLagsIsRepaired) {
  move_slowly();
  lagging_voter_is_repaired();
}

TEST_F(SlowMoves, Paused_SnapshotsToLearnersGiveTheirSlotsBackAndGoOnLater) {
  move_slowly();
  set_rate("0");
  cluster_.run(5s);
  std::size_t open = 0;
  for (Machine& machine : cluster_.machines) open += machine.store.open_snapshots();
  EXPECT_EQ(open, 0U);
  lagging_voter_is_repaired();
  set_rate("");
  EXPECT_TRUE(
      cluster_.run_until([&] { return cluster_.table().find(node_id(added_))->state == MemberState::up; }, 120s));
}

}  // namespace
}  // namespace ringfs::dht::test
