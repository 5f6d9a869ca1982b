// How the object client reaches nodes. Implemented over TCP (dht/net/transport/tcp_transport) and by the simulator, so
// that the client that people use is the one that the simulator tries to break.
//
// Threads: one loop. Errors of call(): unreachable (no connection, or it broke before the answer: the operation may
// have happened), timeout (no answer by `deadline`), wrong_identity, foreign_ring, version_mismatch; otherwise the
// node's own answer.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/task.hpp"
#include "dht/base/time.hpp"
#include "dht/core/protocol/operations.hpp"

namespace ringfs::dht {

class ClientTransport {
 public:
  virtual ~ClientTransport() = default;
  // One operation to the node at host:port. `expected` (unless nil): the node that must answer there.
  virtual Task<OperationResult> call(std::string address, Uuid expected, Operation operation, TimePoint deadline) = 0;
  // From now on this client takes row leases: `handler` gets what leaders want back, on the loop, and calls `forgotten`
  // once, then or later, when nothing of it is remembered any more. A transport that does not carry recalls lets leases
  // run out.
  using Forgotten = std::function<void()>;
  virtual void take_recalls(const Uuid& client, std::function<void(const Recall&, Forgotten forgotten)> handler) = 0;
  virtual Task<void> sleep(Duration duration) = 0;
  virtual TimePoint now() = 0;
  virtual Stamp ring_time() = 0;  // as the nodes say that have answered (heard_times.hpp), carried on by now()
  virtual Random& random() = 0;
};

}  // namespace ringfs::dht
