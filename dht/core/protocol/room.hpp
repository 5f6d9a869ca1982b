// How much room a node's disk has for what its groups are to take in.
//
// A follower cannot skip an entry to reach the one behind it. So whatever a leader admits must fit on a majority, and
// what gives room back must still fit when nothing else does. Each node says its room in its answers to heartbeats and
// appends; a leader admits a batch when a majority of the voters has room for it (proposals.hpp). Between the steps
// lies what was admitted before the news arrived:
//
//   ample    anything
//   low      less than the reserve is left: leaders are asked to admit no more than needs_no_room() allows; what is on
//   its way is taken reserve  less than half of it: only entries that need no room are taken none     nothing is taken
//   but votes, terms and cuts
//
// The marks in bytes are the store's (nodes/store/space.hpp).
#pragma once

#include <cstdint>

namespace ringfs::dht {

enum class Room : std::uint8_t {
  none,
  reserve,
  low,
  ample
};  // ascending: the largest that a majority has reached counts

}  // namespace ringfs::dht
