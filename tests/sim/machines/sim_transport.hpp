// How a simulated client process reaches nodes: ClientTransport in virtual time.
//
// Calls and sleeps suspend a coroutine until an event of the world completes them; the world's owner polls the
// io_context after each event. No real timer is ever used. drop_everything() is the client's death: coroutines that
// wait here are destroyed where they stand. Threads: one, virtual.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "dht/net/transport/client_transport.hpp"
#include "dht/net/transport/heard_times.hpp"
#include "tests/sim/machines/cluster.hpp"
#include "tests/sim/workload/transaction_steps.hpp"

namespace ringfs::sim {

// Copies of requests test that nothing is executed twice. TCP makes none, so the answer `no_space` means that nothing
// has happened or will. Where the network has copied a request of this client lately, the client does not get that
// answer.
inline constexpr Duration copy_memory = std::chrono::seconds(20);  // an operation's time and the latest copy's

class SimTransport : public dht::ClientTransport, public std::enable_shared_from_this<SimTransport> {
 public:
  // `endpoint`: the client's number in the network.
  SimTransport(Cluster& cluster, boost::asio::io_context& loop, unsigned endpoint);

  Task<dht::OperationResult> call(std::string address, Uuid expected, dht::Operation operation,
                                  TimePoint deadline) override;
  void take_recalls(const Uuid& client, std::function<void(const dht::Recall&, Forgotten)> handler) override;
  // A leader on that node wants leases back.
  void recalled(unsigned node, const dht::Recall& recall);
  unsigned endpoint() const { return endpoint_; }
  Task<void> sleep(Duration duration) override;
  TimePoint now() override;
  Stamp ring_time() override;
  Random& random() override { return cluster_.world().random(); }

  // Dies with the call after so many more; `die` is called then. The last order counts.
  void die_after_calls(unsigned calls, std::function<void()> die);
  // Dies when one of its own transactions comes to that moment.
  void die_at(TransactionMoment moment, std::function<void()> die);
  // The next time that one of its own transactions is to take this step, it is said so much later.
  void pause_before(TransactionStep step, Duration length) { pause_ = {step, length}; }
  void drop_everything();
  bool dropped() const { return dropped_; }

 private:
  using Handler = boost::asio::any_completion_handler<void(dht::OperationResult)>;

  // Suspends until finish() is called for the number that `start` is given.
  Task<dht::OperationResult> wait(std::function<void(std::uint64_t)> start);
  void finish(std::uint64_t number, dht::OperationResult result);
  void start_call(std::uint64_t number, const std::string& address, const Uuid& expected,
                  std::shared_ptr<const dht::Operation> operation, TimePoint deadline);
  static void ask(const std::weak_ptr<SimTransport>& self, Cluster& cluster, unsigned endpoint, std::uint64_t number,
                  unsigned index, const dht::Operation& operation);
  // What it does for a transaction that this client coordinates.
  std::optional<TransactionBatch> own_step(const dht::Operation& operation);
  // True: the client dies before it can say this.
  bool dies_before(const std::optional<TransactionBatch>& said);
  Duration pause_before(const std::optional<TransactionBatch>& said);
  void fall_dead();

  Cluster& cluster_;
  boost::asio::io_context& loop_;
  const unsigned endpoint_;
  std::function<void(const dht::Recall&, Forgotten)> recall_;
  std::map<std::uint64_t, Handler> waiting_;
  std::uint64_t next_ = 1;
  bool dropped_ = false;
  std::optional<unsigned> calls_left_;
  std::optional<TransactionMoment> last_moment_;
  std::optional<std::pair<TransactionStep, Duration>> pause_;
  std::set<TransactionId> begun_;  // transactions that this client coordinates
  std::optional<std::pair<TransactionId, PartitionId>> resolved_last_;
  std::function<void()> die_;
  dht::HeardTimes times_;
  TimePoint copied_at_{-copy_memory};
};

}  // namespace ringfs::sim
