// Certificates while the node runs.
#include "nodes/daemon/trust_tasks.hpp"

#include <spdlog/spdlog.h>

#include "dht/net/transport/system_clock.hpp"

namespace ringfs::nodes {

namespace {

constexpr Duration request_limit = std::chrono::seconds(20);
constexpr Duration look_interval = std::chrono::milliseconds(200);
constexpr Duration founding_poll = std::chrono::milliseconds(20);
constexpr Duration retry_pause = std::chrono::seconds(5);

std::string time_left(const dht::Certificate& certificate, Stamp now) {
  const Duration left = certificate.not_after() - now;
  if (left <= Duration::zero()) return ", and has ended";
  return ", and ends in " + std::to_string(std::chrono::floor<std::chrono::days>(left).count()) + " days";
}

}  // namespace

class TrustTasks::Turn {
 public:
  explicit Turn(TrustTasks& tasks) : tasks_(tasks) { ++tasks_.open_requests_; }
  ~Turn() { --tasks_.open_requests_; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Status granted() const {
    if (tasks_.founding_) return fail(ErrorCode::unavailable, "this node is founding its ring");
    if (!tasks_.client_started_()) return fail(ErrorCode::unavailable, "this node is not in the ring yet");
    if (tasks_.open_requests_ <= max_open_requests) return {};
    return fail(ErrorCode::overloaded, "too many ask for certificates, or about them, at once");
  }

 private:
  TrustTasks& tasks_;
};

TrustTasks::TrustTasks(dht::Driver& driver, dht::ObjectClient& client, std::function<bool()> client_started,
                       NodeCredentials credentials, std::shared_ptr<dht::RingTrust> trust, TakeTrust take_trust,
                       std::string address, std::string rest_address)
    : driver_(driver),
      client_(client),
      client_started_(std::move(client_started)),
      credentials_(std::move(credentials)),
      trust_(std::move(trust)),
      take_trust_(std::move(take_trust)),
      address_(std::move(address)),
      rest_address_(std::move(rest_address)) {}

std::function<Stamp()> TrustTasks::ring_time() const {
  return [this] { return driver_.node().ring_time(dht::boot_time()); };
}

// Once the client has started the node has a ring.
dht::Admission TrustTasks::admission() { return {client_, ring_time(), driver_.node().genesis()->ring}; }

Task<void> TrustTasks::admit(dht::JoinRequest request, std::optional<dht::Certificate> shown,
                             std::function<void(Result<dht::JoinAnswer>)> answer) {
  const Turn turn(*this);
  if (Status taken = turn.granted(); !taken) {
    answer(tl::unexpected<Error>(taken.error()));
    co_return;
  }
  if (issuer() == dht::Issuer::operators) {
    answer(fail(ErrorCode::not_supported, "the certificates of this ring come from its operator's own authority"));
    co_return;
  }
  const std::string who = request.kind == dht::Identity::Kind::node ? request.node.text() : request.name;
  const bool renewal = request.secret.empty();
  dht::Admission desk = admission();
  Result<dht::JoinAnswer> admitted =
      co_await desk.admit(std::move(request), std::move(shown), dht::boot_time() + request_limit);
  if (admitted) {
    spdlog::info("event={} who={} role={}", renewal ? "certificate_renewed" : "admitted", who,
                 to_string(admitted->role));
  }
  answer(std::move(admitted));
}

Task<void> TrustTasks::administer(std::string question, AccessRole role,
                                  std::function<void(Result<std::string>)> answer) {
  const Turn turn(*this);
  if (Status taken = turn.granted(); !taken) {
    answer(tl::unexpected<Error>(taken.error()));
    co_return;
  }
  TrustDesk desk(client_, ring_time(), driver_.node().genesis()->ring, issuer());
  Result<std::string> said = co_await desk.answer(std::move(question), role, dht::boot_time() + request_limit);
  answer(std::move(said));
}

Task<void> TrustTasks::commit_authority() {
  if (trust_ == nullptr) {
    founding_ = false;
    co_return;
  }
  while (!client_started_()) co_await client_.sleep(founding_poll);
  for (;;) {
    const Result<std::optional<dht::Authority>> authority = credentials_.founded_authority(*trust_);
    if (authority && !*authority) {
      founding_ = false;
      co_return;
    }
    Status committed = authority ? Status() : Status(tl::unexpected(authority.error()));
    if (committed) {
      dht::TrustAdmin admin(client_, ring_time());
      dht::Authority founded = **authority;
      committed = co_await admin.found_authority(std::move(founded), dht::boot_time() + request_limit);
    }
    if (committed) committed = credentials_.forget_founded_authority();
    if (committed) {
      founding_ = false;
      spdlog::info("event=authority_founded ring={}", trust_->ring().text());
      co_return;
    }
    spdlog::warn("event=authority_not_founded reason=\"{}\"", committed.error().text());
    co_await client_.sleep(retry_pause);
  }
}

// ---- The own certificate -------------------------------------------------------------------------------------------

dht::JoinRequest TrustTasks::own_request(std::string pem) const {
  dht::JoinRequest request;
  request.kind = dht::Identity::Kind::node;
  request.node = driver_.node().id();
  request.request = std::move(pem);
  request.address = address_;
  request.rest_address = rest_address_;
  return request;
}

bool TrustTasks::may_enrol() const {
  const dht::MembersTable& table = driver_.node().table();
  const dht::Member* self = table.find(driver_.node().id());
  return !table.authorities.empty() && self != nullptr && self->state != MemberState::removed;
}

// Each step is on the disk, or in the ring, before the next one begins; again with the same key it changes nothing.
Task<Status> TrustTasks::enrol_now() {
  const Result<dht::PrivateKey> key = credentials_.key();
  if (!key) co_return tl::unexpected<Error>(key.error());
  Result<std::string> pem = dht::make_request(*key);
  if (!pem) co_return tl::unexpected<Error>(pem.error());
  dht::JoinRequest request = own_request(std::move(*pem));
  dht::Admission desk = admission();
  const Result<dht::JoinAnswer> answer = co_await desk.enrol(std::move(request), dht::boot_time() + request_limit);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  Result<std::shared_ptr<dht::RingTrust>> got = credentials_.take(*answer, *key);
  if (!got) co_return tl::unexpected<Error>(got.error());
  trust_ = std::move(*got);
  take_trust_(trust_);
  co_return Status();
}

Task<Status> TrustTasks::renew_now() {
  Result<std::string> pem = dht::make_request(trust_->own().key);
  if (!pem) co_return tl::unexpected<Error>(pem.error());
  dht::JoinRequest renewal = own_request(std::move(*pem));
  std::optional<dht::Certificate> shown = trust_->own().chain.front();
  dht::Admission desk = admission();
  const Result<dht::JoinAnswer> answer =
      co_await desk.admit(std::move(renewal), std::move(shown), dht::boot_time() + request_limit);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  co_return credentials_.renew(*trust_, *answer);
}

Task<void> TrustTasks::renew() {
  for (;;) {
    co_await client_.sleep(look_interval);
    const bool first = trust_ == nullptr;
    if (!client_started_() || !(first ? may_enrol() : trust_->renewal_is_due())) continue;
    Status done;
    if (first)
      done = co_await enrol_now();
    else
      done = co_await renew_now();
    if (done) {
      spdlog::info("event={}", first ? "own_certificate_taken" : "own_certificate_renewed");
      driver_.set_note("");
    } else {
      spdlog::warn("event=own_certificate_not_renewed reason=\"{}\"", done.error().text());
      driver_.set_note(first ? "it has no certificate yet (" + done.error().text() + ")"
                             : "its certificate could not be renewed (" + done.error().text() + ")" +
                                   time_left(trust_->own().chain.front(), driver_.node().ring_time(dht::boot_time())));
    }
    co_await client_.sleep(retry_pause);
  }
}

}  // namespace ringfs::nodes
