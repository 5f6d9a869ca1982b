// A node's durable state in one SQLite database: genesis, groups, logs, rows and small payloads. The bytes of large
// payloads lie in a file beside it (nodes/store/files/payload_file.hpp, docs/disk-format.md).
//
// Why one database: all that one turn of the driver's loop wants durable, of any number of groups, is one transaction
// and one fsync. Writes are synced when they commit. Applies are not when they are alone: a crash may lose the last of
// them, and the log gives them again.
//
// Threads: open() and the destructor on one thread each; every other method on any thread. `done` functions run on the
// store's threads. They must not block, throw or destroy the store. Its threads: one writer (writer.hpp), readers
// (readers.hpp), one each for snapshots (snapshot.hpp), checkpoints (checkpoint.hpp), free space (space.hpp) and the
// scrub (repair/scrub.hpp).
//
// Errors:
// - open: invalid_argument (the directory cannot be used), overloaded (another process uses it), corrupt (no database
//   of RingFS, or a damaged one), version_mismatch (a newer format), io_error, no_space.
// - write: io_error, corrupt, internal; the store then refuses all further work.
// - apply: corrupt names the row or the entry.
// - A full disk is no error of write or apply: they wait for space (dht/net/runtime/storage.hpp).
// - read, load, snapshot_read: not_member, not_found (the log has no such entry), corrupt, unavailable (start the
//   snapshot over), overloaded (too many snapshots), and what execute_read gives.
//
// Limits: SqliteStoreOptions. The destructor carries out what is queued, then moves the WAL into the database. What
// finds no space then fails with no_space.
#pragma once

#include <filesystem>
#include <map>
#include <memory>

#include "dht/base/random.hpp"
#include "dht/net/runtime/storage.hpp"
#include "nodes/store/options.hpp"

namespace ringfs::nodes {

// Its methods are those of dht::Storage; the class that has them is in sqlite_store.cpp.
class SqliteStore : public dht::Storage {
 public:
  struct Opened {
    std::unique_ptr<SqliteStore> store;
    dht::PersistedNode node;
    // The damage of groups, found by this start or earlier: of some rows, of the log, or of everything.
    // PersistedGroup::damage says what is left. A log that was damaged only up to the applied index is in here, too: it
    // was compacted, and the group has no damage.
    std::map<PartitionId, Error> damaged;
  };

  // Creates the directory (mode 0700) and the database when there is none. Raises the incarnation, durably.
  static Result<Opened> open(const std::filesystem::path& directory, Random& random, SqliteStoreOptions options = {});
};

}  // namespace ringfs::nodes
