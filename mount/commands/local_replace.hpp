// A new node in the place of one whose disk is new or whose data cannot be used: `ringfs up --replace N`.
//
// What a node promised (votes, entries) is lost with its data, so the new one has an identity of its own: it becomes a
// member by the old one's number and addresses, and the old one is removed. The steps are in ring.json before they
// begin; an `up` that is cut short is finished by the next one. Threads and errors as in local_ring.hpp.
#pragma once

#include "mount/commands/local_ring.hpp"

namespace ringfs::mount {

// Puts what is left of node `number`'s data aside (data.before, data.before2, ...) and makes room for a new identity.
// Errors: not_found, busy (it runs), unavailable (the ring was never complete).
Status prepare_replacement(const StateDirectory& state, LocalRing& ring, unsigned number);

// For each started node that takes another one's place: makes it a member, removes the other. What fails is said in
// `report`.
void finish_replacements(const StateDirectory& state, LocalRing& ring, StartReport& report,
                         std::chrono::steady_clock::time_point deadline);

}  // namespace ringfs::mount
