// A process's connection to its ring: one loop, one transport, the object client and the ring's view over it.
//
// Threads: the one that runs the loop. Errors: start() says which nodes did not answer.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "dht/net/client/partitioned_store.hpp"
#include "dht/net/transport/client_transport.hpp"
#include "dht/net/trust/operator_files.hpp"
#include "mount/commands/run_task.hpp"

namespace ringfs::mount {

class RingSession {
 public:
  // `tls`: what to show instead of the user's own credentials. `row_lease`: for how long reads may be answered from
  // memory, if leaders grant leases (dht/net/client/leased_rows.hpp). `faults`: for tests.
  explicit RingSession(std::vector<std::string> addresses, dht::OperatorFiles tls = {},
                       Duration row_lease = Duration::zero(), dht::TransactionFaults faults = {});
  ~RingSession();
  RingSession(const RingSession&) = delete;
  RingSession& operator=(const RingSession&) = delete;

  // Learns the ring from any of the addresses. Everything below except transport() needs this first.
  Task<Status> start(TimePoint deadline);
  void stop();  // ends all calls under way
  // After the last run(): stop(), then lets the coroutines that this ended go to their ends, while what they use lives.
  void finish();

  boost::asio::io_context& loop();
  dht::ClientTransport& transport();
  ObjectStore& store();
  RingView& view();
  RingAdmin& admin();
  TimePoint in(std::chrono::milliseconds duration) { return transport().now() + duration; }
  TimePoint at(std::chrono::steady_clock::time_point end) {
    return in(std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()));
  }

  // Runs the loop until this one coroutine has ended.
  template <class T>
  T run(Task<T> task) {
    return run_task(loop(), std::move(task));
  }

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// Waits until no data is moving; `look` gets each status meanwhile. A ring that does not answer is asked again. Errors:
// timeout.
Task<Result<RingStatus>> wait_until_still(RingSession* session, TimePoint deadline,
                                          std::function<void(const RingStatus&)> look);

}  // namespace ringfs::mount
