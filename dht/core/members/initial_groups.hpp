// What genesis makes of each partition: its first configuration and rows (the members table in its own partition).
//
// Pure: every first node of a ring derives the same groups from the same genesis record. Threads: none.
#pragma once

#include <vector>

#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

struct InitialGroup {
  PartitionId partition{};
  Configuration configuration;
  std::vector<InitialRow> rows;
};
// The groups of which `node` is a first member.
std::vector<InitialGroup> initial_groups(const Genesis& genesis, const Uuid& node);

}  // namespace ringfs::dht
