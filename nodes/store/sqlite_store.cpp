#include "nodes/store/sqlite_store.hpp"

#include <spdlog/spdlog.h>

#include "nodes/store/ballast.hpp"
#include "nodes/store/files/lock.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/readers.hpp"
#include "nodes/store/repair/scrub.hpp"
#include "nodes/store/rows/chunks.hpp"
#include "nodes/store/rows/persisted.hpp"
#include "nodes/store/snapshot.hpp"
#include "nodes/store/space.hpp"
#include "nodes/store/start.hpp"
#include "nodes/store/writer.hpp"

namespace ringfs::nodes {

namespace {

// Whatever is wrong names the file.
Error with_path(const Error& error, const std::filesystem::path& directory) {
  std::string file = (directory / database_file_name).string();
  if (error.context.find(directory.string()) != std::string::npos) return error;
  std::string words = error.code == ErrorCode::corrupt ? " is damaged: " : ": ";
  return {error.code, file + words + error.context};
}

}  // namespace

// The members close in the reverse order: who reads first, then the writer with what is queued, then the lock.
class SqliteStore::Implementation {
 public:
  Implementation(std::filesystem::path path, DirectoryLock lock, StartedStore started,
                 const SqliteStoreOptions& store_options)
      : directory(std::move(path)),
        options(store_options),
        note(std::move(started.note)),
        directory_lock(std::move(lock)),
        payload_file(std::move(started.payload_file)),
        space(directory, options.reserve_bytes),
        checkpointer(directory, health, options.synchronous_off),
        writer(std::move(started.connection), *payload_file, started.node.id, options, health, checkpointer, space,
               hot_rows, row_watch),
        snapshots(directory, options, *payload_file, health),
        readers(directory, options.reader_threads, *payload_file, health, hot_rows),
        scrub(directory, *payload_file, health, row_watch, options.scrub) {}

  const std::filesystem::path directory;
  const SqliteStoreOptions options;
  const std::string note;
  DirectoryLock directory_lock;
  const std::unique_ptr<PayloadFile> payload_file;
  StoreHealth health;
  StoreSpace space;
  HotRows hot_rows;
  RowWatch row_watch;
  Checkpointer checkpointer;
  StoreWriter writer;
  StoreSnapshots snapshots;
  StoreReaders readers;
  StoreScrub scrub;
};

SqliteStore::SqliteStore(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}

SqliteStore::~SqliteStore() = default;

Result<SqliteStore::Opened> SqliteStore::open(const std::filesystem::path& directory, Random& random,
                                              SqliteStoreOptions options) {
  if (Status made = make_directory(directory); !made) return tl::unexpected<Error>(made.error());
  Result<Opened> opened = open_once(directory, random, options);
  if (opened || opened.error().code != ErrorCode::no_space) return opened;
  // Its start needs a little room, and what it serves then may give more back.
  if (!StoreBallast(directory, 0).release()) return opened;
  spdlog::warn("event=reserve_released reason=\"{}\"", opened.error().text());
  return open_once(directory, random, options);
}

Result<SqliteStore::Opened> SqliteStore::open_once(const std::filesystem::path& directory, Random& random,
                                                   const SqliteStoreOptions& options) {
  Result<DirectoryLock> lock = DirectoryLock::acquire(directory);
  if (!lock) return tl::unexpected<Error>(lock.error());
  try {
    StartedStore started = start_store(directory, random, options);
    Opened opened;
    opened.damaged = started.damaged;
    opened.node = started.node;
    if (Status synced = sync_directory(directory); !synced) return tl::unexpected<Error>(synced.error());
    auto implementation = std::make_unique<Implementation>(directory, std::move(*lock), std::move(started), options);
    opened.store = std::unique_ptr<SqliteStore>(new SqliteStore(std::move(implementation)));
    return opened;
  } catch (const StoreFailure& failure) {
    return tl::unexpected<Error>(with_path(failure.error(), directory));
  }
}

void SqliteStore::write(dht::Write write, std::function<void(Status)> done) {
  implementation_->writer.write(std::move(write), std::move(done));
}

void SqliteStore::apply(dht::Apply apply, std::function<void(Result<std::vector<dht::AppliedBatch>>)> done) {
  implementation_->writer.apply(apply, std::move(done));
}

void SqliteStore::read(dht::ReadEffect read, std::function<void(Result<dht::ReadAnswer>)> done) {
  implementation_->readers.read(std::move(read), std::move(done));
}

std::optional<dht::ReadAnswer> SqliteStore::read_now(const dht::ReadEffect& read) {
  return implementation_->hot_rows.answer(read.partition, read.request);
}

void SqliteStore::load(dht::LoadEntries load, std::function<void(Result<std::vector<dht::Entry>>)> done) {
  implementation_->readers.load(load, std::move(done));
}

void SqliteStore::snapshot_read(dht::SnapshotRead read, std::function<void(Result<dht::SnapshotData>)> done) {
  implementation_->snapshots.read(read, std::move(done));
}

Status SqliteStore::check(const SharedBytes& rows, const std::vector<SharedBytes>& blobs) const {
  return check_chunk(rows, blobs);
}

void SqliteStore::watch_damage(std::function<void(dht::FoundDamage)> found) {
  implementation_->scrub.start(std::move(found));
}

dht::StorageStatus SqliteStore::status() {
  dht::StorageStatus status = implementation_->space.status();
  status.failure = implementation_->health.failure();
  status.note = implementation_->note;
  implementation_->scrub.count(status);
  return status;
}

}  // namespace ringfs::nodes
