// Moves pages from the WAL to the database beside the writer, so that the WAL starts over instead of growing.
//
// Why a thread of its own: a checkpoint copies pages and syncs the database, milliseconds in which the writer goes on.
// What it leaves (pages written meanwhile) the writer moves itself once the WAL is long: only a WAL that was moved
// completely starts over. An open read transaction of a snapshot holds the WAL: it then grows by what is written until
// that ends.
//
// Threads: one of its own; request() from any. Errors: a disk that fails marks the StoreHealth; a full one is tried
// again.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <thread>

#include "nodes/sqlite_handle.hpp"
#include "nodes/store_health.hpp"

namespace ringfs {

// Runs a checkpoint on this connection. true: the WAL is moved completely. Errors: io_error, corrupt; a busy or full
// disk is false.
Result<bool> checkpoint(Connection& connection, int mode);

class Checkpointer {
 public:
  Checkpointer(const std::filesystem::path& directory, StoreHealth& health);
  ~Checkpointer();
  void request();

 private:
  void run();
  StoreHealth& health_;
  std::unique_ptr<Connection> connection_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool requested_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs
