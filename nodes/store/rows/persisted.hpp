// What a starting node finds: its identity, the raised incarnation, and the durable state of every group.
//
// Threads: none; called before the writer's thread starts. Errors: StoreFailure: corrupt (what belongs to the whole
// node), io_error. A group's row that does not decode, or a log that is damaged or has a gap, costs that group only.
#pragma once

#include <map>

#include "dht/base/random.hpp"
#include "dht/core/protocol/persisted_state.hpp"
#include "nodes/store/files/payload_file.hpp"

namespace ringfs::nodes {

// Draws an identity if there is none, raises the incarnation and drops half-staged snapshots, in one synced
// transaction. Damage is written down; damaged groups are returned, too (PersistedGroup::damage), and `damaged` says
// what is wrong with each of them, or was compacted away.
dht::PersistedNode load_persisted(Connection& connection, PayloadFile& file, Random& random,
                                  std::map<PartitionId, Error>& damaged);

}  // namespace ringfs::nodes
