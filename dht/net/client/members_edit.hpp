// A change of the members table: read whole, changed, and committed on condition that it is unchanged.
//
// Threads and deadlines as in object_store.hpp. Errors: whatever `change` gives; timeout; busy when others changed it
// every time, or held a row of it until the deadline.
#pragma once

#include <functional>

#include "dht/base/object_store.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

// All rows of an object, ascending.
Task<Result<std::vector<Row>>> read_object(ObjectStore& store, std::string key, TimePoint deadline);

// The newest committed table.
Task<Result<MembersTable>> read_members_table(ObjectStore& store, TimePoint deadline);

// `change` gets the table and changes it, its version excepted; it may be called several times, each time with a newer
// table. When it changes nothing, nothing is committed. Returns the table as committed.
Task<Result<MembersTable>> edit_members_table(ObjectStore& store, std::function<Status(MembersTable&)> change,
                                              TimePoint deadline);

// The same together with rows of another object, all or nothing: `change` also gets what `read` brought, and returns
// the conditions and mutations for those rows. It must make sure by its conditions that they are as it saw them.
using ChangeBeside = std::function<Result<TransactionPart>(MembersTable&, const ReadReply&)>;
Task<Result<MembersTable>> edit_members_table_beside(ObjectStore& store, ReadRequest read, ChangeBeside change,
                                                     TimePoint deadline);

}  // namespace ringfs::dht
