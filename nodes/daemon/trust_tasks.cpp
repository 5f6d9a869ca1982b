// Certificates while the node runs.
#include "nodes/daemon/trust_tasks.hpp"

#include <spdlog/spdlog.h>

#include "dht/net/transport/system_clock.hpp"
#include "dht/net/trust/authority_rows.hpp"

namespace ringfs::nodes {

namespace {

constexpr Duration request_limit = std::chrono::seconds(20);
constexpr Duration look_interval = std::chrono::seconds(1);
constexpr Duration retry_pause = std::chrono::seconds(5);

}  // namespace

class TrustTasks::Turn {
 public:
  explicit Turn(TrustTasks& tasks) : tasks_(tasks) { ++tasks_.open_requests_; }
  ~Turn() { --tasks_.open_requests_; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  bool granted() const { return tasks_.open_requests_ <= max_open_requests; }

 private:
  TrustTasks& tasks_;
};

TrustTasks::TrustTasks(dht::Driver& driver, dht::ObjectClient& client, NodeCredentials credentials,
                       std::shared_ptr<dht::RingTrust> trust, std::string address, std::string rest_address)
    : driver_(driver),
      client_(client),
      credentials_(std::move(credentials)),
      trust_(std::move(trust)),
      address_(std::move(address)),
      rest_address_(std::move(rest_address)),
      admission_(
          client, [this] { return driver_.node().ring_time(dht::boot_time()); }, trust_->ring()),
      desk_(
          client, [this] { return driver_.node().ring_time(dht::boot_time()); }, trust_->ring()) {}

Task<void> TrustTasks::admit(dht::JoinRequest request, std::optional<dht::Certificate> shown,
                             std::function<void(Result<dht::JoinAnswer>)> answer) {
  const Turn turn(*this);
  if (!turn.granted()) {
    answer(fail(ErrorCode::overloaded, "too many ask for certificates at once"));
    co_return;
  }
  const std::string who = request.kind == dht::Identity::Kind::node ? request.node.text() : request.name;
  const bool renewal = request.secret.empty();
  Result<dht::JoinAnswer> admitted =
      co_await admission_.admit(std::move(request), std::move(shown), dht::boot_time() + request_limit);
  if (admitted) {
    spdlog::info("event={} who={} role={}", renewal ? "certificate_renewed" : "admitted", who,
                 to_string(admitted->role));
  }
  answer(std::move(admitted));
}

Task<void> TrustTasks::administer(std::string question, AccessRole role,
                                  std::function<void(Result<std::string>)> answer) {
  const Turn turn(*this);
  if (!turn.granted()) {
    answer(fail(ErrorCode::overloaded, "too many administer the ring at once"));
    co_return;
  }
  Result<std::string> said = co_await desk_.answer(std::move(question), role, dht::boot_time() + request_limit);
  answer(std::move(said));
}

Task<void> TrustTasks::commit_authority() {
  for (;;) {
    const Result<std::optional<dht::Authority>> authority = credentials_.founded_authority(*trust_);
    if (authority && !*authority) co_return;
    Status committed = authority ? Status() : Status(tl::unexpected(authority.error()));
    if (committed) {
      dht::TrustAdmin admin(client_, [this] { return driver_.node().ring_time(dht::boot_time()); });
      dht::Authority founded = **authority;
      committed = co_await admin.found_authority(std::move(founded), dht::boot_time() + request_limit);
    }
    if (committed) committed = credentials_.forget_founded_authority();
    if (committed) {
      spdlog::info("event=authority_founded ring={}", trust_->ring().text());
      co_return;
    }
    spdlog::warn("event=authority_not_founded reason=\"{}\"", committed.error().text());
    co_await client_.sleep(retry_pause);
  }
}

// Also when the ring has an authority that this node has not heard of: it signs from now on.
bool TrustTasks::renewal_is_due() const {
  const dht::Certificate& own = trust_->own().chain.front();
  const Duration life = own.not_after() - own.not_before();
  if (dht::wall_time() > own.not_before() + life * 2 / 3) return true;
  for (const auto& [hash, pem] : driver_.node().table().authorities) {
    const bool known = std::any_of(
        trust_->authorities().begin(), trust_->authorities().end(),
        [&hash = hash](const dht::Certificate& authority) { return dht::hash_text(authority.key_hash()) == hash; });
    if (!known) return true;
  }
  return false;
}

Task<Status> TrustTasks::renew_now() {
  const Result<std::string> request = dht::make_request(trust_->own().key);
  if (!request) co_return tl::unexpected<Error>(request.error());
  dht::JoinRequest renewal;
  renewal.kind = dht::Identity::Kind::node;
  renewal.node = driver_.node().id();
  renewal.request = *request;
  renewal.address = address_;
  renewal.rest_address = rest_address_;
  std::optional<dht::Certificate> shown = trust_->own().chain.front();
  const Result<dht::JoinAnswer> answer =
      co_await admission_.admit(std::move(renewal), std::move(shown), dht::boot_time() + request_limit);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  co_return credentials_.renew(*trust_, *answer);
}

Task<void> TrustTasks::renew() {
  for (;;) {
    co_await client_.sleep(look_interval);
    if (!renewal_is_due()) continue;
    const Status renewed = co_await renew_now();
    if (renewed) {
      spdlog::info("event=own_certificate_renewed");
    } else {
      spdlog::warn("event=own_certificate_not_renewed reason=\"{}\"", renewed.error().text());
      co_await client_.sleep(retry_pause);
    }
  }
}

}  // namespace ringfs::nodes
