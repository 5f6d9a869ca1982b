// A database of format 5 becomes one of format 6: its pages get sums, and damage does not get them.
#include "nodes/store/repair/replacement.hpp"
#include "nodes/store/files/identity.hpp"

#include <sys/mount.h>

#include <cstring>

#include "tests/unit/nodes/store/damage_fixture.hpp"

namespace ringfs::nodes {
namespace {

class StoreReplacement : public DamageTest {
 protected:
  // As an older program left it: no reserved bytes, no sums, no second copy of the identity. Made by SQLite alone.
  void make_older() {
    store.reset();
    drop_digests();
    const std::filesystem::path newer = scratch / "newer.db";
    std::filesystem::rename(database(), newer);
    sqlite3* plain = nullptr;
    ASSERT_EQ(sqlite3_open_v2(database().c_str(), &plain, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"),
              SQLITE_OK);
    auto execute = [&](const std::string& sql) {
      EXPECT_EQ(sqlite3_exec(plain, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
          << sql << ": " << sqlite3_errmsg(plain);
    };
    execute("ATTACH '" + newer.string() + "' AS newer");
    std::vector<std::string> schema;
    ASSERT_EQ(sqlite3_exec(
                  plain, "SELECT sql FROM newer.sqlite_schema WHERE sql IS NOT NULL",
                  [](void* into, int, char** values, char**) {
                    static_cast<std::vector<std::string>*>(into)->push_back(values[0]);
                    return 0;
                  },
                  &schema, nullptr),
              SQLITE_OK);
    for (const std::string& sql : schema) execute(sql);
    for (const char* table : {"meta", "peer", "grp", "log", "rows", "payload", "payload_data", "garbage"}) {
      execute("INSERT INTO main." + std::string(table) + " SELECT * FROM newer." + table);
    }
    execute("ALTER TABLE main.grp DROP COLUMN damage");
    execute("PRAGMA main.application_id = " + std::to_string(database_application_id));
    execute("PRAGMA main.user_version = 5");
    execute("PRAGMA main.journal_mode = WAL");
    sqlite3_close(plain);
    std::filesystem::remove(directory / "ringfs.identity");
    std::filesystem::remove(directory / "ringfs.db-first");
    std::filesystem::remove(mark_of(database()));
    ASSERT_EQ(contents(database()).at(20), 0);
  }
  void expect_whole() {
    EXPECT_TRUE(damaged.empty());
    EXPECT_EQ(node.groups.size(), partitions);
    for (unsigned p = 0; p < partitions; ++p) {
      for (unsigned i = 0; i < names; ++i) {
        if (i % entries == 0 || i % entries > 4) continue;
        EXPECT_EQ(value_of(*store, PartitionId{p}, key_of(p), name_of(i)), pattern(90 + 7 * i, 'a'));
      }
      EXPECT_EQ(value_of(*store, PartitionId{p}, key_of(p), "payload"), pattern(17000, 'p'));
      EXPECT_TRUE(wait_load(*store, PartitionId{p}, 1, 4, 8 << 20));
    }
  }
  void expect_summed() {
    store.reset();
    EXPECT_EQ(contents(database()).at(20), 8);
    EXPECT_EQ(number("PRAGMA user_version"), 6);
    EXPECT_EQ(number("PRAGMA integrity_check = 1"), 0);  // "ok", which is no number
    EXPECT_FALSE(std::filesystem::exists(database().string() + "-copy"));
    EXPECT_FALSE(std::filesystem::exists(database().string() + "-complete"));
    expect_payloads_in_place();
  }
};

TEST_F(StoreReplacement, FormatFive_IsCopiedAndGetsSums) {
  make_node(false);
  const Uuid id = node.id;
  make_older();
  reopen();
  EXPECT_EQ(node.id, id);
  expect_whole();
  expect_summed();
}

TEST_F(StoreReplacement, FormatFive_WithAWal_IsCopiedWithWhatOnlyTheWalHas) {
  make_node(false);
  make_older();
  // Transactions of a killed process, in a database without sums.
  const int code = exit_code_of([this] {
    Connection connection(database(), SQLITE_OPEN_READWRITE);
    connection.execute("PRAGMA wal_autocheckpoint = 0");
    connection.execute("PRAGMA synchronous = FULL");
    connection.execute("UPDATE peer SET counter = counter");
    connection.execute("INSERT INTO garbage VALUES(77777)");
    connection.execute("DELETE FROM garbage");
    _exit(0);
  });
  ASSERT_EQ(code, 0);
  ASSERT_GT(std::filesystem::file_size(wal_of(database())), 0u);
  reopen();
  expect_whole();
  expect_summed();
}

TEST_F(StoreReplacement, Crash_AtEachStep_LeavesTheOldOneOrTheNewOne) {
  make_node(false);
  make_older();
  keep_files();
  for (auto last : {ReplacementStep::copied, ReplacementStep::synced, ReplacementStep::complete,
                    ReplacementStep::wal_gone, ReplacementStep::replaced}) {
    restore_files();
    const int code = exit_code_of([&] {
      open_database(directory, 4096).reset();  // adds the column `damage`
      replace_database(directory, 4096, {}, [last](ReplacementStep step) {
        if (step == last) _exit(9);
      });
      _exit(1);
    });
    ASSERT_EQ(code, 9);
    reopen();
    expect_whole();
    expect_summed();
  }
}

// Rows in a former generation of the WAL must not cover the new database.
TEST_F(StoreReplacement, Crash_BeforeTheOldWalIsGone_TheNewDatabaseNeverSeesIt) {
  make_node();
  const int code = exit_code_of([this] {
    replace_database(directory, 4096, {}, [](ReplacementStep step) {
      if (step == ReplacementStep::complete) _exit(9);
    });
    _exit(1);
  });
  ASSERT_EQ(code, 9);
  EXPECT_TRUE(std::filesystem::exists(wal_of(database())));
  reopen();
  expect_whole();
  EXPECT_EQ(node.groups.at(7).log.size(), entries + 1);
  expect_summed();
}

TEST_F(StoreReplacement, FormatFive_WithDamage_CostsThatPartitionAndGivesItNoSum) {
  make_node(false);
  make_older();
  flip_bit(database(), place_of(database(), key_of(3) + name_of(8)) + 3, 1);
  reopen();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_TRUE(damaged.contains(PartitionId{3}));
  EXPECT_EQ(node.groups.size(), partitions);
  EXPECT_EQ(lost_logs(node), 1u);
  expect_summed();
}

TEST_F(StoreReplacement, FormatFive_RowInAnotherSpace_IsNoticed) {
  make_node(false);
  make_older();
  sqlite3* plain = nullptr;
  ASSERT_EQ(sqlite3_open_v2(database().c_str(), &plain, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(plain,
                         "UPDATE rows SET space = 5000 + space WHERE space = (SELECT space FROM grp WHERE p = 4) AND "
                         "sort = x'66696c652d6e616d652d38'",
                         nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(plain);
  sqlite3_close(plain);
  reopen();
  // SQLite moved the row behind all others, so the partitions beside it are suspected. A flipped bit would have left it
  // between them.
  EXPECT_FALSE(damaged.empty());
}

TEST_F(StoreReplacement, FormatFive_WithoutRoom_RunsOnAndSaysSo) {
  options.reserve_bytes = 0;
  make_node(false);
  make_older();
  const std::filesystem::path kept = scratch / "kept";
  std::filesystem::rename(directory, kept);
  std::filesystem::create_directories(directory);
  ASSERT_EQ(mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=16m"), 0) << std::strerror(errno) << " (needs root)";
  std::filesystem::copy(kept, directory, std::filesystem::copy_options::recursive);
  const auto room = std::filesystem::space(directory).available;
  const auto most = std::filesystem::file_size(database()) / 2;
  std::ofstream(directory / "ballast") << std::string(room - most, 'x');
  reopen();
  EXPECT_NE(store->status().note.find("no checksums"), std::string::npos) << store->status().note;
  expect_whole();
  store.reset();
  EXPECT_EQ(contents(database()).at(20), 0);
  std::filesystem::remove(directory / "ballast");
  reopen();
  EXPECT_EQ(store->status().note, "");
  expect_whole();
  expect_summed();
  EXPECT_EQ(umount2(directory.c_str(), MNT_DETACH), 0) << std::strerror(errno);
}

// Like a bad sector, a directory opens with open(2) and fails at read(2).
TEST_F(StoreReplacement, Identity_ThatCannotBeRead_IsNoCopy) {
  std::filesystem::create_directories(directory / identity_file_name);
  EXPECT_FALSE(read_identity(directory));
}

}  // namespace
}  // namespace ringfs::nodes
