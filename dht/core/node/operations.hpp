// What clients ask of a node, and the checks before a group sees it.
//
// Threads: none. Errors: not_member (no replica here), not_leader, invalid_argument (a key of another partition, or
// what validate() refuses), unavailable (joining), not_supported (settle: it needs a client of the ring); the redirect
// says whom to ask instead.
#pragma once

#include <optional>
#include <string>

#include "dht/core/chord/chord.hpp"
#include "dht/core/node/groups.hpp"
#include "dht/core/node/known_ring.hpp"

namespace ringfs::dht {

class ClientOperations {
 public:
  ClientOperations(GroupServices& services, const KnownRing& ring, const Groups& groups,
                   const std::optional<Chord>& chord)
      : services_(services), ring_(ring), groups_(groups), chord_(chord) {}

  void start(OperationId id, ReadOperation operation);
  void start(OperationId id, CommitOperation operation);
  void start(OperationId id, const FindOperation& operation);
  void start(OperationId id, const TableOperation& operation);
  void start(OperationId id, const SettleOperation& operation);

 private:
  void fail(OperationId id, ErrorCode code, std::string context, Redirect redirect = {});
  Group* group_for(OperationId id, PartitionId partition);
  bool belongs(const std::string& key, PartitionId partition) const;
  bool belongs(const ReadRequest& request, PartitionId partition) const;
  bool belongs(const Batch& batch, PartitionId partition) const;

  GroupServices& services_;
  const KnownRing& ring_;
  const Groups& groups_;
  const std::optional<Chord>& chord_;
};

}  // namespace ringfs::dht
