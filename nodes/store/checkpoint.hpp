// Moves pages from the WAL into the database while the writer goes on, so that the WAL can start over instead of
// growing.
//
// Why a thread: a checkpoint copies pages and syncs the database, which takes milliseconds. Only a WAL that was moved
// completely starts over. What the thread leaves, because it was written meanwhile, the writer moves itself once the
// WAL is long. An open read transaction of a snapshot holds the WAL until it ends.
//
// There are never two checkpoints at once, and none while there is nothing to move. SQLite before 3.51.3 can lose pages
// when a second checkpoint begins while a commit starts over the WAL that the first one has moved completely ("the
// WAL-reset bug", sqlite.org/wal.html). A commit starts the WAL over only between a checkpoint that moved everything
// and the end of that commit. `complete_` is set during that time, and the thread begins no checkpoint while it is set.
// A checkpoint by the writer cannot race with a commit, since the writer is who commits. If `complete_` is set a moment
// too late, it outlasts the commit; the thread then waits for one more commit.
//
// Threads: one of its own; request() on any; by_writer() and committed() on the writer's. Errors: a failed disk marks
// the StoreHealth; after a full disk it is tried again.
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

  // A checkpoint on the writer's connection. True: the WAL is moved completely. False: it is not, or SQLite is busy,
  // the disk is full, or the thread is at a checkpoint (only SQLITE_CHECKPOINT_PASSIVE; other modes wait for it).
  // Errors: io_error, corrupt.
  Result<bool> by_writer(Connection& connection, int mode);
  void committed() { complete_.store(false); }
  bool complete() const { return complete_.load(); }

 private:
  void run();
  Result<bool> checkpoint(Connection& connection, int mode);  // with gate_ held
  StoreHealth& health_;
  std::unique_ptr<Connection> connection_;
  std::mutex gate_;                    // held during a checkpoint
  std::atomic<bool> complete_{false};  // the whole WAL was moved, and no commit came since
  std::mutex mutex_;
  std::condition_variable wake_;
  bool requested_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes
