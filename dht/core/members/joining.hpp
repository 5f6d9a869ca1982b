// Putting a node into the members table: what somebody who adds a node commits.
//
// Threads: pure functions. Errors: busy (the node is being removed), out_of_range (the table is full).
// Limits: max_members.
#pragma once

#include <string>

#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

// The member with this id, to be changed; nothing: there is none. The table need not be in order.
Member* find_member(MembersTable& table, const Uuid& id);

// A node that is not in the table, or that was removed or taken for dead, begins anew: state joining, new tokens, the
// key that it had. One that is a member stays as it is. In a full table the row of one that was removed makes room.
Status put_joining(MembersTable& table, const Uuid& node, const std::string& address, unsigned partition_bits);

}  // namespace ringfs::dht
