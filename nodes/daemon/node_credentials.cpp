// A node's certificate: loaded, made, or asked for.
#include "nodes/daemon/node_credentials.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/net/client/ring_creation.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/transport/join_ring.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/trust/authority_rows.hpp"
#include "dht/net/trust/credential_files.hpp"

namespace ringfs::nodes {

namespace {

constexpr auto join_pause = std::chrono::seconds(1);

using Trust = Result<std::shared_ptr<dht::RingTrust>>;

Trust trust_of(dht::StoredCredentials stored) {
  return dht::RingTrust::make(stored.identity.ring, std::move(stored.own), std::move(stored.authorities));
}

// The ring may be on its way up, as after a power failure.
Task<Result<dht::JoinAnswer>> ask_until_answered(boost::asio::any_io_executor executor, dht::JoinOrder order,
                                                 TimePoint deadline) {
  for (;;) {
    dht::JoinOrder asked = order;
    Result<dht::JoinAnswer> answer = co_await dht::join_ring(executor, std::move(asked), deadline);
    const bool again = !answer && (not_reached(answer.error().code) || answer.error().code == ErrorCode::timeout ||
                                   answer.error().code == ErrorCode::unavailable);
    if (!again || dht::boot_time() + join_pause >= deadline) co_return answer;
    spdlog::warn("event=not_admitted_yet reason=\"{}\"", answer.error().text());
    boost::asio::steady_timer timer(executor, join_pause);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

}  // namespace

NodeCredentials::NodeCredentials(const std::filesystem::path& data, const Uuid& node)
    : directory_(data / "credentials"), authority_directory_(directory_ / "authority"), node_(node) {}

bool NodeCredentials::are_in(const std::filesystem::path& data) {
  std::error_code unreadable;  // is found when it is loaded
  return std::filesystem::exists(data / "credentials" / "certificate.pem", unreadable);
}

Trust NodeCredentials::load() const {
  Result<std::optional<dht::StoredCredentials>> stored = dht::load_credentials(directory_);
  if (!stored) return tl::unexpected(stored.error());
  if (!*stored) return std::shared_ptr<dht::RingTrust>();
  if ((*stored)->identity.node != node_) {
    return fail(ErrorCode::invalid_argument, directory_.string() + " is of node " + (*stored)->identity.node.text() +
                                                 ", this is node " + node_.text());
  }
  return trust_of(std::move(**stored));
}

// The authority's key is on the disk first; its certificate is in the chain of the node's own.
Result<NodeCredentials::FoundedRing> NodeCredentials::found(const Founding& founding, Random& random) const {
  const Stamp now = dht::wall_time();
  Trust trust = load();
  if (!trust) return tl::unexpected(trust.error());
  if (*trust == nullptr) {
    const Uuid ring = random_uuid(random);
    Result<dht::Authority> authority = dht::make_authority(ring, now);
    if (!authority) return tl::unexpected(authority.error());
    if (Status saved = dht::save_key(authority_directory_, authority->key); !saved)
      return tl::unexpected(saved.error());
    const Result<dht::PrivateKey> own_key = key();
    if (!own_key) return tl::unexpected(own_key.error());
    const dht::Identity identity = dht::node_identity(ring, node_);
    Result<std::string> request = dht::make_request(*own_key);
    if (!request) return tl::unexpected(request.error());
    Result<dht::Certificate> own = dht::issue(
        *authority, *request,
        {.identity = identity, .names = dht::hosts_of({founding.address, founding.rest_address}), .now = now});
    if (!own) return tl::unexpected(own.error());
    const dht::StoredCredentials stored{.own = {.key = *own_key, .chain = {*own, authority->certificate}},
                                        .authorities = {authority->certificate},
                                        .identity = identity};
    if (Status saved = dht::save_credentials(directory_, stored); !saved) return tl::unexpected(saved.error());
    trust = trust_of(stored);
    if (!trust) return tl::unexpected(trust.error());
  }
  Result<dht::Genesis> made = genesis(founding, (*trust)->ring(), random);
  if (!made) return tl::unexpected(made.error());
  made->first_table.members.front().key = (*trust)->own().key.public_hash();
  for (const dht::Certificate& authority : (*trust)->authorities())
    made->first_table.authorities.emplace(dht::hash_text(authority.key_hash()), authority.pem());
  return FoundedRing{std::move(*trust), std::move(*made)};
}

Result<dht::Genesis> NodeCredentials::genesis(const Founding& founding, const Uuid& ring, Random& random) const {
  const dht::CreationOptions options{
      .partition_bits = founding.partition_bits, .replication = founding.replication, .ring = ring};
  return dht::make_genesis({{founding.address, founding.rest_address}}, {node_}, options, random);
}

Result<std::optional<Uuid>> NodeCredentials::prepared_ring() const { return dht::load_ring(directory_); }

Result<Uuid> NodeCredentials::prepare_ring(const std::optional<Uuid>& wanted, Random& random) const {
  const Result<std::optional<Uuid>> before = prepared_ring();
  if (!before) return tl::unexpected(before.error());
  if (*before && wanted && **before != *wanted)
    return fail(ErrorCode::invalid_argument, "this node was prepared for the ring " + (*before)->text());
  if (*before) return **before;
  const Uuid ring = wanted ? *wanted : random_uuid(random);
  if (Status saved = dht::save_ring(directory_, ring); !saved) return tl::unexpected(saved.error());
  return ring;
}

Result<std::optional<dht::Authority>> NodeCredentials::founded_authority(const dht::RingTrust& trust) const {
  Result<std::optional<dht::PrivateKey>> key = dht::load_key(authority_directory_);
  if (!key) return tl::unexpected(key.error());
  if (!*key) return std::optional<dht::Authority>();
  for (const dht::Certificate& certificate : trust.authorities()) {
    if (certificate.key_hash() == (*key)->public_hash())
      return std::optional<dht::Authority>({.certificate = certificate, .key = std::move(**key)});
  }
  return fail(ErrorCode::corrupt, authority_directory_.string() + " is not the key of this ring's authority");
}

Status NodeCredentials::forget_founded_authority() const {
  std::error_code error;
  std::filesystem::remove_all(authority_directory_, error);
  if (!error) return {};
  return fail(ErrorCode::io_error, authority_directory_.string() + ": " + error.message());
}

Task<Trust> NodeCredentials::join(boost::asio::any_io_executor executor, Joining joining, TimePoint deadline) const {
  const Result<dht::Token> token = dht::parse_token(joining.token);
  if (!token) co_return tl::unexpected<Error>(token.error());
  const Result<dht::PrivateKey> own_key = key();
  if (!own_key) co_return tl::unexpected<Error>(own_key.error());
  dht::JoinOrder order{.addresses = joining.nodes,
                       .token = *token,
                       .kind = dht::Identity::Kind::node,
                       .node = node_,
                       .name = {},
                       .key = *own_key,
                       .address = joining.address,
                       .rest_address = joining.rest_address};
  const Result<dht::JoinAnswer> answer = co_await ask_until_answered(executor, std::move(order), deadline);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  co_return take(*answer, *own_key);
}

Result<dht::PrivateKey> NodeCredentials::key() const {
  Result<std::optional<dht::PrivateKey>> present = dht::load_key(directory_);
  if (!present) return tl::unexpected(present.error());
  if (*present) return std::move(**present);
  Result<dht::PrivateKey> made = dht::PrivateKey::generate();
  if (!made) return made;
  if (Status saved = dht::save_key(directory_, *made); !saved) return tl::unexpected(saved.error());
  return made;
}

Trust NodeCredentials::take(const dht::JoinAnswer& answer, const dht::PrivateKey& key) const {
  Result<dht::StoredCredentials> got = dht::credentials_of(answer, key, dht::node_identity(answer.ring, node_));
  if (!got) return tl::unexpected(got.error());
  if (Status saved = dht::save_credentials(directory_, *got); !saved) return tl::unexpected(saved.error());
  return trust_of(std::move(*got));
}

Status NodeCredentials::renew(dht::RingTrust& trust, const dht::JoinAnswer& answer) const {
  Result<dht::StoredCredentials> got =
      dht::credentials_of(answer, trust.own().key, dht::node_identity(trust.ring(), node_));
  if (!got) return tl::unexpected(got.error());
  if (Status saved = dht::save_credentials(directory_, *got); !saved) return saved;
  return trust.renew(std::move(got->own), std::move(got->authorities));
}

}  // namespace ringfs::nodes
