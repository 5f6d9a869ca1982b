// A look at the certificate every quarter of a minute.
#include "mount/commands/trust/renewal.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/net/transport/join_ring.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/trust/credential_files.hpp"
#include "mount/commands/trust/client_credentials.hpp"

namespace ringfs::mount {

namespace {

constexpr auto renewal_interval = std::chrono::seconds(15);
constexpr auto renewal_retry_pause = std::chrono::seconds(60);
constexpr Duration renewal_limit = std::chrono::seconds(60);
constexpr Duration ask_limit_at_start = std::chrono::seconds(3);  // some round trips between continents

}  // namespace

Task<Status> renew_certificate(boost::asio::any_io_executor executor, std::shared_ptr<dht::RingTrust> trust,
                               std::vector<std::string> nodes, TimePoint deadline) {
  const std::optional<dht::Identity> identity = trust->own().chain.front().identity();
  if (!identity) co_return fail(ErrorCode::corrupt, "the own certificate names nobody");
  dht::RenewalOrder order{
      .addresses = std::move(nodes),
      .credentials = {.own = trust->own(), .authorities = trust->all_authorities(), .identity = *identity},
      .address = {},
      .rest_address = {}};
  const Result<dht::JoinAnswer> answer = co_await dht::renew(executor, std::move(order), deadline);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  Result<dht::StoredCredentials> got = dht::credentials_of(*answer, trust->own().key, *identity);
  if (!got) co_return tl::unexpected<Error>(got.error());
  const Status saved = dht::save_credentials(credentials_directory() / identity->ring.text(), *got);
  if (!saved) co_return saved;
  co_return trust->renew(std::move(got->own), std::move(got->authorities));
}

TimePoint renewal_deadline(const dht::RingTrust& trust, Stamp now, TimePoint deadline) {
  const bool counts = now < trust.own().chain.front().not_after();
  return counts ? std::min(deadline, dht::boot_time() + ask_limit_at_start) : deadline;
}

Task<void> keep_certificate(boost::asio::any_io_executor executor, std::shared_ptr<dht::RingTrust> trust,
                            std::vector<std::string> nodes, std::function<Task<void>()> refresh) {
  for (;;) {
    auto pause = renewal_interval;
    if (trust->renewal_is_due()) {
      const Status renewed = co_await renew_certificate(executor, trust, nodes, dht::boot_time() + renewal_limit);
      if (renewed)
        spdlog::info("event=certificate_renewed");
      else
        spdlog::warn("event=certificate_not_renewed reason=\"{}\"", renewed.error().text());
      pause = renewed ? renewal_interval : renewal_retry_pause;
    }
    boost::asio::steady_timer timer(executor, pause);
    co_await timer.async_wait(boost::asio::use_awaitable);
    co_await refresh();
  }
}

Task<void> follow_files(boost::asio::any_io_executor executor, dht::OperatorTrust* files,
                        std::function<Task<void>()> refresh) {
  for (;;) {
    boost::asio::steady_timer timer(executor, dht::operator_files_interval);
    co_await timer.async_wait(boost::asio::use_awaitable);
    files->look();
    co_await refresh();
  }
}

}  // namespace ringfs::mount
