// By which index each of this node's replicas was added, and its term and vote, once more beside `grp`: values of the
// table `meta` (docs/disk-format.md).
//
// Why: a replica whose row in `grp` cannot be read must know which of its lives is over, or nobody would replace it;
// and a row that is what it was before a write that the disk has lost would take a vote back, with a sum that holds.
// These values change rarely, and lie on other pages than `grp`, written by the same transactions; that a replica is
// damaged stands in `grp` itself (GroupState::damage), for a row there that cannot be read is the worst damage whatever
// it said. Threads: as the connection's. Errors: StoreFailure.
#pragma once

#include <map>
#include <optional>

#include "dht/core/protocol/effects.hpp"
#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

// Whether a replica that was in `former` can have been in `state` since.
bool is_later(const dht::HardState& state, const dht::HardState& former);

class ReplicaIds {
 public:
  explicit ReplicaIds(Connection& connection);

  // ReplicaId::added of this node's replica; a value that was never written is 0, as genesis makes them.
  dht::LogIndex added(PartitionId partition);
  std::map<PartitionId, dht::LogIndex> all_added();
  void set_added(PartitionId partition, dht::LogIndex added);

  // None: a program that knew no second copy wrote it last, or there was no vote.
  std::optional<dht::HardState> vote(PartitionId partition);
  void set_vote(PartitionId partition, const dht::HardState& state);

  // There are spaces that no row of `grp` names any more: the rows of replicas whose own row was lost, kept until these
  // are replaced.
  bool nameless_spaces();
  void set_nameless_spaces(bool any);

 private:
  MetaTable meta_;
  Statement names_;
  Statement remove_;
};

}  // namespace ringfs::nodes
