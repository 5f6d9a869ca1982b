// A verified copy of a node's database into a new file. It gives a database of format 5 page sums and digests, and
// repairs one whose shared pages (interior pages, schema, free list, WAL) are damaged.
//
// What is copied: identity, peers, groups, logs, rows, and the payloads that they name. Each is verified by its own
// checksum, so damage never gets a new checksum. The file of payloads stays as it is. Rows of former spaces and
// half-staged snapshots are left behind, and so are spaces that no group names.
//
// Damage:
// - A partition that cannot be copied whole is left out whole and reported. The row of its group stays and says so
//   (GroupState::damage) until the replica is reset, also after restarts.
// - A group whose row cannot be read, or may have been on a page that cannot be read, is noted as damaged. Only its
//   identity is known then (nodes/store/rows/replica_ids.hpp), so no vote is forgotten silently.
// - A group that was marked damaged stays so.
// - Rows that do not match their digest (nodes/store/rows/row_digest.hpp) are copied, and their group is marked. In a
//   database without digests they are computed here.
//
// Threads: none of its own. Errors: StoreFailure: no_space, io_error; corrupt: what belongs to the whole node cannot be
// read. Limits: memory of SQLite's page caches, whatever the size of the database.
#pragma once

#include <map>
#include <set>

#include "nodes/store/files/sqlite_handle.hpp"
#include "nodes/store/rows/groups.hpp"

namespace ringfs::nodes {

struct StoreCopyOptions {
  std::set<PartitionId> leave_out;  // treated as damaged
  // The pages of the source have no sums. Then the order and the number of rows and entries are checked, too, to find
  // those in a wrong place.
  bool pages_unverified = false;
};

struct DamagedReplica {
  Error why;
  ReplicaDamage damage = ReplicaDamage::data;  // `everything`: term and vote are not known
};

struct StoreCopyReport {
  std::map<PartitionId, DamagedReplica> damaged;  // only new damage, not what the groups of the source say
  std::uint64_t rows = 0;
  std::uint64_t entries = 0;
  std::uint64_t payloads = 0;
};

// `to` has the tables of the current format, empty. What is copied is not synced. `directory`: of the node, for the
// second copy of its identity.
StoreCopyReport copy_store(const std::filesystem::path& directory, Connection& from, Connection& to,
                           const StoreCopyOptions& options);

}  // namespace ringfs::nodes
