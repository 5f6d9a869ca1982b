// The thread of checkpoints, and the checkpoints of the writer.
#include "nodes/store/checkpoint.hpp"

#include <pthread.h>

#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

Result<bool> Checkpointer::checkpoint(Connection& connection, int mode) {
  int pages = 0;
  int moved = 0;
  int code = sqlite3_wal_checkpoint_v2(connection.raw(), "main", mode, &pages, &moved);
  if (code == SQLITE_OK) {
    if (pages == moved) complete_.store(true);
    return pages == moved;
  }
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED || code == SQLITE_FULL) return false;
  try {
    connection.raise(code, "checkpoint");
  } catch (const StoreFailure& failure) {
    return tl::unexpected<Error>(failure.error());
  }
}

Checkpointer::Checkpointer(const std::filesystem::path& directory, StoreHealth& health, bool synchronous_off)
    : health_(health), connection_(open_checkpointer(directory, synchronous_off)), thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  // The last connection to close moves the whole WAL. After a failure nothing may be moved.
  if (health_.failure()) sqlite3_db_config(connection_->raw(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

void Checkpointer::request() {
  {
    std::lock_guard lock(mutex_);
    requested_ = true;
  }
  wake_.notify_one();
}

Result<bool> Checkpointer::by_writer(Connection& connection, int mode) {
  std::unique_lock gate(gate_, std::defer_lock);
  if (mode != SQLITE_CHECKPOINT_PASSIVE) {
    gate.lock();
  } else if (!gate.try_lock()) {
    return false;
  }
  return checkpoint(connection, mode);
}

void Checkpointer::run() {
  pthread_setname_np(pthread_self(), "store-checkpnt");
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return requested_ || stopping_; });
      if (stopping_) return;
      requested_ = false;
    }
    if (health_.failure()) continue;
    std::unique_lock gate(gate_, std::try_to_lock);
    if (!gate || complete_.load()) continue;
    if (Result<bool> done = checkpoint(*connection_, SQLITE_CHECKPOINT_PASSIVE); !done) health_.fail(done.error());
  }
}

}  // namespace ringfs::nodes
