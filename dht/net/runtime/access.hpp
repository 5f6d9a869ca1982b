// Which role an operation needs: the one place that decides it, for whoever speaks to a node.
//
// A role for a method is not enough: a batch may name any row. So reads and batches are looked through row by row, in
// conditions, locks and the parts of a transaction, too: a condition is an oracle for what it compares.
//
//   rows                                        to read    to change
//   of data (files, kv/)                        reader     writer
//   of ring/members                             reader     admin
//   of other objects of the ring (ring/...)     admin      admin
//   of ring/authority and ring/tokens           node       node
//   of transactions' records (\0record)         writer     writer      readers ask a node to settle them
//   of other keys that begin with NUL           node       node
//
// Every alternative of Operation has an overload: an operation without one does not compile. Threads: pure functions.
#pragma once

#include <string_view>

#include "dht/core/protocol/operations.hpp"
#include "dht/net/trust/identity.hpp"

namespace ringfs::dht {

AccessRole role_to_read(std::string_view key);
AccessRole role_to_change(std::string_view key);

// A batch that does not decode needs what a batch needs at least; the node refuses it by itself.
AccessRole required_role(const Operation& operation);
// Errors: access_denied, naming both roles.
Status check_access(AccessRole held, const Operation& operation);

}  // namespace ringfs::dht
