// Starting and killing a simulated client.
#include "tests/sim/machines/sim_client.hpp"

#include <boost/asio/co_spawn.hpp>

namespace ringfs::sim {

namespace asio = boost::asio;

namespace {

constexpr Duration timeout = std::chrono::seconds(10);

Task<void> started(dht::ObjectClient* store, Task<void> task) {
  while (!store->directory().known()) {
    Status status = co_await store->start(store->clock().now + timeout);
    static_cast<void>(status);  // no node answered: go on asking
  }
  co_await std::move(task);
}

}  // namespace

SimClient::SimClient(Cluster& cluster, asio::io_context& loop, unsigned endpoint)
    : cluster_(cluster), loop_(loop), endpoint_(endpoint), tasks_(std::make_shared<unsigned>(0)) {}

SimClient::~SimClient() { die(); }

void SimClient::start() {
  if (running()) return;
  tasks_ = std::make_shared<unsigned>(0);
  transport_ = std::make_shared<SimTransport>(cluster_, loop_, endpoint_);
  std::vector<std::string> addresses;
  for (unsigned i = 0; i < cluster_.size(); ++i) addresses.push_back(cluster_.node(i).address());
  dht::ObjectClientOptions options;
  // Every other client uses row leases; the rest sees whether one of those read too old a row.
  if (endpoint_ % 2 == 0) options.row_lease = dht::max_row_lease;
  options.faults = cluster_.options().transaction_faults;
  // A mount's own clock, which may be wrong by hours.
  World& world = cluster_.world();
  const Duration error =
      world.chance(0.3) ? world.between(Duration(0), std::chrono::hours(6)) - std::chrono::hours(3) : Duration(0);
  options.wall_clock = [&world, error] { return true_time(world.now()) + error; };
  store_ = std::make_unique<dht::ObjectClient>(*transport_, std::move(addresses), options);
}

void SimClient::die() {
  if (!running()) return;
  cluster_.world().trace("client dies", endpoint_, *tasks_);
  cluster_.world().count("reads under a row lease", store_->counters().leased_reads);
  transport_->drop_everything();
  // The coroutines' frames are destroyed on the loop.
  while (loop_.poll() > 0) {
  }
  store_.reset();
  transport_.reset();
  *tasks_ = 0;
}

void SimClient::spawn(Task<void> task) {
  ++*tasks_;
  asio::co_spawn(loop_, started(store_.get(), std::move(task)), [tasks = tasks_](const std::exception_ptr& error) {
    --*tasks;
    if (error) std::rethrow_exception(error);
  });
}

}  // namespace ringfs::sim
