// Which voter a leader hands leadership to, and whether the others can elect one without it (fitness.hpp;
// docs/design.md#fitness, docs/design.md#full-disks).
//
// Choices only, nothing changes. No value: nobody suits. Threads: none. Errors: none.
#pragma once

#include <optional>

#include "dht/core/raft/leader/followers.hpp"

namespace ringfs::dht {

class TransferTargets {
 public:
  TransferTargets(const ReplicaState& state, const GroupServices& services, const Followers& followers)
      : state_(state), services_(services), followers_(followers) {}

  // Of a leader whose disk hangs or is slow.
  std::optional<ReplicaId> of_unfit() const;
  // Of a leader with damaged data.
  std::optional<ReplicaId> of_damaged() const;
  // Of a leader that is no voter any more when the joint configuration ends.
  std::optional<ReplicaId> of_leaving() const;
  // Of a leader without ample room.
  std::optional<ReplicaId> with_room() const;
  // The preferred primary, if it is another replica that keeps up and has no less room than this node.
  std::optional<ReplicaId> preferred_primary() const;

  bool known_fit(const ReplicaId& replica) const;
  bool others_can_elect() const;

 private:
  bool sound_and_caught_up(const ReplicaId& voter) const;
  bool said_unfit(const ReplicaId& replica) const;
  bool disk_answers(const ReplicaId& replica) const;
  bool more_preferred(const ReplicaId& voter, const std::optional<ReplicaId>& than) const;

  const ReplicaState& state_;
  const GroupServices& services_;
  const Followers& followers_;
};

}  // namespace ringfs::dht
