// The files of the store: who may open them, which are foreign, and which damage is found.
#include <sys/inotify.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "dht/base/descriptor.hpp"
#include "nodes/store/checkpoint.hpp"
#include "nodes/store/files/first_page.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "tests/unit/nodes/store/fixture.hpp"

namespace ringfs::nodes {
namespace {

class StoreFiles : public StoreTest {
 protected:
  std::filesystem::path file() const { return directory / "ringfs.db"; }
  void write_file(const std::string& bytes) {
    std::filesystem::create_directories(directory);
    std::ofstream(file(), std::ios::binary) << bytes;
  }
  // Inverts the bytes of a BLOB; `where` selects the row.
  void flip(const std::string& table, const std::string& column, const std::string& where) {
    Connection connection(file(), SQLITE_OPEN_READWRITE);
    std::string bytes = connection.text(("SELECT " + column + " FROM " + table + " WHERE " + where).c_str());
    ASSERT_FALSE(bytes.empty());
    bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
    connection.execute("UPDATE " + table + " SET " + column + " = x'" + to_hex(bytes) + "' WHERE " + where);
  }
  // Inverts a byte of the file of payloads.
  void flip_in_file(std::streamoff place) {
    std::fstream payloads(directory / payload_file_name, std::ios::in | std::ios::out | std::ios::binary);
    payloads.seekg(place);
    const int byte = payloads.get();
    ASSERT_NE(byte, EOF);
    payloads.seekp(place);
    payloads.put(static_cast<char>(~byte));
  }
  void fill() {
    run(first_partition,
        {batch_entry(1, {put("k", "inline", "a value"), put("k", "large", pattern(20000, 'a'))}), no_op(2)});
  }
  void write_peer() {
    dht::Write write;
    write.id = 1;
    write.node.peer_incarnations.emplace_back(node.id, dht::Incarnation{4, 5});
    ASSERT_TRUE(wait_write(*store, write));
  }
  void fill_second() { run(second_partition, {batch_entry(1, {put("k", "inline", "another")})}); }
  // Partition 3 is damaged with this reason, partition 7 works.
  void expect_damaged(const std::string& why) {
    open();
    ASSERT_EQ(node.groups.size(), 2u);
    EXPECT_EQ(node.groups[0].damage, dht::Damage::log);
    EXPECT_TRUE(node.groups[0].log.empty());
    EXPECT_EQ(node.groups[1].damage, dht::Damage::none);
    ASSERT_TRUE(damaged.contains(first_partition));
    const Error& error = damaged.at(first_partition);
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_NE(error.context.find("partition 3"), std::string::npos) << error.context;
    EXPECT_NE(error.context.find(why), std::string::npos) << error.context;
    EXPECT_EQ(value_of(*store, second_partition, "k", "inline"), "another");
  }
  Error read_error(const std::string& sort) {
    ReadRequest request;
    request.gets.push_back({"k", sort});
    Result<ReadReply> reply = wait_read(*store, first_partition, request);
    EXPECT_FALSE(reply);
    return reply ? Error{} : reply.error();
  }
  // The payload of "large". An entry and a row refer to it.
  void expect_large_is_damaged() {
    open();
    Error error = read_error("large");
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_NE(error.context.find("\"k\" / \"large\""), std::string::npos) << error.context;
    EXPECT_EQ(wait_load(*store, first_partition, 1, 1).error().code, ErrorCode::corrupt);
    Result<dht::SnapshotData> data = wait_snapshot(*store, first_partition, 1, 0);
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, ErrorCode::corrupt);
    // A patch must not hide the damage under a new checksum.
    ASSERT_TRUE(wait_write(
        *store, append_write(first_partition,
                             {batch_entry(3, {mutation(Mutation::Kind::write_bytes, "k", "large", "x", 9)})})));
    auto applied = wait_apply(*store, first_partition, 3);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().code, ErrorCode::corrupt);
    EXPECT_NE(applied.error().context.find("\"k\" / \"large\""), std::string::npos) << applied.error().context;
  }
};

TEST_F(StoreFiles, Open_ForeignFile_SaysThatItIsNotOurs) {
  write_file("a text that somebody keeps here, longer than the magic of SQLite");
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
  EXPECT_EQ(open_error().context, file().string() + " is not a RingFS database");
  write_file("short");
  EXPECT_EQ(open_error().context, file().string() + " is not a RingFS database");
}

TEST_F(StoreFiles, Open_DatabaseOfAnotherProgram_IsRefusedAndLeftAlone) {
  std::filesystem::create_directories(directory);
  {
    Connection connection(file(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    connection.execute("CREATE TABLE notes(text)");
  }
  EXPECT_EQ(open_error().context, file().string() + " is not a RingFS database");
  EXPECT_EQ(number("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(StoreFiles, Open_NewerFormat_NamesBothFormats) {
  open();
  store.reset();
  change("PRAGMA user_version = 7");
  EXPECT_EQ(open_error().code, ErrorCode::version_mismatch);
  EXPECT_EQ(open_error().context, file().string() + " is of format 7, this program knows up to 6");
}

TEST_F(StoreFiles, Open_OlderFormat_IsBroughtUpToDateWithWhatItHolds) {
  open();
  write_peer();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {batch_entry(1, {put("k", "a", "value")})})));
  // Format 4 had payloads only in the database.
  std::string large = pattern(20000, 'p');
  run(second_partition, {batch_entry(1, {put("k", "large", large)})});
  run(second_partition, {batch_entry(2, {mutation(Mutation::Kind::write_bytes, "k", "large", "patched", 77)})});
  large.replace(77, 7, "patched");
  ASSERT_TRUE(wait_write(*store, compact_write(second_partition, 2)));
  store.reset();
  EXPECT_EQ(number("SELECT id FROM payload"), 1);
  std::filesystem::remove(directory / payload_file_name);
  change("ALTER TABLE peer DROP COLUMN checksum");
  change("ALTER TABLE log RENAME TO newer");
  change(
      "CREATE TABLE log(p INTEGER NOT NULL, idx INTEGER NOT NULL, term INTEGER NOT NULL, stamp INTEGER NOT NULL, "
      "kind INTEGER NOT NULL, size INTEGER NOT NULL, blobs BLOB, checksum INTEGER NOT NULL, head BLOB NOT NULL, "
      "PRIMARY KEY(p, idx)) WITHOUT ROWID");
  change("INSERT INTO log SELECT p, idx, term, stamp, kind, size, blobs, checksum, head FROM newer");
  change("DROP TABLE newer");
  drop_digests();
  change("ALTER TABLE grp DROP COLUMN damage");
  change("ALTER TABLE grp DROP COLUMN holds_data");
  change("PRAGMA user_version = 1");
  open();
  ASSERT_EQ(node.peer_incarnations.size(), 1u);
  EXPECT_EQ(node.peer_incarnations[0].second, (dht::Incarnation{4, 5}));
  ASSERT_EQ(node.groups.size(), 2u);
  EXPECT_EQ(node.groups[0].log.size(), 1u);
  EXPECT_TRUE(node.groups[0].holds_data);
  ASSERT_TRUE(wait_apply(*store, first_partition, 1));
  EXPECT_EQ(value_of(*store, first_partition, "k", "a"), "value");
  EXPECT_EQ(value_of(*store, second_partition, "k", "large"), large);
  write_peer();
  store.reset();
  EXPECT_EQ(number("PRAGMA user_version"), 6);
  EXPECT_EQ(number("SELECT count(*) FROM peer WHERE checksum IS NOT NULL"), 1);
}

TEST_F(StoreFiles, Open_WithoutTheFileOfPayloads_IsCorruptAndNamesIt) {
  open();
  fill();
  store.reset();
  std::filesystem::rename(directory / payload_file_name, scratch / "elsewhere");
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
  EXPECT_EQ(open_error().context, (directory / payload_file_name).string() + " is missing");
  EXPECT_FALSE(std::filesystem::exists(directory / payload_file_name));
  std::filesystem::rename(scratch / "elsewhere", directory / payload_file_name);
  open();
  EXPECT_EQ(value_of(*store, first_partition, "k", "large"), pattern(20000, 'a'));
}

TEST_F(StoreFiles, Open_FileOfPayloadsWithoutItsDatabase_IsRefused) {
  open();
  fill();
  store.reset();
  std::filesystem::remove(file());
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
  EXPECT_EQ(std::filesystem::file_size(directory / payload_file_name), 20480u);
}

TEST_F(StoreFiles, Open_PayloadsThatOverlap_AreLeftBehindWhenNothingNamesThem) {
  open();
  fill();
  store.reset();
  change("INSERT INTO payload SELECT id + 1, 1, size, checksum FROM payload");
  open();
  EXPECT_EQ(value_of(*store, first_partition, "k", "large"), pattern(20000, 'a'));
  EXPECT_EQ(number("SELECT count(*) FROM payload"), 1);
}

TEST_F(StoreFiles, Open_FileOfPayloadsCutOff_CostsWhatLayThere) {
  open();
  fill();
  run(first_partition, {batch_entry(3, {put("k", "behind", pattern(30000, 'b'))})});
  store.reset();
  std::filesystem::resize_file(directory / payload_file_name, 30000);
  open();
  EXPECT_EQ(value_of(*store, first_partition, "k", "large"), pattern(20000, 'a'));
  Error error = read_error("behind");
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_NE(error.context.find(payload_file_name), std::string::npos) << error.context;
}

TEST_F(StoreFiles, Open_RoomAtTheEndOfTheFileOfPayloads_GoesBackToTheDisk) {
  open();
  fill();
  store.reset();
  std::filesystem::resize_file(directory / payload_file_name, 1 << 20);
  open();
  EXPECT_EQ(std::filesystem::file_size(directory / payload_file_name), 20480u);
  EXPECT_EQ(value_of(*store, first_partition, "k", "large"), pattern(20000, 'a'));
}

TEST_F(StoreFiles, Open_DamagedPeer_IsLearnedAnew) {
  open();
  write_peer();
  store.reset();
  change("UPDATE peer SET counter = counter + 1024");
  open();
  EXPECT_TRUE(node.peer_incarnations.empty());
}

TEST_F(StoreFiles, Open_DamagedHeader_IsCorrupt) {
  open();
  store.reset();
  {
    std::fstream stream(file(), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(16);
    stream << std::string(80, '\x7f');
  }
  std::filesystem::remove(first_page_of(file()));
  Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_TRUE(error.context.starts_with(file().string() + " is damaged: ")) << error.context;
}

TEST_F(StoreFiles, Open_FlippedFormat_IsNotTakenForANewerOne) {
  open();
  store.reset();
  {
    std::fstream stream(file(), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(60);
    stream.put('\x01');
  }
  open();  // undamaged again
  store.reset();
  std::fstream stream(file(), std::ios::binary | std::ios::in | std::ios::out);
  stream.seekg(60);
  EXPECT_EQ(stream.get(), 0);
}

TEST_F(StoreFiles, Open_DatabaseMissingBesideItsWal_IsCorrupt) {
  std::filesystem::create_directories(directory);
  std::ofstream(file().string() + "-wal") << "frames";
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
}

TEST_F(StoreFiles, Open_EmptyFileOfACreationCutShort_IsANewDatabase) {
  write_file("");
  open();
  EXPECT_EQ(node.incarnation.counter, 1u);
}

TEST_F(StoreFiles, Open_CreationKilledInItsTransaction_IsANewDatabase) {
  std::filesystem::create_directories(directory);
  const int code = exit_code_of([this] {
    Connection connection(file(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    connection.execute("PRAGMA cache_size = 1");  // pages are written before the commit, and a hot journal is left
    connection.execute("BEGIN EXCLUSIVE");
    connection.execute("CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB)");
    for (int i = 0; i < 100; ++i)
      connection.execute("INSERT INTO meta VALUES(" + std::to_string(i) + ", zeroblob(4000))");
    _exit(0);
  });
  ASSERT_EQ(code, 0);
  ASSERT_GT(std::filesystem::file_size(file()), 0u);
  ASSERT_TRUE(std::filesystem::exists(file().string() + "-journal"));
  open();
  EXPECT_EQ(node.incarnation.counter, 1u);
}

TEST_F(StoreFiles, Open_WalOfAKilledProcess_IsWrittenAndSyncedAnewBeforeItIsRead) {
  const int code = exit_code_of([this] {
    open();
    fill();
    _exit(0);
  });
  ASSERT_EQ(code, 0);
  std::string wal = file().string() + "-wal";
  ASSERT_GT(std::filesystem::file_size(wal), 0u);
  // SQLite keeps the WAL open as long as the store. So whoever closes it after writing is renew_wal().
  const Descriptor watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(watch.value, wal.c_str(), IN_CLOSE_WRITE), 0);
  open();
  char events[1024];
  EXPECT_GT(read(watch.value, events, sizeof events), 0);
  EXPECT_EQ(value_of(*store, first_partition, "k", "inline"), "a value");
}

TEST_F(StoreFiles, RenewWal_LeavesEveryByteAsItIs) {
  std::filesystem::path wal = scratch / "wal";
  renew_wal(wal);
  EXPECT_FALSE(std::filesystem::exists(wal));
  std::string bytes = pattern((5 << 20) + 17, 'a');
  std::ofstream(wal, std::ios::binary) << bytes;
  renew_wal(wal);
  std::ifstream stream(wal, std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(stream), {}) == bytes);
}

TEST_F(StoreFiles, Checkpointer_MovedEverything_RestsUntilTheNextCommit) {
  std::filesystem::create_directories(directory);
  std::unique_ptr<Connection> connection = open_database(directory, 4096);
  StoreHealth health;
  Checkpointer checkpointer(directory, health);
  connection->execute("INSERT INTO garbage VALUES(1)");
  checkpointer.committed();
  Result<bool> done = checkpointer.by_writer(*connection, SQLITE_CHECKPOINT_PASSIVE);
  ASSERT_TRUE(done && *done);
  EXPECT_TRUE(checkpointer.complete());
  connection->execute("INSERT INTO garbage VALUES(2)");
  checkpointer.committed();
  EXPECT_FALSE(checkpointer.complete());
  checkpointer.request();
  for (int i = 0; i < 1000 && !checkpointer.complete(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(checkpointer.complete());
  EXPECT_FALSE(health.failure());
}

TEST_F(StoreFiles, Open_PathThatIsAFile_IsInvalid) {
  std::ofstream(directory) << "x";
  EXPECT_EQ(open_error().code, ErrorCode::invalid_argument);
}

TEST_F(StoreFiles, Open_DirectoryInUse_NamesTheProcess) {
  open();
  Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::overloaded);
  EXPECT_NE(error.context.find("directory in use by process " + std::to_string(getpid())), std::string::npos)
      << error.context;
  store.reset();
  open();
}

TEST_F(StoreFiles, Open_DamagedGroup_IsDamageOfItsReplicaAndItsVoteIsNotForgotten) {
  open();
  fill();
  fill_second();
  store.reset();
  flip("grp", "vote", "p = 3");
  expect_damaged("partition 3");
  store.reset();
  expect_damaged("what it voted for is not known");  // also after another start
}

TEST_F(StoreFiles, Open_DamagedIdentity_IsTakenFromItsSecondCopy) {
  open();
  fill();
  const Uuid id = node.id;
  const std::uint64_t counter = node.incarnation.counter;
  store.reset();
  flip("meta", "value", "name = 'id'");
  flip("meta", "value", "name = 'incarnation'");
  open();
  EXPECT_EQ(node.id, id);
  EXPECT_EQ(node.incarnation.counter, counter + 1);
  EXPECT_EQ(value_of(*store, first_partition, "k", "inline"), "a value");
  store.reset();
  flip("meta", "value", "name = 'id'");
  std::ofstream(directory / "ringfs.identity") << "damaged, too";
  Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_NE(error.context.find("meta \"id\""), std::string::npos) << error.context;
}

// It is known which life of the replica is over, which is all that is needed to replace it.
TEST_F(StoreFiles, Open_DamagedGroup_KeepsItsIdentityAndForgetsTheRest) {
  open();
  fill();
  ASSERT_TRUE(wait_write(*store, reset_write(first_partition, 41)));
  fill_second();
  store.reset();
  const std::int64_t space = number("SELECT space FROM grp WHERE p = 3");
  change("UPDATE grp SET term = term + 7 WHERE p = 3");
  for (int start = 0; start < 2; ++start) {  // the second one finds what the first one wrote
    open();
    ASSERT_EQ(node.groups.size(), 2u);
    const dht::PersistedGroup& group = node.groups[0];
    EXPECT_EQ(group.damage, dht::Damage::log);
    EXPECT_EQ(group.replica.added, 41U);
    EXPECT_EQ(group.hard_state.term, 0U);
    EXPECT_TRUE(group.configuration.voters.empty());
    EXPECT_TRUE(damaged.contains(first_partition));  // reported at every start
    EXPECT_EQ(value_of(*store, second_partition, "k", "inline"), "another");
    store.reset();
  }
  EXPECT_NE(number("SELECT space FROM grp WHERE p = 3"), space);
}

TEST_F(StoreFiles, Rebuild_KeepsMarksAndIdentities) {
  open();
  fill();
  fill_second();
  dht::Write write = reset_write(first_partition, 41);
  write.groups.push_back(damage_write(second_partition, dht::Damage::rows).groups[0]);
  ASSERT_TRUE(wait_write(*store, write));
  store.reset();
  change("UPDATE grp SET term = term + 7 WHERE p = 3");
  options.rebuild = true;
  for (int start = 0; start < 2; ++start) {
    open();
    ASSERT_EQ(node.groups.size(), 2u);
    EXPECT_EQ(node.groups[0].damage, dht::Damage::log);
    EXPECT_EQ(node.groups[0].replica.added, 41U);
    EXPECT_EQ(node.groups[1].damage, dht::Damage::rows);
    EXPECT_EQ(value_of(*store, second_partition, "k", "inline"), "another");
    store.reset();
  }
}

// They may be the last copy, so they are removed only when the replica has other rows.
TEST_F(StoreFiles, RowsOfADamagedGroup_StayUntilItIsReplaced) {
  open();
  fill();
  store.reset();
  const std::string old_rows =
      "SELECT count(*) FROM rows WHERE space = " + std::to_string(number("SELECT space FROM grp WHERE p = 3"));
  const std::int64_t kept = number(old_rows);
  ASSERT_GT(kept, 0);
  change("UPDATE grp SET term = term + 7 WHERE p = 3");
  open();
  reopen();
  fill_second();
  store.reset();
  EXPECT_EQ(number(old_rows), kept);
  open();
  ASSERT_TRUE(wait_write(*store, reset_write(first_partition, 5)));
  reopen();
  for (dht::LogIndex index = 2; index <= 200; ++index) {
    run(second_partition, {batch_entry(index, {put("k", "inline", std::to_string(index))})});
  }
  store.reset();
  EXPECT_EQ(number(old_rows), 0);
  EXPECT_EQ(number("SELECT count(*) FROM garbage"), 0);
}

TEST_F(StoreFiles, Open_DamageThatWasWrittenDown_LastsUntilTheReset) {
  open();
  fill();
  auto opened_with = [&](const dht::Write& write) {
    EXPECT_TRUE(wait_write(*store, write));
    reopen();
    return node.groups.at(0);
  };
  EXPECT_EQ(opened_with(damage_write(first_partition, dht::Damage::rows)).damage, dht::Damage::rows);
  const dht::PersistedGroup lost = opened_with(damage_write(first_partition, dht::Damage::log));
  EXPECT_EQ(lost.damage, dht::Damage::log);
  EXPECT_TRUE(lost.log.empty());
  EXPECT_EQ(lost.base_index, lost.applied);
  EXPECT_EQ(opened_with(reset_write(first_partition, 9)).damage, dht::Damage::none);
}

TEST_F(StoreFiles, Open_DamagedEntryThatIsApplied_IsCutOff) {
  open();
  fill();
  fill_second();
  store.reset();
  change("UPDATE log SET term = term + 1 WHERE p = 3 AND idx = 1");
  open();
  const dht::PersistedGroup& group = node.groups.at(0);
  EXPECT_EQ(group.damage, dht::Damage::none);
  EXPECT_TRUE(damaged.contains(first_partition));  // reported
  EXPECT_EQ(group.base_index, group.applied);
  EXPECT_EQ(value_of(*store, first_partition, "k", "inline"), "a value");
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {no_op(group.applied + 1)})));
}

TEST_F(StoreFiles, BackgroundCheck_FindsWhatNobodyReads) {
  options.scrub.delay = Duration(0);
  struct Found {
    std::string what;
    bool entry = false;
  };
  open();
  fill();
  fill_second();
  // Not applied; otherwise a start would compact the log.
  ASSERT_TRUE(
      wait_write(*store, append_write(second_partition, {batch_entry(2, {put("k", "large", pattern(20000, 'z'))})})));
  store.reset();
  const std::vector<std::pair<std::function<void()>, Found>> damages = {
      {[&] {
         flip("rows", "value", "sort = x'" + to_hex("inline") + "' AND space = (SELECT space FROM grp WHERE p = 3)");
       },
       {"inline", false}},
      {[&] { flip_in_file(10000); }, {"large", false}},
      {[&] { flip_in_file(30000); }, {"log entry 2", true}},
  };
  for (const auto& [damage, expected] : damages) {
    damage();
    open();
    std::promise<dht::FoundDamage> promise;
    bool first = true;
    store->watch_damage([&](dht::FoundDamage found) {
      if (std::exchange(first, false)) promise.set_value(std::move(found));
    });
    auto future = promise.get_future();
    ASSERT_EQ(future.wait_for(std::chrono::seconds(30)), std::future_status::ready) << expected.what;
    const dht::FoundDamage found = future.get();
    EXPECT_EQ(found.partition, expected.entry ? second_partition : first_partition);
    EXPECT_EQ(found.entry.has_value(), expected.entry);
    EXPECT_NE(found.why.context.find(expected.what), std::string::npos) << found.why.context;
    EXPECT_GT(store->status().damage_found, 0U);
    store.reset();
    damage();  // undoes the damage
  }
}

TEST_F(StoreFiles, Open_GapInALog_IsDamageOfItsReplica) {
  open();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {no_op(1), no_op(2), no_op(3)})));
  fill_second();
  store.reset();
  change("DELETE FROM log WHERE p = 3 AND idx = 2");
  expect_damaged("gap before entry 3");
}

TEST_F(StoreFiles, Open_FlippedTermOfALogEntry_IsDamageOfItsReplica) {
  open();
  fill();
  fill_second();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {no_op(3)})));
  store.reset();
  change("UPDATE log SET term = term + 1 WHERE p = 3 AND idx = 3");
  expect_damaged("log entry 3: checksum does not match");
}

TEST_F(StoreFiles, Open_FlippedSizeOfALogEntry_IsDamageOfItsReplica) {
  open();
  fill();
  fill_second();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {no_op(3)})));
  store.reset();
  change("UPDATE log SET size = size + 4096 WHERE p = 3 AND idx = 3");
  expect_damaged("log entry 3: its size does not match");
}

TEST_F(StoreFiles, Garbage_WhoseContentsAreDamaged_GoesAndNothingElseSuffers) {
  open();
  fill();
  fill_second();
  store.reset();
  change("UPDATE rows SET space = 999 WHERE payload IS NOT NULL");
  change("DELETE FROM payload_data");
  change("DELETE FROM payload");
  change("DELETE FROM log WHERE p = 3");
  change("INSERT INTO garbage VALUES(999)");
  open();
  for (dht::LogIndex index = 2; index <= 200; ++index) {
    run(second_partition, {batch_entry(index, {put("k", "inline", std::to_string(index))})});
  }
  EXPECT_FALSE(store->status().failure);
  EXPECT_EQ(value_of(*store, second_partition, "k", "inline"), "200");
  EXPECT_EQ(number("SELECT count(*) FROM garbage"), 0);
}

TEST_F(StoreFiles, Check_ChunkOfAPeer_IsLookedAtBeforeItIsWritten) {
  open();
  fill();
  Result<dht::SnapshotData> data = wait_snapshot(*store, first_partition, 1, 0);
  ASSERT_TRUE(data);
  EXPECT_TRUE(store->check(data->rows, data->blobs));
  EXPECT_EQ(store->check(data->rows, {}).error().code, ErrorCode::corrupt);
  std::string cut = data->rows.str();
  cut.pop_back();
  EXPECT_EQ(store->check(SharedBytes(cut), data->blobs).error().code, ErrorCode::corrupt);
  EXPECT_EQ(store->check(SharedBytes(std::string("\x07")), {}).error().code, ErrorCode::corrupt);
  EXPECT_EQ(store->check(SharedBytes(std::string()), {}).error().code, ErrorCode::corrupt);
  EXPECT_FALSE(store->status().failure);
}

TEST_F(StoreFiles, Read_FlippedRow_IsCorruptAndNamesIt) {
  open();
  fill();
  store.reset();
  flip("rows", "value", "sort = x'" + to_hex("inline") + "'");
  open();
  Error error = read_error("inline");
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_NE(error.context.find("\"k\" / \"inline\""), std::string::npos) << error.context;
  EXPECT_TRUE(value_of(*store, first_partition, "k", "large"));  // other rows are served
}

TEST_F(StoreFiles, Read_FlippedPayloadOfTheFile_IsCorruptAndNamesTheRow) {
  open();
  fill();
  store.reset();
  flip_in_file(10000);
  expect_large_is_damaged();
}

TEST_F(StoreFiles, Read_FlippedPayloadOfTheDatabase_IsCorruptAndNamesTheRow) {
  options.payload_file_bytes = SqliteStoreOptions{}.payload_file_bytes;
  open();
  fill();
  store.reset();
  flip("payload_data", "bytes", "id = 1");
  expect_large_is_damaged();
}

TEST_F(StoreFiles, Apply_FlippedEntry_IsCorruptAndOthersGoOn) {
  open();
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {batch_entry(1, {put("k", "a", "1")}),
                                                                batch_entry(2, {put("k", "b", "2")})})));
  ASSERT_TRUE(wait_write(*store, append_write(second_partition, {batch_entry(1, {put("k", "a", "1")})})));
  store.reset();
  flip("log", "head", "p = 3 AND idx = 2");
  open();
  std::promise<Result<std::vector<dht::AppliedBatch>>> first;
  std::promise<Result<std::vector<dht::AppliedBatch>>> second;
  store->apply({first_partition, 2}, [&](auto result) { first.set_value(std::move(result)); });
  store->apply({second_partition, 1}, [&](auto result) { second.set_value(std::move(result)); });
  auto result = first.get_future().get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  EXPECT_NE(result.error().context.find("partition 3, log entry 2"), std::string::npos) << result.error().context;
  ASSERT_TRUE(second.get_future().get());
  EXPECT_EQ(value_of(*store, first_partition, "k", "a"), std::nullopt);  // all of the apply, or nothing
  ASSERT_TRUE(wait_apply(*store, first_partition, 1));
  EXPECT_EQ(value_of(*store, first_partition, "k", "a"), "1");
}

}  // namespace
}  // namespace ringfs::nodes
