// How much room the disk has, measured by a thread of its own and by the writer, and kept for whoever asks.
//
// Why a thread: statvfs(2) and stat(2) can hang on a failing disk, and status() is called on the protocol's loop. Why
// the writer, too: at full speed the reserve is used up in less than a second, so the writer measures after every MiB
// that it writes. A transaction that found no space says so at once. What is queued for the writer counts as used.
//
// The levels of Room (dht/core/protocol/room.hpp) are parts of reserve_bytes, 64 MiB: two generations of a WAL of 24
// MiB, and as much growth of the database as they bring. `ample`: all of it is left (and a quarter more before the
// level is `ample` again); `low`: a half; `reserve`: a sixteenth; `none`: less. A quarter of it is reserved in a file
// (ballast.hpp) until it is needed.
//
// Threads: any. Errors: none; what cannot be measured keeps its last value.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "dht/net/runtime/storage.hpp"
#include "nodes/store/ballast.hpp"

namespace ringfs::nodes {

class StoreSpace {
 public:
  // Measures before it returns. reserve_bytes: see above.
  StoreSpace(std::filesystem::path directory, std::uint64_t reserve_bytes);
  ~StoreSpace();

  dht::StorageStatus status() const;  // of the last measurement, normally less than a second old

  // ---- For the writer ----
  void written(std::size_t bytes);  // measures after every MiB
  void queued(std::size_t bytes);   // on any thread; dequeued when it was written
  void dequeued(std::size_t bytes);
  void set_reusable(std::uint64_t bytes);  // free room inside the database and the file of payloads
  void set_waiting(bool waiting);          // true: a transaction found no space and waits for it

 private:
  void run();
  void measure();
  void settle();  // under mutex_; updates what follows from the numbers
  dht::Room room_now() const;

  const std::filesystem::path directory_;
  const std::uint64_t reserve_bytes_;
  std::size_t unmeasured_bytes_ = 0;  // of the writer

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  dht::StorageStatus status_;
  std::uint64_t left_bytes_ = UINT64_MAX;  // on the disk itself
  std::uint64_t reusable_bytes_ = 0;
  std::uint64_t queued_bytes_ = 0;
  StoreBallast ballast_;
  dht::Room room_ = dht::Room::ample;
  bool waiting_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes
