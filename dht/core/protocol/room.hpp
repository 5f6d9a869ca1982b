// How much room a node's disk has for what its groups are to take in.
//
// A follower cannot skip an entry to reach the one behind it. So whatever a leader admits must fit on a majority, and
// what gives room back must still fit when nothing else does. Each node says its room in its answers to heartbeats and
// appends; a leader admits a batch when a majority of the voters has room for it (proposals.hpp). The steps leave room
// for what was admitted before the answers arrived:
//
//   ample    Anything is taken.
//   low      Less than the reserve is left. Leaders are asked to admit only batches that need no room
//            (needs_no_room()); what is on its way is taken.
//   reserve  Less than half of the reserve is left. Only entries that need no room are taken.
//   none     Nothing is taken but votes, terms and compaction.
//
// The marks in bytes are the store's (nodes/store/space.hpp).
#pragma once

#include <cstdint>

namespace ringfs::dht {

// Ascending: the largest that a majority has reached counts.
enum class Room : std::uint8_t { none, reserve, low, ample };

}  // namespace ringfs::dht
