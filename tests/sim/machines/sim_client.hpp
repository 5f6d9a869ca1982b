// One simulated client process: the real object client over a simulated transport, with a few workers.
//
// die() is a kill -9 at whatever step its workers are; start() afterwards is a new process. Threads: one, virtual.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "dht/net/client/object_client.hpp"
#include "tests/sim/machines/sim_transport.hpp"
#include "tests/sim/workload/workload.hpp"

namespace ringfs::sim {

class SimClient {
 public:
  SimClient(Cluster& cluster, boost::asio::io_context& loop, unsigned endpoint);
  ~SimClient();
  SimClient(const SimClient&) = delete;
  SimClient& operator=(const SimClient&) = delete;

  void start();
  void die();
  bool running() const { return store_ != nullptr; }
  // Spawns a coroutine of this process, once the client knows the ring.
  void spawn(Task<void> task);
  unsigned tasks() const { return *tasks_; }  // that have not ended

  dht::PartitionedStore* store() { return store_.get(); }
  SimTransport& transport() { return *transport_; }

 private:
  Cluster& cluster_;
  boost::asio::io_context& loop_;
  const unsigned endpoint_;
  std::shared_ptr<SimTransport> transport_;
  std::unique_ptr<dht::ObjectClient> store_;
  std::shared_ptr<unsigned> tasks_;
};

}  // namespace ringfs::sim
