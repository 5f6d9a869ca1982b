// Which nodes should hold each partition: a pure function of the members table (docs/design.md#placement), so that two
// nodes with the same table version never disagree.
//
// The preference list of a partition: the first r distinct nodes in state up or joining clockwise from its anchor.
// Threads: none.
#pragma once

#include <map>
#include <vector>

#include "dht/base/position.hpp"
#include "dht/base/uuid.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

class Placement {
 public:
  Placement() = default;
  Placement(const MembersTable& table, unsigned partition_bits);

  // min(r, nodes) distinct nodes, the preferred primary first; empty only in an empty table.
  const std::vector<Uuid>& preference_list(PartitionId partition) const;
  std::size_t partitions() const { return lists_.size(); }

  struct Balance {
    double primaries_max_to_mean = 0;
    double replicas_max_to_mean = 0;
  };
  Balance balance() const;

 private:
  std::vector<std::vector<Uuid>> lists_;
};

// Token allocation. At creation: tokens of all first nodes, evenly interleaved over the anchors, the order of nodes
// permuted from round to round so that a dead node's load spreads (docs/design.md#tokens).
// Nobody else's tokens move when one node is added.
std::map<Uuid, std::vector<Position>> allocate_first_tokens(const std::vector<Uuid>& nodes, unsigned partition_bits,
                                                            unsigned replication, unsigned tokens_per_node = 8);
// The rows that make a node leave: its own one, `leaving` and without tokens, and those of the nodes that take its
// tokens, chosen so that the largest numbers of primaries and replicas stay small. Each group that it is a member of
// gets one new member, as if the tokens just went.
std::vector<Member> leave_members(const MembersTable& table, const Uuid& leaving, unsigned partition_bits);
std::vector<Position> allocate_tokens(const MembersTable& table, const Uuid& joining, unsigned partition_bits,
                                      unsigned tokens_per_node = 8);

}  // namespace ringfs::dht
