// Opens what a node has on its disk, and mends it where that can be done without the ring.
//
// A database of an older format is copied once, so that its pages have sums; without room for that the node runs on
// with what it has and says so (`note`). Damage in what all partitions share is met by a verified copy, once; what that
// could not take is among the damaged groups. Threads: none of its own, before the store's. Errors: StoreFailure as
// SqliteStore::open.
#pragma once

#include "nodes/store/options.hpp"
#include "nodes/store/rows/persisted.hpp"

namespace ringfs::nodes {

struct StartedStore {
  std::unique_ptr<Connection> connection;
  std::unique_ptr<PayloadFile> payload_file;
  dht::PersistedNode node;
  std::map<PartitionId, Error> damaged;  // SqliteStore::Opened
  std::string note;                      // StorageStatus
};

StartedStore start_store(const std::filesystem::path& directory, Random& random, const SqliteStoreOptions& options);

}  // namespace ringfs::nodes
