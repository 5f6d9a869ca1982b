// How a waiting node becomes a node of a ring: it takes a genesis record, from whoever creates the ring or adds the
// node, and writes it down before anything else (docs/design.md#creation).
//
// Threads: none. Errors of both operations: already_member (of another ring), foreign_ring (the same id, another
// record), wrong_identity (the members do not include this node), overloaded. Limits: max_waiting_creates.
#pragma once

#include <optional>
#include <vector>

#include "dht/core/node/known_ring.hpp"
#include "dht/core/node/table_copy.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_waiting_creates = 16;

class Creation {
 public:
  Creation(GroupServices& services, const KnownRing& ring, TableCopy& table_copy)
      : services_(services), ring_(ring), table_copy_(table_copy) {}

  void start(OperationId id, CreateOperation operation);
  void start(OperationId id, JoinOperation operation);

  struct Taken {
    Genesis genesis;
    MembersTable table;
    EffectId write = 0;
    std::vector<OperationId> operations;  // to be answered
  };
  // What became durable with this write, once.
  std::optional<Taken> written(EffectId write);

 private:
  void take(OperationId id, Genesis genesis, MembersTable table);
  void take_again(OperationId id, const Genesis& own, const Genesis& genesis);

  GroupServices& services_;
  const KnownRing& ring_;
  TableCopy& table_copy_;
  std::optional<Taken> under_way_;
};

}  // namespace ringfs::dht
