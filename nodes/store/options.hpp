// The options of a store (sqlite_store.hpp).
#pragma once

#include <chrono>

#include "dht/base/time.hpp"
#include "dht/core/rows/evaluate.hpp"
#include "nodes/store/repair/scrub_options.hpp"

namespace ringfs::nodes {

struct SqliteStoreOptions {
  std::uint64_t reserve_bytes = 64 << 20;  // bytes left on the disk; below this the node takes in less (space.hpp)
  unsigned reader_threads = 2;
  std::size_t entry_cache_bytes = 64 << 20;  // memory for appended entries until they are applied
  std::size_t transaction_items = 512;       // at most, writes and applies of one transaction
  std::size_t transaction_bytes = 8 << 20;
  // Where the payloads of one transaction together have fewer bytes than this, they go into the database: writing them
  // twice (WAL and database) is cheaper than syncing a second file.
  std::size_t payload_file_bytes = 128 << 10;
  std::size_t snapshot_chunk_bytes = 512 << 10;
  std::size_t snapshot_sessions = 8;  // at most, open read transactions of snapshots
  Duration snapshot_idle = std::chrono::seconds(30);
  ScrubOptions scrub;
  unsigned page_bytes = 4096;  // of a new database
  // Copy the database, verified, before it is used (nodes/store/repair/copy.hpp): damage was found in what all
  // partitions share.
  bool rebuild = false;
  // For tests only (docs/design.md#proof-by-simulation).
  dht::EvaluateFaults faults;
  bool synchronous_off = false;  // no fsync of writes and checkpoints
};

}  // namespace ringfs::nodes
