// A simulated client's calls and sleeps.
#include "tests/sim/machines/sim_transport.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ringfs::sim {

namespace asio = boost::asio;

namespace {

dht::OperationResult failed(ErrorCode code, std::string context) {
  return tl::unexpected(dht::OperationFailure{{code, std::move(context)}, {}});
}

}  // namespace

SimTransport::SimTransport(Cluster& cluster, asio::io_context& loop, unsigned endpoint)
    : cluster_(cluster), loop_(loop), endpoint_(endpoint) {}

Task<dht::OperationResult> SimTransport::wait(std::function<void(std::uint64_t)> start) {
  auto initiate = [this, start = std::move(start)](auto handler) {
    std::uint64_t number = next_++;
    if (dropped_) return;  // the handler dies here, and its coroutine with it
    auto slot = asio::get_associated_cancellation_slot(handler);
    waiting_.emplace(number, Handler(std::move(handler)));
    if (slot.is_connected()) {
      slot.assign([this, number](asio::cancellation_type) { finish(number, failed(ErrorCode::cancelled, {})); });
    }
    start(number);
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(dht::OperationResult)>(
      std::move(initiate), asio::use_awaitable);
}

void SimTransport::finish(std::uint64_t number, dht::OperationResult result) {
  auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  if (!result && result.error().error.code == ErrorCode::no_space && copied_at_ + copy_memory > now()) {
    result = failed(ErrorCode::unavailable, "no space, but a copy is under way");
  }
  asio::post(loop_, [handler = std::move(found->second), result = std::move(result)]() mutable {
    std::move(handler)(std::move(result));
  });
  waiting_.erase(found);
}

Task<void> SimTransport::sleep(Duration duration) {
  std::function<void(std::uint64_t)> start = [this, duration](std::uint64_t number) {
    cluster_.world().after(std::max(duration, Duration(1)), [self = weak_from_this(), number] {
      if (auto transport = self.lock()) transport->finish(number, dht::OperationResult(dht::Empty{}));
    });
  };
  dht::OperationResult ignored = co_await wait(std::move(start));
  static_cast<void>(ignored);
}

void SimTransport::take_recalls(const Uuid& client, std::function<void(const dht::Recall&, Forgotten)> handler) {
  recall_ = std::move(handler);
  cluster_.take_recalls(client, weak_from_this());
}

void SimTransport::recalled(unsigned node, const dht::Recall& recall) {
  if (dropped_ || !recall_) return;
  cluster_.world().count("row leases: recall heard");
  recall_(recall, [&cluster = cluster_, endpoint = endpoint_, node, release = recall] {
    cluster.network().carry(endpoint, node, [&cluster, node, release] { cluster.node(node).released(release); });
  });
}

Task<dht::OperationResult> SimTransport::call(std::string address, Uuid expected, dht::Operation operation,
                                              TimePoint deadline) {
  const std::optional<TransactionBatch> said = own_step(operation);
  const bool unsaid = dies_before(said);
  const Duration pause = unsaid ? Duration::zero() : pause_before(said);
  auto shared = std::make_shared<const dht::Operation>(std::move(operation));
  std::function<void(std::uint64_t)> start = [this, address, expected, shared, deadline, unsaid,
                                              pause](std::uint64_t number) {
    if (unsaid) return;
    if (pause == Duration::zero()) return start_call(number, address, expected, shared, deadline);
    cluster_.world().after(pause, [self = weak_from_this(), number, address, expected, shared, deadline] {
      auto transport = self.lock();
      if (transport && !transport->dropped_) transport->start_call(number, address, expected, shared, deadline);
    });
  };
  co_return co_await wait(std::move(start));
}

void SimTransport::start_call(std::uint64_t number, const std::string& address, const Uuid& expected,
                              std::shared_ptr<const dht::Operation> operation, TimePoint deadline) {
  World& world = cluster_.world();
  world.trace("call", endpoint_, number, operation->index());
  auto later = [self = weak_from_this(), number](dht::OperationResult result) {
    return [self, number, result = std::move(result)]() mutable {
      if (auto transport = self.lock()) transport->finish(number, std::move(result));
    };
  };
  if (deadline != never)
    world.after(std::max(Duration(0), deadline - now()), later(failed(ErrorCode::timeout, "no answer")));
  SimNode* node = cluster_.find_address(address);
  if (node == nullptr) {
    world.after(Duration(300), later(failed(ErrorCode::unreachable, "no such host")));
    return;
  }
  if (!expected.is_nil() && node->id() != expected) {
    world.after(Duration(300), later(failed(ErrorCode::wrong_identity, "another node answers")));
    return;
  }
  unsigned index = node->index();
  // What is under way arrives, also when its client is dead by then.
  auto arrive = [self = weak_from_this(), &cluster = cluster_, endpoint = endpoint_, number, index, operation] {
    ask(self, cluster, endpoint, number, index, *operation);
  };
  if (cluster_.network().carry(endpoint_, index, std::move(arrive))) copied_at_ = now();
}

void SimTransport::ask(const std::weak_ptr<SimTransport>& self, Cluster& cluster, unsigned endpoint,
                       std::uint64_t number, unsigned index, const dht::Operation& operation) {
  SimNode& node = cluster.node(index);
  SimNetwork& network = cluster.network();
  if (!node.running()) {
    network.carry_reliably(index, endpoint, [self, number] {
      if (auto transport = self.lock()) transport->finish(number, failed(ErrorCode::unreachable, "connection refused"));
    });
    return;
  }
  node.submit(operation, [self, &network, index, endpoint, number](dht::OperationResult result, Stamp stamp) {
    network.carry(index, endpoint, [self, index, number, result = std::move(result), stamp] {
      auto transport = self.lock();
      if (!transport) return;
      if (stamp != Stamp{}) transport->times_.heard(std::to_string(index), stamp, transport->now());
      transport->finish(number, result);
    });
  });
}

TimePoint SimTransport::now() { return cluster_.world().now() + cluster_.suspended(); }

Stamp SimTransport::ring_time() { return times_.at(now()).value_or(Stamp{1}); }

void SimTransport::die_after_calls(unsigned calls, std::function<void()> die) {
  calls_left_ = calls;
  last_moment_.reset();
  die_ = std::move(die);
}

void SimTransport::die_at(TransactionMoment moment, std::function<void()> die) {
  last_moment_ = moment;
  calls_left_.reset();
  die_ = std::move(die);
}

std::optional<TransactionBatch> SimTransport::own_step(const dht::Operation& operation) {
  const auto* commit = std::get_if<dht::CommitOperation>(&operation);
  if (commit == nullptr) return std::nullopt;
  Result<Batch> batch = decode_batch(commit->batch.head, commit->batch.blobs);
  std::optional<TransactionBatch> said = batch ? transaction_batch(*batch) : std::nullopt;
  if (!said) return std::nullopt;
  if (said->step == TransactionStep::first_prepare) begun_.insert(said->id);
  if (!begun_.contains(said->id)) return std::nullopt;
  if (said->step == TransactionStep::resolve_committed) {
    const bool next =
        resolved_last_ && resolved_last_->first == said->id && resolved_last_->second != commit->partition;
    if (next)
      said->step = TransactionStep::resolve_next;
    else
      resolved_last_ = {said->id, commit->partition};
  }
  return said;
}

bool SimTransport::dies_before(const std::optional<TransactionBatch>& said) {
  if (calls_left_ && (*calls_left_)-- == 0) fall_dead();
  if (!last_moment_ || !said || said->step != last_moment_->step) return false;
  const TransactionMoment moment = *last_moment_;
  cluster_.world().count(death_at(moment));
  fall_dead();
  return !moment.said;
}

Duration SimTransport::pause_before(const std::optional<TransactionBatch>& said) {
  if (!pause_ || !said || said->step != pause_->first) return Duration::zero();
  cluster_.world().count("fault: coordinator pauses");
  return std::exchange(pause_, std::nullopt)->second;
}

void SimTransport::fall_dead() {
  calls_left_.reset();
  last_moment_.reset();
  // Not from inside the coroutine that dies.
  cluster_.world().after(Duration(0), std::exchange(die_, nullptr));
}

void SimTransport::drop_everything() {
  dropped_ = true;
  calls_left_.reset();
  last_moment_.reset();
  pause_.reset();
  die_ = nullptr;
  recall_ = nullptr;
  std::map<std::uint64_t, Handler> dying = std::move(waiting_);
  waiting_.clear();
}

}  // namespace ringfs::sim
