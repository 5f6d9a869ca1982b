// What an operator changes of the ring: its members and its settings. For .ring/, `ringfs` and the REST gateway.
//
// Implemented by dht/net/client/ring_admin_client. Each call returns when the change is committed; data moves
// afterwards. Threads and deadlines as in object_store.hpp. Errors: invalid_argument (malformed), timeout, and those
// named below; the context says what is wrong, for a person.
#pragma once

#include <map>
#include <string>

#include "dht/base/error.hpp"
#include "dht/base/task.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs {

class RingAdmin {
 public:
  virtual ~RingAdmin() = default;

  // The node that waits at host:port becomes a member, `joining`. Saying it again finishes what was interrupted.
  // Errors: connection_refused and unreachable (nobody answers there), version_mismatch, foreign_ring (it belongs to
  // another ring), wrong_identity, already_member, busy (the node is leaving).
  virtual Task<Result<Uuid>> add(std::string address, TimePoint deadline) = 0;

  // `member` is an id or host:port. The member becomes `leaving`: its data moves to the others, then it is removed.
  // `force` although fewer nodes than copies remain. Errors: not_found, busy (it is leaving already), too_few_nodes,
  // no_space (the others have no room for its data).
  virtual Task<Result<Uuid>> remove(std::string member, bool force, TimePoint deadline) = 0;

  // All settings with their values (dht/base/ring/settings.hpp). While the ring cannot agree on them: as the nodes that
  // answer know them.
  virtual Task<Result<std::map<std::string, std::string>>> settings(TimePoint deadline) = 0;
  // Errors: not_found (no such setting), out_of_range.
  virtual Task<Status> set(std::string name, std::string value, TimePoint deadline) = 0;
};

}  // namespace ringfs
