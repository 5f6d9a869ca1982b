// What a store can be told when it is opened (sqlite_store.hpp), each with its unit and default.
#pragma once

#include <chrono>

#include "dht/base/time.hpp"
#include "dht/core/rows/evaluate.hpp"
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

}  // namespace ringfs::nodes
