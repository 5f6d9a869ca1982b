// Moves pages from the WAL to the database beside the writer, so that the WAL starts over instead of growing.
//
// Why a thread of its own: a checkpoint copies pages and syncs the database, milliseconds in which the writer goes on.
// What it leaves (pages written meanwhile) the writer moves itself once the WAL is long: only a WAL that was moved
// completely starts over. An open read transaction of a snapshot holds the WAL: it then grows by what is written until
// that ends.
//
// Never two at once, and none that has nothing to move: SQLite before 3.51.3 can lose pages when a second checkpoint
// begins while a commit starts the WAL over that the first one has just moved completely ("the WAL-reset bug",
// sqlite.org/wal.html). A commit can start the WAL over only between a checkpoint that moved everything and the end of
// that commit; `complete_` is set in just that time, and the thread begins no checkpoint while it is. The writer's own
// checkpoints cannot race with a commit: it is the thread that commits. (Set a moment too late it may outlast the
// commit: then the thread waits for one more.)
//
// Threads: one of its own; request() from any, by_writer() and committed() from the writer's. Errors: a disk that fails
// marks the StoreHealth; a full one is tried again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "nodes/store/files/sqlite_handle.hpp"
#include "nodes/store/repair/health.hpp"

namespace ringfs::nodes {

class Checkpointer {
 public:
  Checkpointer(const std::filesystem::path& directory, StoreHealth& health, bool synchronous_off = false);
  ~Checkpointer();
  void request();

  // A checkpoint on the writer's connection. true: the WAL is moved completely; false: not, or this one was not done
  // because the thread is at it (SQLITE_CHECKPOINT_PASSIVE; other modes wait for it), or busy, or the disk is full.
  // Errors: io_error, corrupt.
  Result<bool> by_writer(Connection& connection, int mode);
  void committed() { complete_.store(false); }
  bool complete() const { return complete_.load(); }

 private:
  void run();
  Result<bool> checkpoint(Connection& connection, int mode);  // with gate_ held
  StoreHealth& health_;
  std::unique_ptr<Connection> connection_;
  std::mutex gate_;                    // one checkpoint at a time
  std::atomic<bool> complete_{false};  // all of the WAL was moved, and nothing committed since
  std::mutex mutex_;
  std::condition_variable wake_;
  bool requested_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes
