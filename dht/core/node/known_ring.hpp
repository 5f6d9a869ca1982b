// What a node knows of its ring: the genesis record and its newest copy of the members table. Threads: none.
#pragma once

#include <optional>

#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

struct KnownRing {
  std::optional<Genesis> genesis;  // none: the node waits to be added to a ring
  MembersTable table;              // empty before genesis
  PartitionId table_partition{};   // the one that holds the members table
};

}  // namespace ringfs::dht
