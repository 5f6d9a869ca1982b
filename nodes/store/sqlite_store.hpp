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
#include "dht/net/runtime/storage.hpp"
#include "nodes/store/options.hpp"

namespace ringfs::nodes {

// What open() gives implements the rest of dht::Storage: the class is in sqlite_store.cpp.
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
};

}  // namespace ringfs::nodes
