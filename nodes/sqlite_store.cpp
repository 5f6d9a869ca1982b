#include "nodes/sqlite_store.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <chrono>
#include <mutex>

#include "nodes/store_lock.hpp"
#include "nodes/store_persisted.hpp"
#include "nodes/store_readers.hpp"
#include "nodes/store_snapshot.hpp"
#include "nodes/store_writer.hpp"

namespace ringfs {

namespace {

constexpr auto status_life = std::chrono::seconds(1);

std::uint64_t file_bytes(const std::filesystem::path& file) {
  struct stat status {};
  return stat(file.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

}  // namespace

// The members close in the reverse order: who reads first, then the writer with what is queued, then the lock.
class SqliteStore::Implementation {
 public:
  Implementation(std::filesystem::path path, DirectoryLock lock, std::unique_ptr<Connection> connection,
                 const Uuid& node, const SqliteStoreOptions& store_options)
      : directory(std::move(path)),
        options(store_options),
        directory_lock(std::move(lock)),
        checkpointer(directory, health),
        writer(std::move(connection), node, options, health, checkpointer),
        snapshots(directory, options, health),
        readers(directory, options.reader_threads, health) {}

  StorageStatus measure();

  const std::filesystem::path directory;
  const SqliteStoreOptions options;
  DirectoryLock directory_lock;
  StoreHealth health;
  Checkpointer checkpointer;
  StoreWriter writer;
  StoreSnapshots snapshots;
  StoreReaders readers;

  std::mutex status_mutex;
  StorageStatus last_status;
  std::optional<std::chrono::steady_clock::time_point> status_measured;
};

StorageStatus SqliteStore::Implementation::measure() {
  StorageStatus status;
  // stat() only: opening and closing the file here would drop SQLite's POSIX locks on it.
  std::string file = (directory / database_file_name).string();
  status.database_bytes = file_bytes(file) + file_bytes(file + "-wal");
  struct statvfs disk {};
  if (statvfs(directory.c_str(), &disk) != 0) return status;
  std::uint64_t left = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  // Free pages inside the database take new rows, but the WAL that brings them there needs some real space, too.
  std::uint64_t reusable = writer.reusable_bytes();
  status.disk_total_bytes = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
  status.disk_free_bytes = left + reusable;
  constexpr std::uint64_t wal_share = 4;
  status.no_space = left + reusable < options.reserve_bytes || left < options.reserve_bytes / wal_share;
  struct stat of_directory {};
  if (stat(directory.c_str(), &of_directory) == 0) status.disk_id = static_cast<std::uint64_t>(of_directory.st_dev);
  return status;
}

SqliteStore::SqliteStore(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}

SqliteStore::~SqliteStore() = default;

Result<SqliteStore::Opened> SqliteStore::open(const std::filesystem::path& directory, Random& random,
                                              SqliteStoreOptions options) {
  if (Status made = make_directory(directory); !made) return tl::unexpected<Error>(made.error());
  Result<DirectoryLock> lock = DirectoryLock::acquire(directory);
  if (!lock) return tl::unexpected<Error>(lock.error());
  try {
    std::unique_ptr<Connection> connection = open_database(directory, options.page_bytes);
    Opened opened;
    opened.node = load_persisted(*connection, random);
    if (Status synced = sync_directory(directory); !synced) return tl::unexpected<Error>(synced.error());
    auto implementation =
        std::make_unique<Implementation>(directory, std::move(*lock), std::move(connection), opened.node.id, options);
    opened.store = std::unique_ptr<SqliteStore>(new SqliteStore(std::move(implementation)));
    return opened;
  } catch (const StoreFailure& failure) {
    return tl::unexpected<Error>(failure.error());
  }
}

void SqliteStore::write(Write write, std::function<void(Status)> done) {
  implementation_->writer.write(std::move(write), std::move(done));
}

void SqliteStore::apply(Apply apply, std::function<void(Result<std::vector<AppliedBatch>>)> done) {
  implementation_->writer.apply(apply, std::move(done));
}

void SqliteStore::read(ReadEffect read, std::function<void(Result<ReadAnswer>)> done) {
  implementation_->readers.read(std::move(read), std::move(done));
}

void SqliteStore::load(LoadEntries load, std::function<void(Result<std::vector<Entry>>)> done) {
  implementation_->readers.load(load, std::move(done));
}

void SqliteStore::snapshot_read(SnapshotRead read, std::function<void(Result<SnapshotData>)> done) {
  implementation_->snapshots.read(read, std::move(done));
}

StorageStatus SqliteStore::status() {
  std::lock_guard lock(implementation_->status_mutex);
  auto now = std::chrono::steady_clock::now();
  if (!implementation_->status_measured || now - *implementation_->status_measured >= status_life) {
    implementation_->last_status = implementation_->measure();
    implementation_->status_measured = now;
  }
  implementation_->last_status.failure = implementation_->health.failure();
  return implementation_->last_status;
}

}  // namespace ringfs
