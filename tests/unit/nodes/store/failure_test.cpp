// The store when the process dies, when the disk is full, and when the disk fails.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#include "nodes/store/rows/chunks.hpp"
#include "tests/unit/nodes/store/fixture.hpp"

namespace {
std::atomic<bool> payload_syncs_fail{false};
std::atomic<int> payload_syncs{0};
}  // namespace

// Replaces fdatasync() of the C library: counts the syncs of payload files, and fails on demand.
extern "C" int fdatasync(int descriptor) {
  std::string name(PATH_MAX, '\0');
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), name.data(), name.size());
  name.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  if (name.ends_with(".payloads")) {
    ++payload_syncs;
    if (payload_syncs_fail) {
      errno = EIO;
      return -1;
    }
  }
  return static_cast<int>(syscall(SYS_fdatasync, descriptor));
}

namespace ringfs::nodes {
namespace {

// Replaces the file layer below that of the store; its syncs fail on demand.
std::atomic<bool> syncs_fail{false};

class FailingSyncs {
 public:
  static void install() {
    static FailingSyncs shim;
    (void)shim;
  }

 private:
  FailingSyncs() {
    original = sqlite3_vfs_find("unix-excl");
    shim_ = *original;
    shim_.zName = "unix-excl";  // registered last, so it is found first
    shim_.xOpen = [](sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* flags_out) {
      int code = original->xOpen(original, name, file, flags, flags_out);
      if (code != SQLITE_OK || !file->pMethods || (flags & SQLITE_OPEN_WAL) == 0) return code;
      static std::once_flag once;  // all WALs have the same methods
      std::call_once(once, [file] {
        wal_original = file->pMethods;
        wal_methods = *file->pMethods;
        wal_methods.xSync = [](sqlite3_file* synced, int sync_flags) {
          return syncs_fail ? SQLITE_IOERR_FSYNC : wal_original->xSync(synced, sync_flags);
        };
      });
      file->pMethods = &wal_methods;
      return code;
    };
    sqlite3_vfs_register(&shim_, 1);
  }
  ~FailingSyncs() { sqlite3_vfs_unregister(&shim_); }

  static inline sqlite3_vfs* original = nullptr;
  static inline const sqlite3_io_methods* wal_original = nullptr;
  static inline sqlite3_io_methods wal_methods{};
  sqlite3_vfs shim_{};
};

class StoreFailureTest : public StoreTest {
 protected:
  // What an interrupted run must leave: entries without a gap at least up to `acknowledged`, and the rows of the
  // applied index.
  void expect_prefix(dht::LogIndex acknowledged) {
    open();
    ASSERT_EQ(node.groups.size(), 1u);
    const dht::PersistedGroup& group = node.groups[0];
    dht::LogIndex last = group.base_index + group.log.size();
    EXPECT_GE(last, acknowledged);
    EXPECT_GE(group.applied + 1, acknowledged);  // applies before a durable write are durable
    EXPECT_LE(group.applied, last);
    if (group.applied > 0) {
      EXPECT_EQ(value_of(*store, first_partition, "k", "counter"), std::to_string(group.applied));
      EXPECT_EQ(value_of(*store, first_partition, "c", std::to_string(group.applied % 8)),
                pattern(65536, static_cast<char>('a' + group.applied % 20)));
    }
    for (dht::LogIndex next = group.base_index + 1; next <= last;) {
      auto entries = wait_load(*store, first_partition, next, last, 4 << 20);
      ASSERT_TRUE(entries) << entries.error().text();
      next += entries->size();
    }
    ASSERT_TRUE(wait_apply(*store, first_partition, last));
    EXPECT_EQ(value_of(*store, first_partition, "k", "counter"), std::to_string(last));
    expect_payloads_in_place();
  }
  static dht::Write numbered(dht::LogIndex index) {
    return append_write(first_partition,
                        {batch_entry(index, {put("k", "counter", std::to_string(index)),
                                             put("c", std::to_string(index % 8),
                                                 pattern(65536, static_cast<char>('a' + index % 20)))})});
  }
};

TEST_F(StoreFailureTest, Process_KilledWhileWriting_LosesNothingThatWasAcknowledged) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(ends[0]);
    Result<SqliteStore::Opened> opened = SqliteStore::open(directory, random, options);
    if (!opened) _exit(1);
    for (dht::LogIndex i = 1;; ++i) {
      std::promise<void> written;
      opened->store->write(numbered(i), [&](const Status& status) {
        if (!status || ::write(ends[1], &i, sizeof i) != sizeof i) _exit(2);
        written.set_value();
      });
      opened->store->apply({first_partition, i}, [](auto result) {
        if (!result) _exit(3);
      });
      if (i % 50 == 0) {
        opened->store->write(compact_write(first_partition, i - 20), [](const Status& status) {
          if (!status) _exit(4);
        });
      }
      written.get_future().get();
    }
  }
  close(ends[1]);
  dht::LogIndex acknowledged = 0;
  while (acknowledged < 300 && read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
  }
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  while (read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
  }
  close(ends[0]);
  ASSERT_GE(acknowledged, 300u);
  expect_prefix(acknowledged);
}

TEST_F(StoreFailureTest, Files_CopiedFromALiveStore_OpenWithAllThatWasAcknowledged) {
  open();
  std::atomic<dht::LogIndex> acknowledged{0};
  std::atomic<bool> stop{false};
  std::thread writes([&] {
    for (dht::LogIndex i = 1; i <= 60 && !stop;
         ++i) {  // too few for a checkpoint, so the copies of database and WAL fit
      if (!wait_write(*store, numbered(i))) break;
      acknowledged = i;
      if (!wait_apply(*store, first_partition, i)) break;
    }
  });
  while (acknowledged < 20) std::this_thread::yield();
  dht::LogIndex before = acknowledged;
  // By another process: closing a descriptor of the database in this one would release SQLite's locks.
  std::string copy = "mkdir '" + (scratch / "copy").string() + "' && cp '" + directory.string() + "'/ringfs.db '" +
                     directory.string() + "'/ringfs.db-wal '" + directory.string() + "'/ringfs.payloads '" +
                     (scratch / "copy").string() + "'";  // the payloads last: what the WAL names was written before
  EXPECT_EQ(std::system(copy.c_str()), 0);
  stop = true;
  writes.join();
  store.reset();
  directory = scratch / "copy";
  expect_prefix(before);
}

TEST_F(StoreFailureTest, Sync_Fails_EndsAllFurtherWork) {
  FailingSyncs::install();
  open();
  ASSERT_TRUE(wait_write(*store, numbered(1)));
  ASSERT_TRUE(wait_apply(*store, first_partition, 1));
  syncs_fail = true;
  Status status = wait_write(*store, numbered(2));
  syncs_fail = false;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io_error);
  status = wait_write(*store, numbered(2));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io_error);
  EXPECT_EQ(wait_apply(*store, first_partition, 2).error().code, ErrorCode::io_error);
  EXPECT_EQ(wait_load(*store, first_partition, 1, 1).error().code, ErrorCode::io_error);
  EXPECT_EQ(wait_snapshot(*store, first_partition, 1, 0).error().code, ErrorCode::io_error);
  store.reset();
  expect_prefix(1);
}

TEST_F(StoreFailureTest, Sync_OfPayloadsFails_NothingIsCommittedAndAllFurtherWorkEnds) {
  open();
  ASSERT_TRUE(wait_write(*store, numbered(1)));
  ASSERT_TRUE(wait_apply(*store, first_partition, 1));
  payload_syncs_fail = true;
  Status status = wait_write(*store, numbered(2));
  payload_syncs_fail = false;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io_error);
  EXPECT_NE(status.error().context.find(payload_file_name), std::string::npos) << status.error().text();
  EXPECT_EQ(wait_write(*store, numbered(2)).error().code, ErrorCode::io_error);
  EXPECT_EQ(wait_apply(*store, first_partition, 1).error().code, ErrorCode::io_error);
  store.reset();
  expect_prefix(1);
  EXPECT_EQ(node.groups.at(0).log.size(), 1u);
}

TEST_F(StoreFailureTest, Write_WithPayloads_SyncsThemBeforeItIsAnsweredAndOneWithoutDoesNot) {
  open();
  const int before = payload_syncs;
  ASSERT_TRUE(wait_write(*store, numbered(1)));
  EXPECT_EQ(payload_syncs, before + 1);
  ASSERT_TRUE(wait_apply(*store, first_partition, 1));
  ASSERT_TRUE(wait_write(*store, append_write(first_partition, {batch_entry(2, {put("k", "counter", "2")})})));
  EXPECT_EQ(payload_syncs, before + 1);
}

TEST_F(StoreFailureTest, Staged_ManyChunks_LeaveLittleForTheNextSync) {
  open();
  const int before = payload_syncs;
  for (std::uint32_t number = 0; number < 80; ++number) {  // 40 MiB; each chunk is answered without a sync
    ChunkWriter chunk;
    for (int i = 0; i < 8; ++i) chunk.add({"c", std::to_string(8 * number + i)}, 2, SharedBytes(pattern(65536, 'a')));
    ASSERT_TRUE(wait_write(*store, stage_write(first_partition, {7, number, chunk.take_rows(), chunk.take_blobs()})));
  }
  EXPECT_EQ(payload_syncs, before + 2);
}

TEST_F(StoreFailureTest, Apply_AloneInItsTransaction_SyncsNothing) {
  FailingSyncs::install();
  open();
  ASSERT_TRUE(wait_write(*store, numbered(1)));
  syncs_fail = payload_syncs_fail = true;
  auto applied = wait_apply(*store, first_partition, 1);
  syncs_fail = payload_syncs_fail = false;
  EXPECT_TRUE(applied) << applied.error().text();
}

TEST_F(StoreFailureTest, SynchronousOff_Switch_SyncsNothing) {
  FailingSyncs::install();
  options.synchronous_off = true;
  open();
  syncs_fail = payload_syncs_fail = true;
  Status status = wait_write(*store, numbered(1));
  syncs_fail = payload_syncs_fail = false;
  EXPECT_TRUE(status);
}

class StoreOnTmpfs : public StoreFailureTest {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(directory);
    ASSERT_EQ(mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=32m"), 0) << std::strerror(errno) << " (needs root)";
    mounted = true;
  }
  void TearDown() override {
    store.reset();
    if (mounted) {
      EXPECT_EQ(umount2(directory.c_str(), MNT_DETACH), 0) << std::strerror(errno);
    }
  }
  std::uint64_t free_on_disk() const {
    struct statvfs disk {};
    EXPECT_EQ(statvfs(directory.c_str(), &disk), 0);
    return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  }
  bool mounted = false;
};

TEST_F(StoreOnTmpfs, Disk_Full_WritesWaitInOrderAndReadsGoOnUntilSpaceReturns) {
  options.reserve_bytes = 4 << 20;
  open();
  EXPECT_EQ(store->status().room, dht::Room::ample);
  std::filesystem::path ballast = directory / "ballast";
  std::ofstream(ballast) << std::string(12 << 20, 'x');
  run(first_partition, {batch_entry(1, {put("k", "a", "before")})});
  std::atomic<dht::LogIndex> written{1};
  std::atomic<dht::LogIndex> failed{0};
  dht::LogIndex last = 1;
  while (last < 1000 && store->status().room == dht::Room::ample) {
    ++last;
    store->write(append_write(first_partition, {batch_entry(last, {put("c", "x", pattern(1 << 19, 'a'))})}),
                 [&](const Status& status) { ++(status ? written : failed); });
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // What was under way when the reserve was reached exceeds the disk.
  for (int i = 0; i < 64; ++i) {
    ++last;
    store->write(append_write(first_partition, {batch_entry(last, {put("c", "x", pattern(1 << 19, 'a'))})}),
                 [&](const Status& status) { ++(status ? written : failed); });
  }
  std::promise<Result<std::vector<dht::AppliedBatch>>> applied;
  store->apply({first_partition, last}, [&](auto result) { applied.set_value(std::move(result)); });
  std::future<Result<std::vector<dht::AppliedBatch>>> apply = applied.get_future();
  EXPECT_EQ(apply.wait_for(std::chrono::seconds(1)), std::future_status::timeout);
  EXPECT_LT(written, last);
  EXPECT_EQ(failed, 0u);
  EXPECT_NE(store->status().room, dht::Room::ample);
  EXPECT_FALSE(store->status().failure);
  EXPECT_EQ(value_of(*store, first_partition, "k", "a"), "before");
  EXPECT_TRUE(wait_load(*store, first_partition, 1, written));

  std::filesystem::remove(ballast);
  ASSERT_EQ(mount("tmpfs", directory.c_str(), "tmpfs", MS_REMOUNT, "size=256m"), 0) << std::strerror(errno);
  Result<std::vector<dht::AppliedBatch>> results = apply.get();
  ASSERT_TRUE(results) << results.error().text();
  EXPECT_EQ(results->size(), last - 1);
  EXPECT_EQ(written, last);
  EXPECT_EQ(failed, 0u);
  EXPECT_EQ(store->status().room, dht::Room::ample);
  reopen();
  EXPECT_EQ(node.groups.at(0).applied, last);
}

TEST_F(StoreOnTmpfs, Disk_FullOfWhatWasJustDeleted_TakesWhatComesNext) {
  options.reserve_bytes = 0;
  open();
  constexpr dht::LogIndex blocks = 16;
  auto fill = [](dht::LogIndex first, char letter) {
    std::vector<dht::Entry> entries;
    for (dht::LogIndex i = 0; i < blocks; ++i)
      entries.push_back(batch_entry(first + i, {put("c", std::to_string(i), pattern(1 << 20, letter))}));
    return entries;
  };
  run(first_partition, fill(1, 'a'));
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, blocks)));
  const dht::LogIndex erasing = blocks + 1;
  ASSERT_TRUE(wait_write(
      *store,
      append_write(first_partition, {batch_entry(erasing, {mutation(Mutation::Kind::erase_prefix, "c", "")})})));
  ASSERT_TRUE(wait_apply(*store, first_partition, erasing));  // without a sync
  run(first_partition, fill(erasing + 1, 'b'));               // another 16 MiB do not fit
  EXPECT_EQ(value_of(*store, first_partition, "c", "7"), pattern(1 << 20, 'b'));
  EXPECT_EQ(store->status().room, dht::Room::ample);
}

TEST_F(StoreOnTmpfs, Disk_Full_TheStoreCanStillBeClosed) {
  options.reserve_bytes = 0;
  open();
  std::atomic<dht::LogIndex> written{0};
  std::atomic<int> refused{0};
  for (dht::LogIndex i = 1; i <= 100; ++i) {
    store->write(append_write(first_partition, {batch_entry(i, {put("c", "x", pattern(1 << 19, 'a'))})}),
                 [&](const Status& status) {
                   if (status) ++written;
                   if (!status && status.error().code == ErrorCode::no_space) ++refused;
                 });
  }
  store.reset();
  EXPECT_GT(written, 0u);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(static_cast<dht::LogIndex>(refused) + written, 100u);
  ASSERT_EQ(mount("tmpfs", directory.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0) << std::strerror(errno);
  open();
  EXPECT_GE(node.groups.at(0).log.size(), written.load());
}

// Payloads and small values are written until the store is short of room, then erased, without a restart.
TEST_F(StoreOnTmpfs, Disk_Filled_WhatIsRemovedGoesBackToTheDisk) {
  options.reserve_bytes = 8 << 20;
  open();
  const std::uint64_t before = free_on_disk();
  dht::LogIndex last = 0;
  while (last < 1000 && store->status().room == dht::Room::ample) {
    ++last;
    const std::string key = std::to_string(last);
    run(first_partition,
        {batch_entry(last, {put("c", key, pattern(1 << 18, 'a')), put("d", key, pattern(12 << 10, 'b'))})});
  }
  EXPECT_LT(free_on_disk(), std::uint64_t{10} << 20);
  EXPECT_LT(store->status().disk_free_bytes, std::uint64_t{1} << 20);  // that can still be written
  ++last;
  run(first_partition, {batch_entry(last, {mutation(Mutation::Kind::erase_prefix, "c", ""),
                                           mutation(Mutation::Kind::erase_prefix, "d", "")})});
  ASSERT_TRUE(wait_write(*store, compact_write(first_partition, last)));
  for (int i = 0;
       i < 200 && (store->status().room != dht::Room::ample || free_on_disk() + (std::uint64_t{12} << 20) < before);
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_EQ(store->status().room, dht::Room::ample);
  EXPECT_GE(free_on_disk() + (std::uint64_t{12} << 20), before);
}

// Others may leave no room at all. With its reserve file the store can start and remove.
TEST_F(StoreOnTmpfs, Disk_FilledByOthers_TheStoreStartsAndTakesWhatNeedsNoRoom) {
  options.reserve_bytes = 16 << 20;
  open();
  run(first_partition, {batch_entry(1, {put("c", "x", pattern(1 << 18, 'a'))})});
  store.reset();
  ASSERT_TRUE(std::filesystem::exists(directory / "ringfs.reserve"));
  std::ofstream ballast(directory / "ballast");
  const std::string piece(4096, 'x');
  while (ballast.write(piece.data(), 4096).flush()) {
  }
  ASSERT_EQ(free_on_disk(), 0u);
  open();
  EXPECT_EQ(node.incarnation.counter, 2u);
  EXPECT_EQ(store->status().room, dht::Room::reserve);
  EXPECT_EQ(value_of(*store, first_partition, "c", "x"), pattern(1 << 18, 'a'));
  run(first_partition, {batch_entry(2, {mutation(Mutation::Kind::erase, "c", "x")})});
  EXPECT_EQ(value_of(*store, first_partition, "c", "x"), std::nullopt);
}

TEST_F(StoreOnTmpfs, Disk_FullBeforeTheDatabaseExists_IsNoSpace) {
  std::ofstream ballast(directory / "ballast");
  ballast << std::string(40 << 20, 'x');
  ballast.close();
  EXPECT_EQ(open_error().code, ErrorCode::no_space);
  std::filesystem::remove(directory / "ballast");
  open();
  EXPECT_EQ(node.incarnation.counter, 1u);
}

}  // namespace
}  // namespace ringfs::nodes
