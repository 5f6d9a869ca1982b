// A copy of a node's database into a new file, in which everything was verified: how a database of format 5 gets sums
// on its pages, and how one whose shared pages (interior pages, schema, free list, WAL) are damaged is made whole
// again.
//
// Copied is what partitions live from: identity, peers, groups, logs, rows, and the payloads they name, each by its own
// checksum, so that damage never gets a fresh sum. What lies in the file of payloads stays where it is. Rows of former
// epochs and snapshots that were staged half are left behind. A partition that cannot be copied whole is left out whole
// and reported; its group's row stays and says so (GroupState::damage) until the replica is reset, also over restarts.
// A group whose own row cannot be read, or which may have lain on a page that cannot be read, is noted as damaged with
// nothing known of it but its identity (replica_ids.hpp): no vote is forgotten silently. What was marked damaged stays
// so; spaces that no group names are left behind. Rows that do not add up to their digest (row_digest.hpp) are copied,
// and their group is marked; a database without digests gets them here.
//
// Threads: none of its own. Errors: StoreFailure: no_space, io_error; corrupt: not even what belongs to the whole node
// can be read. Limits: SQLite's page caches; nothing grows with the database.
#pragma once

#include <map>
#include <set>

#include "nodes/store/files/sqlite_handle.hpp"
#include "nodes/store/rows/groups.hpp"

namespace ringfs::nodes {

struct StoreCopyOptions {
  std::set<PartitionId> leave_out;  // as if they were damaged
  // The source's pages have no sums: order and number of rows and entries are looked at as well, for what stands in a
  // wrong place.
  bool pages_unverified = false;
};

struct DamagedReplica {
  Error why;
  ReplicaDamage damage = ReplicaDamage::data;  // whether term, vote and identity are known
};

struct StoreCopyReport {
  std::map<PartitionId, DamagedReplica> damaged;  // anew: not what the source's groups said already
  std::uint64_t rows = 0;
  std::uint64_t entries = 0;
  std::uint64_t payloads = 0;
};

// `to` has the tables of this format and nothing in them; what is copied is not synced. `directory`: of the node, for
// the second copy of its identity.
StoreCopyReport copy_store(const std::filesystem::path& directory, Connection& from, Connection& to,
                           const StoreCopyOptions& options);

}  // namespace ringfs::nodes
