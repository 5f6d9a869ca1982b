// Requests to settle a lock, a limited number at once.
#include "nodes/daemon/lock_settler.hpp"

#include "dht/net/client/lock_resolver.hpp"

namespace ringfs::nodes {

namespace {

dht::OperationResult failure(Error error) {
  return tl::unexpected(dht::OperationFailure{.error = std::move(error), .redirect = {}});
}

}  // namespace

class LockSettler::Turn {
 public:
  explicit Turn(LockSettler& settler) : settler_(settler) { ++settler_.open_requests_; }
  ~Turn() { --settler_.open_requests_; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  Status granted() const {
    if (!settler_.client_started_()) return fail(ErrorCode::unavailable, "this node is not in the ring yet");
    if (settler_.open_requests_ <= max_open_requests) return {};
    return fail(ErrorCode::overloaded, "too many locks are being settled at once");
  }

 private:
  LockSettler& settler_;
};

Task<void> LockSettler::settle(dht::SettleOperation asked, std::function<void(dht::OperationResult)> answer) {
  const Turn turn(*this);
  if (Status granted = turn.granted(); !granted) {
    answer(failure(granted.error()));
    co_return;
  }
  const Result<dht::LockFate> fate =
      co_await dht::settle_for_reader(client_, asked, client_.clock().now + request_limit);
  if (fate)
    answer(dht::Answer(dht::SettleAnswer{*fate == dht::LockFate::gone}));
  else
    answer(failure(fate.error()));
}

}  // namespace ringfs::nodes
