// Which batches may change the members table, known before they are applied: a replica reads the table's rows again
// only when it must. In doubt the answer is yes. Threads: none.
#pragma once

#include "dht/base/rows.hpp"
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

bool touches_members_table(const Batch& batch);
bool touches_members_table(const Entry& entry);  // of kind batch

}  // namespace ringfs::dht
