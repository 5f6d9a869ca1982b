// One loop, one transport, and the clients over them.
#include "mount/commands/ring_session.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/detached.hpp>

#include "dht/base/random.hpp"
#include "dht/net/client/object_client.hpp"
#include "dht/net/client/ring_admin_client.hpp"
#include "dht/net/client/ring_client.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/transport/tcp_transport.hpp"
#include "mount/commands/trust/client_credentials.hpp"
#include "mount/commands/trust/renewal.hpp"

namespace ringfs::mount {

namespace {

constexpr Duration wait_poll = std::chrono::milliseconds(200);
constexpr Duration refresh_limit = std::chrono::seconds(5);
constexpr Duration wait_question = std::chrono::seconds(5);

}  // namespace

struct RingSession::Implementation {
  Implementation(std::vector<std::string> addresses, dht::OperatorFiles tls, Duration row_lease,
                 dht::TransactionFaults faults)
      : nodes(addresses),
        files(trust_of_files(std::move(tls))),
        trust(trust_for(nodes, files)),
        transport(loop.get_executor(), random, transport_options(trust)),
        client(transport, std::move(addresses), options(row_lease, faults, trust)),
        ring(transport, client),
        admin(transport, client, ring) {}

  static Result<std::optional<dht::OperatorTrust>> trust_of_files(dht::OperatorFiles tls) {
    if (!tls.given()) return std::optional<dht::OperatorTrust>();
    return client_trust(std::move(tls));
  }
  static Result<std::shared_ptr<dht::RingTrust>> trust_for(const std::vector<std::string>& addresses,
                                                           const Result<std::optional<dht::OperatorTrust>>& files) {
    if (!files) return tl::unexpected<Error>(files.error());
    return *files ? (*files)->trust() : credentials_for(addresses);
  }

  static dht::TcpTransportOptions transport_options(const Result<std::shared_ptr<dht::RingTrust>>& trust) {
    dht::TcpTransportOptions options;
    options.make_stream = dht::dialling_streams(trust ? *trust : nullptr);
    return options;
  }

  static dht::ObjectClientOptions options(Duration row_lease, dht::TransactionFaults faults,
                                          const Result<std::shared_ptr<dht::RingTrust>>& trust) {
    dht::ObjectClientOptions options;
    if (trust && *trust != nullptr) {
      if (const std::optional<dht::Identity> own = (*trust)->own().chain.front().identity()) options.name = own->name;
    }
    options.row_lease = row_lease;
    options.faults = faults;
    options.wall_clock = dht::wall_time;
    return options;
  }

  Task<void> refresh_table() {
    // Without an answer the copy stays as it is until the next time.
    static_cast<void>(co_await client.refresh_table(transport.now() + refresh_limit));
  }

  boost::asio::io_context loop{1};
  SystemRandom random;
  const std::vector<std::string> nodes;
  Result<std::optional<dht::OperatorTrust>> files;
  const Result<std::shared_ptr<dht::RingTrust>> trust;  // an error: there are credentials that cannot be used
  dht::TcpTransport transport;
  dht::ObjectClient client;
  dht::RingClient ring;
  dht::RingAdminClient admin;
};

RingSession::RingSession(std::vector<std::string> addresses, dht::OperatorFiles tls, Duration row_lease,
                         dht::TransactionFaults faults)
    : implementation_(std::make_unique<Implementation>(std::move(addresses), std::move(tls), row_lease, faults)) {}
RingSession::~RingSession() = default;

Task<Status> RingSession::start(TimePoint deadline) {
  const Result<std::shared_ptr<dht::RingTrust>>& trust = implementation_->trust;
  if (!trust) co_return tl::unexpected<Error>(trust.error());
  if (*trust != nullptr && (*trust)->renewal_is_due()) {
    // One that still counts is good enough.
    const TimePoint limit = renewal_deadline(**trust, dht::wall_time(), deadline);
    const Status renewed = co_await renew_certificate(loop().get_executor(), *trust, implementation_->nodes, limit);
    if (!renewed) spdlog::warn("event=certificate_not_renewed reason=\"{}\"", renewed.error().text());
  }
  const Status started = co_await implementation_->client.start(deadline);
  if (started) {
    // From here on the transport refuses an address that belongs to a node of another ring by now.
    const dht::RingDirectory& directory = implementation_->client.directory();
    implementation_->transport.set_ring(directory.genesis().ring);
    if (*trust != nullptr) {
      (*trust)->set_table([&directory] { return &directory.table(); });
      auto refresh = [this] { return implementation_->refresh_table(); };
      dht::OperatorTrust* files = *implementation_->files ? &**implementation_->files : nullptr;
      boost::asio::co_spawn(loop(),
                            files != nullptr
                                ? follow_files(loop().get_executor(), files, refresh)
                                : keep_certificate(loop().get_executor(), *trust, implementation_->nodes, refresh),
                            boost::asio::detached);
    }
  }
  co_return started;
}

void RingSession::stop() { implementation_->transport.stop(); }

void RingSession::finish() {
  stop();
  implementation_->loop.restart();
  implementation_->loop.poll();
}

boost::asio::io_context& RingSession::loop() { return implementation_->loop; }
dht::ClientTransport& RingSession::transport() { return implementation_->transport; }
ObjectStore& RingSession::store() { return implementation_->client; }
RingView& RingSession::view() { return implementation_->ring; }
RingAdmin& RingSession::admin() { return implementation_->admin; }

Task<Result<RingStatus>> wait_until_still(RingSession* session, TimePoint deadline,
                                          std::function<void(const RingStatus&)> look) {
  for (;;) {
    const TimePoint question_deadline = std::min(deadline, session->in(std::chrono::milliseconds(0)) + wait_question);
    Result<RingStatus> status = co_await session->view().status(question_deadline);
    if (status) look(*status);
    if (status && !status->moving) co_return status;
    if (session->in(std::chrono::milliseconds(0)) + wait_poll >= deadline) {
      if (!status) co_return status;
      co_return fail(ErrorCode::timeout, "data is still moving");
    }
    co_await session->store().sleep(wait_poll);
  }
}

}  // namespace ringfs::mount
