// What a node finds when it starts: its identity, raised incarnation, and every group's durable state.
//
// Threads: none of its own; before the writer thread starts. Errors: StoreFailure: corrupt (what belongs to the whole
// node, or a group's row), io_error. A log that is damaged or has a gap costs its own group only.
#pragma once

#include <map>

#include "dht/base/random.hpp"
#include "dht/core/protocol/persisted_state.hpp"
#include "nodes/store/files/payload_file.hpp"

namespace ringfs::nodes {

// Draws an identity when there is none, raises the incarnation, drops snapshots that were staged half: one synced
// transaction. Damage that is met is written down; groups that have some are handed out, too (PersistedGroup::damage),
// and `damaged` says what is wrong with them, or was cut off.
dht::PersistedNode load_persisted(Connection& connection, PayloadFile& file, Random& random,
                                  std::map<PartitionId, Error>& damaged);

}  // namespace ringfs::nodes
