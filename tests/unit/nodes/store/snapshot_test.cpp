// Snapshots from one store to another: chunks, staging, installing, and their read transactions.
#include <thread>

#include "tests/unit/nodes/store/fixture.hpp"

namespace ringfs::nodes {
namespace {

class StoreSnapshot : public StoreTest {
 protected:
  void fill() {
    dht::Configuration configuration;
    configuration.voters = {{node.id, 0}};
    dht::Entry first{1, 1, test_stamp + Duration(1), dht::EntryKind::configuration, SharedBytes(encode(configuration)),
                     {}};
    std::vector<Mutation> mutations;
    mutations.reserve(500);
    for (int i = 0; i < 500; ++i) mutations.push_back(put("k", "small " + std::to_string(i), pattern(200, 'a')));
    run(first_partition, {first, batch_entry(2, mutations)});
    for (dht::LogIndex i = 3; i < 13; ++i) {
      run(first_partition, {batch_entry(i, {put("c", std::to_string(i), pattern(65536, static_cast<char>('a' + i)))})});
    }
  }
  // Sends all chunks to the other store; gives the last one.
  dht::SnapshotData transfer(dht::Storage& other, std::uint64_t snapshot) {
    for (std::uint32_t number = 0;; ++number) {
      Result<dht::SnapshotData> data = wait_snapshot(*store, first_partition, snapshot, number);
      EXPECT_TRUE(data) << (data ? "" : data.error().text());
      if (!data) return {};
      EXPECT_TRUE(wait_write(other, stage_write(first_partition, {snapshot, number, data->rows, data->blobs})));
      if (data->last) return *data;
    }
  }
  static dht::Write install_in_term_5(std::uint64_t snapshot, const dht::SnapshotData& data) {
    dht::Write write = install_write(first_partition, snapshot, data);
    write.groups[0].hard_state = dht::HardState{5, {}};
    return write;
  }
  static std::vector<std::pair<std::string, std::string>> rows_of(dht::Storage& storage, const std::string& key) {
    std::vector<std::pair<std::string, std::string>> rows;
    std::string after;
    for (;;) {
      ReadRequest request;
      request.scans.push_back({key, "", after, 1000, true});
      Result<ReadReply> reply = wait_read(storage, first_partition, request);
      EXPECT_TRUE(reply) << (reply ? "" : reply.error().text());
      if (!reply) return rows;
      for (const Row& row : reply->scans[0].rows) {
        rows.emplace_back(row.sort + "@" + std::to_string(row.version), row.value.str());
        after = row.sort;
      }
      if (!reply->scans[0].more) return rows;
    }
  }
};

TEST_F(StoreSnapshot, Snapshot_StagedAndInstalledElsewhere_GivesTheSameRows) {
  options.snapshot_chunk_bytes = 100 << 10;
  open();
  fill();
  SqliteStoreOptions plain;
  Result<SqliteStore::Opened> opened = SqliteStore::open(scratch / "other", random, plain);
  ASSERT_TRUE(opened) << opened.error().text();
  SqliteStore& other = *opened->store;
  // The other store had other rows, a log, and half of another snapshot.
  ASSERT_TRUE(wait_write(
      other, append_write(first_partition, {batch_entry(1, {put("k", "stale", pattern(20000, 'x'))}), no_op(2)})));
  ASSERT_TRUE(wait_apply(other, first_partition, 1));
  Result<dht::SnapshotData> half = wait_snapshot(*store, first_partition, 8, 0);
  ASSERT_TRUE(half);
  EXPECT_FALSE(half->last);
  ASSERT_TRUE(wait_write(other, stage_write(first_partition, {8, 0, half->rows, half->blobs})));

  dht::SnapshotData last = transfer(other, 9);
  EXPECT_EQ(last.last_index, 12u);
  EXPECT_EQ(last.last_term, 1u);
  EXPECT_EQ(last.configuration_index, 1u);
  EXPECT_EQ(value_of(other, first_partition, "k", "stale"), pattern(20000, 'x'));  // until it is installed
  ASSERT_TRUE(wait_write(other, install_in_term_5(9, last)));
  EXPECT_EQ(value_of(other, first_partition, "k", "stale"), std::nullopt);
  EXPECT_EQ(rows_of(other, "k"), rows_of(*store, "k"));
  EXPECT_EQ(rows_of(other, "c"), rows_of(*store, "c"));
  EXPECT_EQ(rows_of(other, "k").size(), 500u);
  // It goes on from there, also after a restart. The results of earlier batches came with the snapshot.
  opened->store.reset();
  Result<SqliteStore::Opened> again = SqliteStore::open(scratch / "other", random, plain);
  ASSERT_TRUE(again) << again.error().text();
  ASSERT_EQ(again->node.groups.size(), 1u);
  const dht::PersistedGroup& group = again->node.groups[0];
  EXPECT_EQ(group.applied, 12u);
  EXPECT_EQ(group.base_index, 12u);
  EXPECT_TRUE(group.log.empty());
  EXPECT_EQ(group.hard_state.term, 5u);
  EXPECT_EQ(group.last_stamp, test_stamp + Duration(12));
  dht::Entry repeated = batch_entry(12, {put("c", "12", "again")});
  repeated.index = 13;
  ASSERT_TRUE(wait_write(*again->store, append_write(first_partition, {repeated})));
  auto applied = wait_apply(*again->store, first_partition, 13);
  ASSERT_TRUE(applied) << applied.error().text();
  EXPECT_EQ((*applied)[0].result.version, 12u);
  EXPECT_EQ(rows_of(*again->store, "c"), rows_of(*store, "c"));
  again->store.reset();

  // When garbage is collected, nothing is left of the former rows, the former log and the half snapshot.
  again = SqliteStore::open(scratch / "other", random, plain);
  ASSERT_TRUE(again);
  directory = scratch / "other";
  while (number("SELECT count(*) FROM garbage") > 0) std::this_thread::yield();
  EXPECT_EQ(number("SELECT count(DISTINCT space) FROM rows"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM payload"), 10);
}

TEST_F(StoreSnapshot, Snapshot_WhileTheStoreGoesOn_IsOfOneMoment) {
  options.snapshot_chunk_bytes = 64 << 10;
  open();
  fill();
  Result<dht::SnapshotData> first = wait_snapshot(*store, first_partition, 1, 0);
  ASSERT_TRUE(first);
  run(first_partition, {batch_entry(13, {mutation(Mutation::Kind::erase_prefix, "k", ""), put("c", "12", "changed")})});
  std::size_t blobs = first->blobs.size();
  dht::SnapshotData data = *first;
  for (std::uint32_t number = 1; !data.last; ++number) {
    Result<dht::SnapshotData> next = wait_snapshot(*store, first_partition, 1, number);
    ASSERT_TRUE(next) << next.error().text();
    Result<dht::SnapshotData> repeated = wait_snapshot(*store, first_partition, 1, number);
    ASSERT_TRUE(repeated) << repeated.error().text();
    EXPECT_EQ(next->rows, repeated->rows);
    EXPECT_EQ(next->last_index, 12u);
    blobs += next->blobs.size();
    data = *next;
  }
  EXPECT_EQ(blobs, 10u);
}

TEST_F(StoreSnapshot, SnapshotRead_OutOfOrderTooManyClosedOrIdle_IsRefused) {
  options.snapshot_chunk_bytes = 1000;
  options.snapshot_sessions = 2;
  open();
  EXPECT_EQ(wait_snapshot(*store, first_partition, 1, 0).error().code, ErrorCode::not_member);
  fill();
  EXPECT_EQ(wait_snapshot(*store, first_partition, 1, 1).error().code, ErrorCode::unavailable);
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 1, 0));
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 1, 1));
  EXPECT_EQ(wait_snapshot(*store, first_partition, 1, 3).error().code, ErrorCode::unavailable);
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 2, 0));
  EXPECT_EQ(wait_snapshot(*store, first_partition, 3, 0).error().code, ErrorCode::overloaded);
  store->snapshot_read({1, first_partition, 2, 0, true}, [](auto) { FAIL() << "close has no answer"; });
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 3, 0));
  options.snapshot_idle = std::chrono::milliseconds(1);
  reopen();
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 1, 0));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  run(first_partition, {batch_entry(13, {put("k", "more", "x")})});  // otherwise the session would go on
  EXPECT_EQ(wait_snapshot(*store, first_partition, 1, 1).error().code, ErrorCode::unavailable);
}

TEST_F(StoreSnapshot, Stage_DamagedChunk_IsCorruptAndStopsTheStore) {
  open();
  Status status = wait_write(*store, stage_write(first_partition, {1, 0, SharedBytes("\x01garbage"), {}}));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::corrupt);
}

TEST_F(StoreSnapshot, ReplicaReset_DropsRowsAndLogAndKeepsTermVoteAndWhereToAsk) {
  open();
  fill();
  ASSERT_TRUE(wait_write(*store, hard_state_write(first_partition, dht::HardState{7, node.id})));
  dht::Write write = group_write(first_partition);
  dht::Configuration others;
  others.voters = {{random_uuid(random), 9}};
  write.groups[0].reset = dht::ReplicaReset{20, others, 31};
  ASSERT_TRUE(wait_write(*store, write));
  EXPECT_FALSE(value_of(*store, first_partition, "k", "small 1"));
  EXPECT_EQ(wait_snapshot(*store, first_partition, 5, 0).error().code, ErrorCode::not_member);
  reopen();
  ASSERT_EQ(node.groups.size(), 1u);
  const dht::PersistedGroup& group = node.groups[0];
  EXPECT_FALSE(group.holds_data);
  EXPECT_EQ(group.replica, (dht::ReplicaId{node.id, 20}));
  EXPECT_EQ(group.hard_state.term, 7u);
  EXPECT_EQ(group.hard_state.vote, node.id);
  EXPECT_EQ(group.configuration, others);
  EXPECT_EQ(group.configuration_index, 31u);
  EXPECT_EQ(group.applied, 0u);
  EXPECT_TRUE(group.log.empty());
}

TEST_F(StoreSnapshot, LearnerWithoutAnything_IsFilledByASnapshot) {
  open();
  fill();
  SqliteStoreOptions plain;
  Result<SqliteStore::Opened> opened = SqliteStore::open(scratch / "other", random, plain);
  ASSERT_TRUE(opened);
  dht::Write write = reset_write(first_partition, 15);
  write.groups[0].hard_state = dht::HardState{5, {}};
  ASSERT_TRUE(wait_write(*opened->store, write));
  dht::SnapshotData data = transfer(*opened->store, 8);
  ASSERT_TRUE(wait_write(*opened->store, install_in_term_5(8, data)));
  EXPECT_EQ(rows_of(*opened->store, "k"), rows_of(*store, "k"));
  opened->store.reset();
  Result<SqliteStore::Opened> again = SqliteStore::open(scratch / "other", random, plain);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->node.groups.size(), 1u);
  EXPECT_TRUE(again->node.groups[0].holds_data);
  EXPECT_EQ(again->node.groups[0].replica.added, 15u) << "the snapshot's configuration does not name it yet";
}

TEST_F(StoreSnapshot, Snapshot_WhileItsRowsAreReplaced_StillGivesTheirBytes) {
  options.snapshot_chunk_bytes = 100 << 10;
  open();
  fill();
  const auto rows = rows_of(*store, "c");
  Result<SqliteStore::Opened> opened = SqliteStore::open(scratch / "other", random, SqliteStoreOptions{});
  ASSERT_TRUE(opened) << opened.error().text();
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 9, 0));  // begins its read transaction
  const auto length = [this] { return std::filesystem::file_size(directory / payload_file_name); };
  const std::uintmax_t before = length();
  dht::LogIndex last = 12;
  auto replace_all = [&] {
    for (dht::LogIndex i = 3; i < 13; ++i) {
      run(first_partition,
          {batch_entry(++last, {put("c", std::to_string(i), pattern(65536, static_cast<char>('A' + last % 20)))})});
    }
    ASSERT_TRUE(wait_write(*store, compact_write(first_partition, last)));
  };
  replace_all();
  replace_all();
  EXPECT_GE(length(), before + std::uintmax_t{10} * 65536);
  dht::SnapshotData data = transfer(*opened->store, 9);
  ASSERT_TRUE(data.last);
  ASSERT_TRUE(wait_write(*opened->store, install_in_term_5(9, data)));
  EXPECT_EQ(rows_of(*opened->store, "c"), rows);
  // The log and the rows of a round, and what the round before it gave back: from then on there is room for every
  // round.
  for (int i = 0; i < 2; ++i) replace_all();
  const std::uintmax_t needed = length();
  for (int i = 0; i < 5; ++i) replace_all();
  EXPECT_EQ(length(), needed);
}

TEST_F(StoreSnapshot, Staged_AndLostByAPowerFailure_IsThrownAwayAndItsRoomUsedAgain) {
  open();
  fill();
  Result<SqliteStore::Opened> opened = SqliteStore::open(scratch / "other", random, SqliteStoreOptions{});
  ASSERT_TRUE(opened) << opened.error().text();
  dht::SnapshotData data = transfer(*opened->store, 9);
  opened->store.reset();
  const std::filesystem::path file = scratch / "other" / payload_file_name;
  const std::uintmax_t length = std::filesystem::file_size(file);
  EXPECT_GE(length, 10u * 65536);
  std::filesystem::resize_file(file, 0);  // staged chunks were not synced
  opened = SqliteStore::open(scratch / "other", random, SqliteStoreOptions{});
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_TRUE(opened->damaged.empty());
  data = transfer(*opened->store, 10);
  ASSERT_TRUE(wait_write(*opened->store, install_in_term_5(10, data)));
  EXPECT_EQ(rows_of(*opened->store, "c"), rows_of(*store, "c"));
  EXPECT_FALSE(opened->store->status().failure);
}

// A snapshot that is not asked for must not keep its read transaction: the WAL would grow by all that is written.
TEST_F(StoreSnapshot, Snapshot_NotAskedForLong_GoesOnWhereItWasWhenNothingWasApplied) {
  options.snapshot_chunk_bytes = 100 << 10;
  options.snapshot_idle = std::chrono::milliseconds(50);
  open();
  fill();
  Result<SqliteStore::Opened> opened = SqliteStore::open(scratch / "other", random, SqliteStoreOptions{});
  ASSERT_TRUE(opened) << opened.error().text();
  SqliteStore& other = *opened->store;
  dht::SnapshotData last;
  for (std::uint32_t number = 0; !last.last; ++number) {
    dht::SnapshotRead read{1, first_partition, 9, number, false, number % 2 == 1};
    if (number % 2 == 0) std::this_thread::sleep_for(options.snapshot_idle * 2);
    std::promise<Result<dht::SnapshotData>> promise;
    store->snapshot_read(read, [&](Result<dht::SnapshotData> data) { promise.set_value(std::move(data)); });
    Result<dht::SnapshotData> data = promise.get_future().get();
    ASSERT_TRUE(data) << data.error().text();
    last = *data;
    ASSERT_TRUE(wait_write(other, stage_write(first_partition, {9, number, data->rows, data->blobs})));
  }
  ASSERT_TRUE(wait_write(other, install_in_term_5(9, last)));
  EXPECT_EQ(rows_of(other, "k"), rows_of(*store, "k"));
  EXPECT_EQ(rows_of(other, "c"), rows_of(*store, "c"));
  EXPECT_EQ(rows_of(other, "k").size(), 500u);
}

TEST_F(StoreSnapshot, Snapshot_RenewedAfterAnApply_StartsOver) {
  options.snapshot_chunk_bytes = 100 << 10;
  open();
  fill();
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 9, 0));
  run(first_partition, {batch_entry(13, {put("k", "more", "x")})});
  ASSERT_TRUE(wait_snapshot(*store, first_partition, 9, 1));  // its transaction still sees the former rows
  std::promise<Result<dht::SnapshotData>> promise;
  store->snapshot_read({1, first_partition, 9, 2, false, true},
                       [&](Result<dht::SnapshotData> data) { promise.set_value(std::move(data)); });
  Result<dht::SnapshotData> data = promise.get_future().get();
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(wait_snapshot(*store, first_partition, 10, 0));
}

}  // namespace
}  // namespace ringfs::nodes
