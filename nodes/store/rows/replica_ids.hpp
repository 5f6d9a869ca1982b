// A second copy, beside `grp`, of the index that added each replica of this node, and of its term and vote: values of
// the table `meta` (docs/disk-format.md).
//
// Why: a replica whose row in `grp` cannot be read must still know which of its lives is over, or nobody could replace
// it. And a row that is older than it should be, because the disk lost a write, would take back a vote, with a checksum
// that holds. These values change rarely, lie on other pages than `grp` and are written by the same transactions.
// Damage of a replica is noted only in `grp` (GroupState::damage): a row there that cannot be read is the worst damage
// anyway.
//
// Threads: those of the connection. Errors: StoreFailure.
#pragma once

#include <map>
#include <optional>

#include "dht/core/protocol/effects.hpp"
#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

// Whether a replica can have gone from `former` to `state`.
bool is_later(const dht::HardState& state, const dht::HardState& former);

class ReplicaIds {
 public:
  explicit ReplicaIds(Connection& connection);

  // ReplicaId::added of this node's replica; 0 if it was never written, as for replicas of genesis.
  dht::LogIndex added(PartitionId partition);
  std::map<PartitionId, dht::LogIndex> all_added();
  void set_added(PartitionId partition, dht::LogIndex added);

  // None: an older program wrote the row last, or there was no vote.
  std::optional<dht::HardState> vote(PartitionId partition);
  void set_vote(PartitionId partition, const dht::HardState& state);

  // Whether there are spaces that no row of `grp` names: the rows of replicas whose own row was lost. They are kept
  // until these replicas are replaced.
  bool nameless_spaces();
  void set_nameless_spaces(bool any);

 private:
  MetaTable meta_;
  Statement names_;
  Statement remove_;
};

}  // namespace ringfs::nodes
