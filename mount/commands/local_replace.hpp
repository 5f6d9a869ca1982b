// A new node in the place of one whose disk is new or whose data cannot be used: `ringfs up --replace N`.
//
// A node's votes and entries are lost with its data, so the new node has an identity of its own. It becomes a member
// with the old one's number and addresses, and the old one is removed. The steps are in ring.json before they begin, so
// the next `up` finishes one that was cut short. Threads and errors as in local_ring.hpp.
#pragma once

#include "mount/commands/local_ring.hpp"

namespace ringfs::mount {

// Renames what is left of node `number`'s data (to data.before, data.before2, ...), so that the node gets a new
// identity. Errors: not_found, busy (it runs), unavailable (the ring was never complete).
Status prepare_replacement(const StateDirectory& state, LocalRing& ring, unsigned number);

// Makes each started node that takes another one's place a member, and removes the other. Failures go to `report`.
void finish_replacements(const StateDirectory& state, LocalRing& ring, StartReport& report,
                         std::chrono::steady_clock::time_point deadline);

}  // namespace ringfs::mount
