// Which batches may use the reserve of a node whose disk is full (dht/core/protocol/room.hpp).
//
// Pure functions. Threads: none. Errors: none.
#pragma once

#include "dht/base/rows.hpp"
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

inline constexpr std::size_t most_mark_bytes = 256;  // overwritten in place: attributes, states, counters of a file
inline constexpr std::size_t most_note_bytes = 64;   // a new row beside what goes: "this inode has no name any more"

// The batch removes, ends a transaction or changes a few bytes in place, so that rows do not grow by it: unlink, rmdir,
// resolving, transaction records, all that the janitor does, truncation, chmod, changes of the members table. Errs on
// the side of no. A row that the batch demands to be absent is a new one and needs a row that goes in its place.
bool needs_no_room(const Batch& batch);
// The same of a log entry: no-ops and configurations need none; what does not decode changes nothing.
bool needs_no_room(const Entry& entry);

}  // namespace ringfs::dht
