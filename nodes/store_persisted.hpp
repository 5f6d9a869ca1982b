// What a node finds when it starts: its identity, raised incarnation, and every group's durable state.
//
// Threads: none of its own; before the writer thread starts. Errors: StoreFailure: corrupt (what belongs to the whole
// node, or a group's row), io_error. A log that is damaged or has a gap costs its own group only.
#pragma once

#include <map>

#include "dht/base/random.hpp"
#include "dht/core/node.hpp"
#include "nodes/store_payload_file.hpp"

namespace ringfs {

// A group whose data is damaged, or was when its database was copied (store_copy.hpp).
struct DamagedGroup {
  Error why;
  // Term, vote, identity and newest configuration; no log, nothing applied. None: nothing is known of it, not even whether there was one.
  std::optional<PersistedGroup> remains;
};

// Draws an identity when there is none, raises the incarnation, drops snapshots that were staged half: one synced
// transaction. `damaged`: groups that are left out, and why.
PersistedNode load_persisted(Connection& connection, PayloadFile& file, Random& random,
                             std::map<PartitionId, DamagedGroup>& damaged);

}  // namespace ringfs
