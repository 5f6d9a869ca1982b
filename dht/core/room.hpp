// How much room a node's disk has for what its groups are to take in, and which batches may use what is held back.
//
// A follower cannot skip an entry to reach the one behind it. So whatever a leader admits must fit on a majority, and what gives room
// back must still fit when nothing else does. Each node says its room in its answers to heartbeats and appends; a leader admits a batch
// when a majority of the voters has room for it (Group::refusal). Between the steps lies what was admitted before the news arrived:
//
//   ample    anything
//   low      less than the reserve is left: leaders are asked to admit no more than needs_no_room() allows; what is on its way is taken
//   reserve  less than half of it: only entries that need no room are taken
//   none     nothing is taken but votes, terms and cuts
//
// The marks in bytes are the store's (nodes/store_space.hpp). Pure functions; threads: none. Errors: none.
#pragma once

#include <cstdint>

#include "dht/base/rows.hpp"
#include "dht/core/raft_types.hpp"

namespace ringfs {

enum class Room : std::uint8_t { none, reserve, low, ample };  // ascending: the largest that a majority has reached counts

inline constexpr std::size_t most_mark_bytes = 256;  // overwritten in place: attributes, states, counters of a file
inline constexpr std::size_t most_note_bytes = 64;   // put as a row of its own beside what goes: "this inode has no name any more"

// The batch removes, ends a transaction or changes a few bytes in place, so that rows do not grow by it: unlink, rmdir, resolving,
// transaction records, all that the janitor does, truncation, chmod, changes of the members table. Errs on the side of no. A row that the batch demands to be absent
// is a new one and needs a row that goes in its place.
bool needs_no_room(const Batch& batch);
// The same of a log entry: no-ops and configurations need none; what does not decode changes nothing.
bool needs_no_room(const Entry& entry);

}  // namespace ringfs
