// What a node finds when it starts: its identity, raised incarnation, and every group's durable state.
//
// Threads: none of its own; before the writer thread starts. Errors: StoreFailure: corrupt (also a gap in a log),
// io_error.
#pragma once

#include "dht/base/random.hpp"
#include "dht/core/node.hpp"
#include "nodes/sqlite_handle.hpp"

namespace ringfs {

// Draws an identity when there is none, raises the incarnation, drops snapshots that were staged half: one synced
// transaction.
PersistedNode load_persisted(Connection& connection, Random& random);

}  // namespace ringfs
