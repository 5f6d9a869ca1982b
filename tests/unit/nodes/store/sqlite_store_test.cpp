// The store as the driver uses it: writes, applies, reads, loads, and what a start finds.
#include <sys/stat.h>

#include "dht/core/members/initial_groups.hpp"
#include "tests/unit/nodes/store/fixture.hpp"

namespace ringfs::nodes {
namespace {

using Kind = Mutation::Kind;

TEST_F(StoreTest, Open_EmptyDirectory_CreatesIdentityAndRaisesIncarnation) {
  directory = scratch / "a" / "b";
  open();
  struct stat status {};
  ASSERT_EQ(stat(directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0700u);
  Uuid id = node.id;
  dht::Incarnation first = node.incarnation;
  EXPECT_FALSE(id.is_nil());
  EXPECT_EQ(first.counter, 1u);
  EXPECT_FALSE(node.genesis);
  EXPECT_TRUE(node.groups.empty());
  reopen();
  EXPECT_EQ(node.id, id);
  EXPECT_EQ(node.incarnation.counter, 2u);
  EXPECT_NE(node.incarnation.nonce, first.nonce);
}

TEST_F(StoreTest, Genesis_WrittenTwiceAndReopened_GivesGroupsRowsTableAndPeers) {
  open();
  dht::Genesis genesis = genesis_of_one(node.id, 2);
  dht::Write write;
  write.id = 1;
  write.node.genesis = genesis;
  Uuid peer;
  peer.bytes[0] = 5;
  write.node.peer_incarnations.emplace_back(peer, dht::Incarnation{4, 0xffffffffffffffffu});
  ASSERT_TRUE(wait_write(*store, write));
  ASSERT_TRUE(wait_write(*store, write));
  dht::MembersTable table = genesis.first_table;
  table.version = 2;
  dht::Write second;
  second.id = 2;
  second.node.table = table;
  ASSERT_TRUE(wait_write(*store, second));
  reopen();
  ASSERT_TRUE(node.genesis);
  EXPECT_EQ(encode(*node.genesis), encode(genesis));
  ASSERT_TRUE(node.table);
  EXPECT_EQ(node.table->version, 2u);
  ASSERT_EQ(node.peer_incarnations.size(), 1u);
  EXPECT_EQ(node.peer_incarnations[0], std::make_pair(peer, (dht::Incarnation{4, 0xffffffffffffffffu})));
  std::vector<dht::InitialGroup> initial = dht::initial_groups(genesis, node.id);
  ASSERT_FALSE(initial.empty());
  ASSERT_EQ(node.groups.size(), initial.size());
  for (std::size_t i = 0; i < initial.size(); ++i) {
    EXPECT_EQ(node.groups[i].configuration, initial[i].configuration);
    EXPECT_EQ(node.groups[i].replica, (dht::ReplicaId{node.id, 0}));
    for (const dht::InitialRow& row : initial[i].rows) {
      EXPECT_EQ(value_of(*store, initial[i].partition, row.row.key, row.row.sort), row.value);
    }
  }
  genesis.ring.bytes[3] = 10;
  dht::Write other;
  other.id = 3;
  other.node.genesis = genesis;
  Status refused = wait_write(*store, other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal);
}

TEST_F(StoreTest, Groups_ClosedAndOpenedAgain_AreAsWritten) {
  open();
  dht::Configuration configuration;
  configuration.voters = {{node.id, 4}, {Uuid{}, 0}};
  dht::Configuration later = configuration;
  later.learners = {{Uuid{}, 6}};
  dht::Entry fourth{4, 2, test_stamp + Duration(4), dht::EntryKind::configuration, SharedBytes(encode(configuration)),
                    {}};
  dht::Entry sixth{6, 2, test_stamp + Duration(6), dht::EntryKind::configuration, SharedBytes(encode(later)), {}};
  dht::Write write = append_write(
      first_partition, {no_op(1), batch_entry(2, {put("k", "a", "1")}), batch_entry(3, {put("k", "b", "2")}), fourth,
                        batch_entry(5, {put("k", "big", pattern(20000, 'a'))}, 2), sixth});
  write.groups[0].hard_state = dht::HardState{2, node.id};
  ASSERT_TRUE(wait_write(*store, write));
  auto applied = wait_apply(*store, first_partition, 4);
  ASSERT_TRUE(applied) << applied.error().text();
  ASSERT_EQ(applied->size(), 2u);
  EXPECT_EQ((*applied)[1].index, 3u);
  EXPECT_EQ((*applied)[1].result.version, 3u);
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, 2)));
  reopen();
  ASSERT_EQ(node.groups.size(), 1u);
  const dht::PersistedGroup& group = node.groups[0];
  EXPECT_EQ(group.partition, first_partition);
  EXPECT_EQ(group.hard_state.term, 2u);
  EXPECT_EQ(group.hard_state.vote, node.id);
  EXPECT_EQ(group.replica, (dht::ReplicaId{node.id, 0}));
  EXPECT_EQ(group.configuration, configuration);
  EXPECT_EQ(group.configuration_index, 4u);
  EXPECT_EQ(group.applied, 4u);
  EXPECT_EQ(group.base_index, 2u);
  EXPECT_EQ(group.base_term, 1u);
  ASSERT_EQ(group.log.size(), 4u);
  EXPECT_EQ(group.log[2].index, 5u);
  EXPECT_EQ(group.log[2].term, 2u);
  EXPECT_GT(group.log[2].bytes, 20000u);
  ASSERT_EQ(group.configuration_entries.size(), 1u);
  EXPECT_EQ(group.configuration_entries[0].index, 6u);
  EXPECT_EQ(group.configuration_entries[0].head, sixth.head);
  EXPECT_EQ(group.last_stamp, sixth.stamp);
  // After the restart the apply finds its entries in the log.
  applied = wait_apply(*store, first_partition, 6);
  ASSERT_TRUE(applied) << applied.error().text();
  EXPECT_EQ(value_of(*store, first_partition, "k", "b"), "2");
  EXPECT_EQ(value_of(*store, first_partition, "k", "big"), pattern(20000, 'a'));
}

TEST_F(StoreTest, Queue_WritesAndAppliesMixed_AreCarriedOutInOrder) {
  open();
  constexpr dht::LogIndex count = 300;
  std::mutex mutex;
  std::vector<std::string> order;
  std::vector<std::string> expected;
  std::promise<void> last;
  for (dht::LogIndex i = 1; i <= count; ++i) {
    expected.push_back("w" + std::to_string(i));
    store->write(append_write(first_partition, {batch_entry(i, {put("k", "counter", std::to_string(i))})}),
                 [&, i](const Status& status) {
                   EXPECT_TRUE(status);
                   std::lock_guard lock(mutex);
                   order.push_back("w" + std::to_string(i));
                 });
    expected.push_back("a" + std::to_string(i));
    store->apply({first_partition, i}, [&, i](auto result) {
      ASSERT_TRUE(result);
      ASSERT_EQ(result->size(), 1u);
      EXPECT_EQ((*result)[0].index, i);
      EXPECT_EQ((*result)[0].result.outcome, BatchResult::Outcome::applied);
      std::lock_guard lock(mutex);
      order.push_back("a" + std::to_string(i));
      if (i == count) last.set_value();
    });
  }
  last.get_future().get();
  std::lock_guard lock(mutex);
  EXPECT_EQ(order, expected);
  EXPECT_EQ(value_of(*store, first_partition, "k", "counter"), std::to_string(count));
}

TEST_F(StoreTest, Truncate_AndAppendOtherEntries_OnlyTheNewOnesAreApplied) {
  open();
  ASSERT_TRUE(wait_write(
      *store,
      append_write(first_partition, {batch_entry(1, {put("k", "x", "old 1")}), batch_entry(2, {put("k", "y", "old 2")}),
                                     batch_entry(3, {put("k", "z", pattern(30000, 'o'))})})));
  dht::Write write = append_write(first_partition, {batch_entry(2, {put("k", "y", "new 2")}, 2)});
  write.groups[0].truncate_from = 2;
  ASSERT_TRUE(wait_write(*store, write));
  // In one transaction: truncated, appended again, and applied.
  dht::Write again = append_write(first_partition, {batch_entry(2, {put("k", "y", "newest 2")}, 3)});
  again.groups[0].truncate_from = 2;
  std::promise<Status> written;
  store->write(again, [&](Status status) { written.set_value(std::move(status)); });
  auto applied = wait_apply(*store, first_partition, 2);
  ASSERT_TRUE(written.get_future().get());
  ASSERT_TRUE(applied) << applied.error().text();
  EXPECT_EQ(applied->size(), 2u);
  EXPECT_EQ(value_of(*store, first_partition, "k", "x"), "old 1");
  EXPECT_EQ(value_of(*store, first_partition, "k", "y"), "newest 2");
  EXPECT_EQ(value_of(*store, first_partition, "k", "z"), std::nullopt);
  EXPECT_EQ(number("SELECT count(*) FROM payload"), 0);
  reopen();
  ASSERT_EQ(node.groups[0].log.size(), 2u);
  EXPECT_EQ(node.groups[0].log[1].term, 3u);
}

TEST_F(StoreTest, Append_WithGap_FailsAndTheStoreRefusesFurtherWork) {
  open();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {no_op(1)})));
  Status status = wait_write(*store, append_write(first_partition, {no_op(3)}));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::internal);
  status = wait_write(*store, append_write(first_partition, {no_op(2)}));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io_error);
  EXPECT_EQ(wait_load(*store, first_partition, 1, 1).error().code, ErrorCode::io_error);
  reopen();
  EXPECT_EQ(node.groups[0].log.size(), 1u);
}

TEST_F(StoreTest, Apply_BeyondTheLog_FailsAloneAndHarmlessly) {
  open();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {batch_entry(1, {put("k", "a", "1")})})));
  auto wrong = wait_apply(*store, first_partition, 2);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::internal);
  ASSERT_FALSE(wait_apply(*store, second_partition, 1));
  ASSERT_TRUE(wait_apply(*store, first_partition, 1));
  EXPECT_EQ(value_of(*store, first_partition, "k", "a"), "1");
  auto again = wait_apply(*store, first_partition, 1);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->empty());
}

TEST_F(StoreTest, Apply_BatchThatDoesNotDecode_IsInvalidForEveryReplica) {
  open();
  dht::Entry entry = no_op(1);
  entry.kind = dht::EntryKind::batch;
  entry.head = SharedBytes("not a batch");
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {entry, batch_entry(2, {put("k", "a", "1")})})));
  auto applied = wait_apply(*store, first_partition, 2);
  ASSERT_TRUE(applied) << applied.error().text();
  ASSERT_EQ(applied->size(), 2u);
  EXPECT_EQ((*applied)[0].result.outcome, BatchResult::Outcome::invalid);
  EXPECT_EQ((*applied)[1].result.outcome, BatchResult::Outcome::applied);
}

TEST_F(StoreTest, Read_UnknownPartition_IsNotMember) {
  open();
  ReadRequest request;
  request.gets.push_back({"k", "a"});
  Result<ReadReply> reply = wait_read(*store, first_partition, request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::not_member);
}

TEST_F(StoreTest, Scan_ManyRows_GivesThoseOfThePrefixInOrderAfterAny) {
  open();
  std::vector<Mutation> mutations;
  for (int i = 0; i < 300; ++i) {
    std::string sort = "d/" + std::to_string(1000 + i);
    mutations.push_back(put("k", sort, i % 100 == 0 ? pattern(17000, 'a') : sort));
  }
  mutations.push_back(put("k", "c", "before"));
  mutations.push_back(put("k", "e", "behind"));
  mutations.push_back(put("k", "d/", "the prefix itself"));
  mutations.push_back(put("l", "d/1", "another object"));
  mutations.push_back(put("k", std::string("\xff\xff"), "last"));
  run(first_partition, {batch_entry(1, mutations)});
  ReadRequest request;
  request.scans.push_back({"k", "d/", "", 1000, true});
  request.scans.push_back({"k", "d/", "d/1010", 1000, false});
  request.scans.push_back({"k", "\xff", "", 10, true});
  request.scans.push_back({"k", "d/", "a", 1, true});
  request.scans.push_back({"k", "d/", "d/", 1, true});
  Result<ReadReply> reply = wait_read(*store, first_partition, request);
  ASSERT_TRUE(reply) << reply.error().text();
  ASSERT_EQ(reply->scans[0].rows.size(), 301u);
  EXPECT_EQ(reply->scans[0].rows[0].value.view(), "the prefix itself");
  EXPECT_EQ(reply->scans[0].rows[1].value.size(), 17000u);
  EXPECT_EQ(reply->scans[0].rows[300].sort, "d/1299");
  ASSERT_EQ(reply->scans[1].rows.size(), 289u);
  EXPECT_EQ(reply->scans[1].rows[0].sort, "d/1011");
  EXPECT_TRUE(reply->scans[1].rows[0].value.empty());
  ASSERT_EQ(reply->scans[2].rows.size(), 1u);
  EXPECT_EQ(reply->scans[3].rows.at(0).sort, "d/");
  EXPECT_TRUE(reply->scans[3].more);
  EXPECT_EQ(reply->scans[4].rows.at(0).sort, "d/1000");
}

TEST_F(StoreTest, Load_OfEntries_StopsAtBytesAndNamesWhatIsMissing) {
  open();
  std::vector<dht::Entry> entries;
  for (dht::LogIndex i = 1; i <= 5; ++i)
    entries.push_back(batch_entry(i, {put("k", "a", pattern(40000, static_cast<char>('a' + i)))}));
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, entries)));
  auto one = wait_load(*store, first_partition, 2, 5, 10);
  ASSERT_TRUE(one) << one.error().text();
  ASSERT_EQ(one->size(), 1u);
  EXPECT_EQ((*one)[0].index, 2u);
  EXPECT_EQ((*one)[0].head, entries[1].head);
  ASSERT_EQ((*one)[0].blobs.size(), 1u);
  EXPECT_EQ((*one)[0].blobs[0], entries[1].blobs[0]);
  auto two = wait_load(*store, first_partition, 1, 5, 90000);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->size(), 2u);
  auto all = wait_load(*store, first_partition, 1, 5);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 5u);
  EXPECT_EQ((*all)[4].stamp, entries[4].stamp);
  auto missing = wait_load(*store, first_partition, 6, 7);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

TEST_F(StoreTest, Destructor_WithWorkQueued_CarriesItOut) {
  open();
  std::atomic<int> answered{0};
  for (dht::LogIndex i = 1; i <= 100; ++i) {
    store->write(append_write(first_partition, {batch_entry(i, {put("k", "a", std::to_string(i))})}),
                 [&](const Status& status) {
                   if (status) ++answered;
                 });
    store->apply({first_partition, i}, [&](auto result) {
      if (result) ++answered;
    });
  }
  store.reset();
  EXPECT_EQ(answered, 200);
  EXPECT_FALSE(std::filesystem::exists(directory / "ringfs.db-wal"));
  open();
  EXPECT_EQ(node.groups.at(0).applied, 100u);
  EXPECT_EQ(value_of(*store, first_partition, "k", "a"), "100");
}

TEST_F(StoreTest, Status_OfAStore_SaysWhatTheDiskHas) {
  open();
  dht::StorageStatus status = store->status();
  EXPECT_GT(status.database_bytes, 0u);
  EXPECT_GE(status.disk_total_bytes, status.disk_free_bytes);
  EXPECT_NE(status.disk_id, 0u);
  options.reserve_bytes = std::uint64_t{1} << 60;
  reopen();
  EXPECT_NE(store->status().room, dht::Room::ample);
}

}  // namespace
}  // namespace ringfs::nodes
