// A change of the members table: read whole, changed, and committed on condition that it is unchanged.
//
// Threads and deadlines as in object_store.hpp. Errors: whatever `change` gives; timeout; busy when others changed it
// every time.
#pragma once

#include <functional>

#include "dht/base/object_store.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

// The newest committed table.
Task<Result<MembersTable>> read_members_table(ObjectStore& store, TimePoint deadline);

// `change` gets the table and changes it, its version excepted; it may be called several times, each time with a newer
// table. When it changes nothing, nothing is committed. Returns the table as committed.
Task<Result<MembersTable>> edit_members_table(ObjectStore& store, std::function<Status(MembersTable&)> change,
                                              TimePoint deadline);

}  // namespace ringfs::dht
