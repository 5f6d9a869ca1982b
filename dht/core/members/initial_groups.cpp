// The first configurations and rows, from the placement of the first table.
#include "dht/core/members/initial_groups.hpp"

#include <algorithm>

#include "dht/core/members/placement.hpp"

namespace ringfs::dht {

std::vector<InitialGroup> initial_groups(const Genesis& genesis, const Uuid& node) {
  Placement placement(genesis.first_table, genesis.partition_bits);
  PartitionId table_partition = partition_of(key_position(members_key), genesis.partition_bits);
  std::vector<InitialGroup> groups;
  for (std::uint32_t index = 0; index < placement.partitions(); ++index) {
    PartitionId partition{index};
    const std::vector<Uuid>& members = placement.preference_list(partition);
    if (std::find(members.begin(), members.end(), node) == members.end()) continue;
    InitialGroup group;
    group.partition = partition;
    for (const Uuid& member : members) group.configuration.voters.push_back({member, 0});
    if (partition == table_partition) group.rows = rows_of(genesis.first_table);
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace ringfs::dht
