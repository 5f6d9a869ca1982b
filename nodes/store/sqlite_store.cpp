// The store as a whole: its parts, in the order in which they start and stop, and how it is opened.
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

// The error names the file, if it does not name one already.
Error with_path(const Error& error, const std::filesystem::path& directory) {
  std::string file = (directory / database_file_name).string();
  if (error.context.find(directory.string()) != std::string::npos) return error;
  std::string words = error.code == ErrorCode::corrupt ? " is damaged: " : ": ";
  return {error.code, file + words + error.context};
}

// Members are destroyed in reverse order: the scrub and the readers first, then the writer with what is queued, and the
// lock last.
class OpenStore final : public SqliteStore {
 public:
  OpenStore(const std::filesystem::path& directory, DirectoryLock lock, StartedStore started,
            const SqliteStoreOptions& options)
      : note_(std::move(started.note)),
        lock_(std::move(lock)),
        payload_file_(std::move(started.payload_file)),
        space_(directory, options.reserve_bytes),
        checkpointer_(directory, health_, options.synchronous_off),
        writer_(std::move(started.connection), *payload_file_, started.node.id, options, health_, checkpointer_, space_,
                hot_rows_, row_watch_),
        snapshots_(directory, options, *payload_file_, health_),
        readers_(directory, options.reader_threads, *payload_file_, health_, hot_rows_),
        scrub_(directory, *payload_file_, health_, row_watch_, options.scrub) {}

  void write(dht::Write write, std::function<void(Status)> done) override {
    writer_.write(std::move(write), std::move(done));
  }
  void apply(dht::Apply apply, std::function<void(Result<std::vector<dht::AppliedBatch>>)> done) override {
    writer_.apply(apply, std::move(done));
  }
  void read(dht::ReadEffect read, std::function<void(Result<dht::ReadAnswer>)> done) override {
    readers_.read(std::move(read), std::move(done));
  }
  std::optional<dht::ReadAnswer> read_now(const dht::ReadEffect& read) override {
    return hot_rows_.answer(read.partition, read.request);
  }
  void load(dht::LoadEntries load, std::function<void(Result<std::vector<dht::Entry>>)> done) override {
    readers_.load(load, std::move(done));
  }
  void snapshot_read(dht::SnapshotRead read, std::function<void(Result<dht::SnapshotData>)> done) override {
    snapshots_.read(read, std::move(done));
  }
  Status check(const SharedBytes& rows, const std::vector<SharedBytes>& blobs) const override {
    return check_chunk(rows, blobs);
  }
  void watch_damage(std::function<void(dht::FoundDamage)> found) override { scrub_.start(std::move(found)); }
  dht::StorageStatus status() override {
    dht::StorageStatus status = space_.status();
    status.failure = health_.failure();
    status.note = note_;
    scrub_.count(status);
    return status;
  }

 private:
  const std::string note_;
  const DirectoryLock lock_;
  const std::unique_ptr<PayloadFile> payload_file_;
  StoreHealth health_;
  StoreSpace space_;
  HotRows hot_rows_;
  RowWatch row_watch_;
  Checkpointer checkpointer_;
  StoreWriter writer_;
  StoreSnapshots snapshots_;
  StoreReaders readers_;
  StoreScrub scrub_;
};

Result<SqliteStore::Opened> open_once(const std::filesystem::path& directory, Random& random,
                                      const SqliteStoreOptions& options) {
  Result<DirectoryLock> lock = DirectoryLock::acquire(directory);
  if (!lock) return tl::unexpected<Error>(lock.error());
  try {
    StartedStore started = start_store(directory, random, options);
    SqliteStore::Opened opened;
    opened.damaged = started.damaged;
    opened.node = started.node;
    if (Status synced = sync_directory(directory); !synced) return tl::unexpected<Error>(synced.error());
    opened.store = std::make_unique<OpenStore>(directory, std::move(*lock), std::move(started), options);
    return opened;
  } catch (const StoreFailure& failure) {
    return tl::unexpected<Error>(with_path(failure.error(), directory));
  }
}

}  // namespace

Result<SqliteStore::Opened> SqliteStore::open(const std::filesystem::path& directory, Random& random,
                                              SqliteStoreOptions options) {
  if (Status made = make_directory(directory); !made) return tl::unexpected<Error>(made.error());
  Result<Opened> opened = open_once(directory, random, options);
  if (opened || opened.error().code != ErrorCode::no_space) return opened;
  // A start needs a little room, and a running node can free more (compaction, unlink).
  if (!StoreBallast(directory, 0).release()) return opened;
  spdlog::warn("event=reserve_released reason=\"{}\"", opened.error().text());
  return open_once(directory, random, options);
}

}  // namespace ringfs::nodes
