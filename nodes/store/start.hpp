// Opens a node's files and repairs what can be repaired without the ring.
//
// A database of an older format is copied once, so that its pages get sums and its groups digests. Without room for the
// copy the node runs with the old database and says so (`note`). Damage in what all partitions share is repaired by one
// verified copy. Partitions that could not be copied are among the damaged groups.
//
// Threads: none; called before the store has any. Errors: StoreFailure, with the codes of SqliteStore::open.
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
