// How much room the disk has: measured by a thread of its own and by the writer, kept for everybody who asks.
//
// Why a thread: statvfs() and stat() can hang on a disk that is in trouble, and status() is asked for on the protocol's
// loop. Why the writer as well: at full speed the reserve is used up in less than a second, so it measures after every
// MiB that it has written. A transaction that found no space says so here, and nobody has to wait for a measurement.
// What is queued for the writer is taken off: it will need its room.
//
// The marks of Room (dht/core/protocol/room.hpp), in parts of reserve_bytes (64 MiB: two generations of the WAL of 24
// MiB, and as much growth of the database as they bring): ample from all of it on (and a quarter more to be ample
// again), low from a half, reserve from a sixteenth, and less is none. A quarter is held in a file of its own
// (ballast.hpp) until it is needed.
//
// Threads: any. Errors: none; what cannot be measured stays as it was.
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
  // Measures before it returns. reserve_bytes: less than this left is no_space.
  StoreSpace(std::filesystem::path directory, std::uint64_t reserve_bytes);
  ~StoreSpace();

  dht::StorageStatus status() const;  // as of the last measurement, at most about a second ago

  // Of the writer:
  void written(std::size_t bytes);  // measures now and then
  void queued(std::size_t bytes);   // from any thread; dequeued when it is written
  void dequeued(std::size_t bytes);
  void set_reusable(std::uint64_t bytes);  // free room inside the database and the file of payloads
  void set_waiting(bool waiting);          // a transaction found no space and waits for it

 private:
  void run();
  void measure();
  void settle();  // under mutex_: what follows from the numbers
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
