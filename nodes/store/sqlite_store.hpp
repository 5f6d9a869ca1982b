// The durable state of a node in one SQLite database, genesis, groups, logs, rows and payloads, and the bytes of large
// payloads in a file beside it (nodes/store/files/payload_file.hpp, docs/disk-format.md).
//
// Why one database: what one turn of the driver's loop wants durable, of however many groups, is one transaction and
// one fsync. Writes run with synchronous=FULL; applies, when no write is waiting, with NORMAL: a crash may lose the
// last of them, the log gives them again.
//
// Threads: open() and the destructor on any one thread; everything else from one thread (the driver's loop) or several.
// `done` functions run on the store's threads and must not block, throw or call into the store's destructor. One writer
// thread (writer.hpp), readers (readers.hpp), one for snapshots (snapshot.hpp), one for checkpoints.
//
// Errors: open: invalid_argument (the directory cannot be used), overloaded (another process uses it), corrupt (not a
// database of RingFS, damaged), version_mismatch (format of a newer program), io_error, no_space.
// write: io_error, corrupt, internal: after these the store refuses all further work. apply: corrupt names the row or
// entry. A full disk is no error of either: they wait for space (storage.hpp). read, load, snapshot_read: not_member,
// not_found (entry not in the log), corrupt, unavailable (a snapshot to be started over), overloaded (too many
// snapshots), whatever execute_read says. Limits: SqliteStoreOptions. Destruction finishes what was given, checkpoints
// and closes; what finds no space then fails with no_space.
#pragma once

#include <filesystem>
#include <map>
#include <memory>

#include "dht/base/random.hpp"
#include "dht/core/rows/evaluate.hpp"
#include "dht/net/runtime/storage.hpp"
#include "nodes/store/repair/scrub_options.hpp"

namespace ringfs::nodes {

struct SqliteStoreOptions {
  std::uint64_t reserve_bytes = 64 << 20;  // less disk than this left: status().no_space
  unsigned reader_threads = 2;
  std::size_t entry_cache_bytes = 64 << 20;  // appended entries kept until they are applied
  std::size_t transaction_items = 512;       // writes and applies in one transaction
  std::size_t transaction_bytes = 8 << 20;
  // Entries of a transaction whose payloads are less than this keep them in the database: to write those twice costs
  // less than to sync a second file.
  std::size_t payload_file_bytes = 128 << 10;
  std::size_t snapshot_chunk_bytes = 512 << 10;
  std::size_t snapshot_sessions = 8;  // read transactions of snapshots open at once
  Duration snapshot_idle = std::chrono::seconds(30);
  ScrubOptions scrub;
  unsigned page_bytes = 4096;  // of a database that is created
  // Copy the database, verified, before it is used (nodes/store/repair/copy.hpp): damage was met in what all partitions
  // share.
  bool rebuild = false;
  // Test-only switches (docs/design.md#proof-by-simulation).
  dht::EvaluateFaults faults;
  bool synchronous_off = false;  // no fsync of what is written and moved
};

class SqliteStore : public dht::Storage {
 public:
  struct Opened {
    std::unique_ptr<SqliteStore> store;
    dht::PersistedNode node;
    // What is wrong with groups, found now or before: some of their rows, their logs, or all of them.
    // PersistedGroup::damage says what of each is left; a log that was damaged below the applied index alone was cut
    // there, and damages nothing.
    std::map<PartitionId, Error> damaged;
  };

  // Creates the directory (mode 0700) and the database when there is none. Raises the incarnation, durably.
  static Result<Opened> open(const std::filesystem::path& directory, Random& random, SqliteStoreOptions options = {});

  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  void write(dht::Write write, std::function<void(Status)> done) override;
  void apply(dht::Apply apply, std::function<void(Result<std::vector<dht::AppliedBatch>>)> done) override;
  void read(dht::ReadEffect read, std::function<void(Result<dht::ReadAnswer>)> done) override;
  std::optional<dht::ReadAnswer> read_now(const dht::ReadEffect& read) override;
  void load(dht::LoadEntries load, std::function<void(Result<std::vector<dht::Entry>>)> done) override;
  void snapshot_read(dht::SnapshotRead read, std::function<void(Result<dht::SnapshotData>)> done) override;
  Status check(const SharedBytes& rows, const std::vector<SharedBytes>& blobs) const override;
  void watch_damage(std::function<void(dht::FoundDamage)> found) override;
  dht::StorageStatus status() override;

 private:
  class Implementation;
  static Result<Opened> open_once(const std::filesystem::path& directory, Random& random,
                                  const SqliteStoreOptions& options);
  explicit SqliteStore(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::nodes
