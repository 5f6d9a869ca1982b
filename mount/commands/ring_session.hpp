// A process's way to its ring: one loop, one transport, the object client and the ring's view over it.
//
// Threads: the one that runs the loop. Errors: start() says which nodes were asked in vain.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring_admin.hpp"
#include "dht/base/ring_view.hpp"
#include "dht/net/transport/client_transport.hpp"

namespace ringfs::mount {

class RingSession {
 public:
  // `row_lease`: how long what is read may be answered from memory, as far as leaders promise it
  // (dht/net/client/leased_rows.hpp).
  explicit RingSession(std::vector<std::string> addresses, Duration row_lease = Duration::zero());
  ~RingSession();
  RingSession(const RingSession&) = delete;
  RingSession& operator=(const RingSession&) = delete;

  // Learns the ring from any of the addresses. Everything below but transport() wants this first.
  Task<Status> start(TimePoint deadline);
  void stop();  // ends whatever is still asked
  // After the last run(): stop(), and lets the coroutines that this ended go to their ends while what they use still
  // lives.
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
    std::optional<T> result;
    std::exception_ptr failure;
    boost::asio::co_spawn(loop(), std::move(task),
                          [this, &result, &failure](const std::exception_ptr& thrown, T value) {
                            if (thrown)
                              failure = thrown;
                            else
                              result.emplace(std::move(value));
                            loop().stop();
                          });
    loop().restart();
    loop().run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*result);
  }

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// Until no data is moving; `look` gets what is seen meanwhile. A ring that does not answer for a while is asked again:
// it is what one may be waiting for. Errors: timeout.
Task<Result<RingStatus>> wait_until_still(RingSession* session, TimePoint deadline,
                                          std::function<void(const RingStatus&)> look);

}  // namespace ringfs::mount
