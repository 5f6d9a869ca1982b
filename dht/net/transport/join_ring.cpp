// Asking for a certificate, and what an answer must be.
#include "dht/net/transport/join_ring.hpp"

#include <algorithm>
#include <optional>

#include "dht/net/transport/one_question.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/transport/tls_stream.hpp"

namespace ringfs::dht {

namespace {

// What is the same for each address.
struct Question {
  std::shared_ptr<const TlsContext> context;
  TlsEngine::Check check;  // of the server
  JoinRequest request;
  PrivateKey key;
  // Whom the answer must be for. Of a newcomer the ring is known when a server was taken.
  std::shared_ptr<Identity> expected;
};

StreamMaker tls_streams(const Question& question) {
  return [context = question.context, check = question.check](Socket socket) -> std::unique_ptr<Stream> {
    return std::make_unique<TlsStream>(std::move(socket),
                                       std::make_unique<TlsEngine>(context, TlsEngine::Side::client, check));
  };
}

Task<Result<JoinAnswer>> ask_for_certificate(boost::asio::any_io_executor executor, std::vector<std::string> addresses,
                                             Question question, TimePoint deadline) {
  if (addresses.size() > max_join_addresses) addresses.resize(max_join_addresses);
  Result<JoinAnswer> answer = fail(ErrorCode::internal);
  Inquiry inquiry;
  inquiry.make_stream = tls_streams(question);
  inquiry.local = LocalSockets::avoided;
  inquiry.limit = join_attempt_time;
  inquiry.busy_is_final = false;
  inquiry.text = [&question] {
    return OneQuestion::Text{.kind = FrameKind::join,
                             .answer_kind = FrameKind::join_answer,
                             .answer_limit = max_join_answer_bytes,
                             .message = encode(question.request)};
  };
  inquiry.take = [&question, &answer](const ReceivedFrame& frame) -> Status {
    answer = decode_join_answer(frame);
    if (!answer) return tl::unexpected(answer.error());
    Result<StoredCredentials> fits = credentials_of(*answer, question.key, *question.expected);
    return fits ? Status() : tl::unexpected(fits.error());
  };
  const Status asked = co_await ask_each(executor, std::move(addresses), std::move(inquiry), deadline);
  if (!asked) co_return tl::unexpected(asked.error());
  co_return answer;
}

Status check_server(const Certificate& leaf, const std::vector<Certificate>& chain,
                    const std::vector<Certificate>& authorities, Identity& expected) {
  const auto server =
      verify(leaf, chain, authorities, {.ring = expected.ring, .now = wall_time(), .expiry_counts = false});
  if (!server) {
    const bool foreign = server.error() == Refusal::foreign_authority || server.error() == Refusal::foreign_ring;
    return fail(foreign ? ErrorCode::foreign_ring : ErrorCode::access_denied, std::string(to_string(server.error())));
  }
  if (server->kind != Identity::Kind::node) return fail(ErrorCode::access_denied, "its certificate is not of a node");
  expected.ring = server->ring;
  return {};
}

// Nothing is trusted but the authority that the token names.
Status check_pinned(const Certificate& leaf, const std::vector<Certificate>& chain, const KeyHash& pin,
                    Identity& expected) {
  const auto pinned = std::find_if(chain.begin(), chain.end(),
                                   [&](const Certificate& one) { return one.is_authority() && one.key_hash() == pin; });
  if (pinned == chain.end())
    return fail(ErrorCode::foreign_ring,
                "it belongs to another ring than the token, or its authority was replaced after the token was made");
  return check_server(leaf, {}, {*pinned}, expected);
}

JoinRequest request_of(const Identity& identity, std::string pem, std::string address, std::string rest_address) {
  JoinRequest request;
  request.kind = identity.kind;
  request.node = identity.node;
  request.name = identity.name;
  request.request = std::move(pem);
  request.address = std::move(address);
  request.rest_address = std::move(rest_address);
  return request;
}

}  // namespace

Result<StoredCredentials> credentials_of(const JoinAnswer& answer, const PrivateKey& key, const Identity& identity) {
  const auto wrong = [](const std::string& what) {
    return fail(ErrorCode::corrupt, "the answer to a request to join has " + what);
  };
  Result<Certificate> own = Certificate::from_pem(answer.certificate);
  if (!own) return wrong(own.error().context);
  StoredCredentials credentials{.own = {.key = key, .chain = {*own}}, .authorities = {}, .identity = identity};
  std::optional<Refusal> refusal;
  for (const std::string& pem : answer.authorities) {
    Result<Certificate> authority = Certificate::from_pem(pem);
    if (!authority) return wrong(authority.error().context);
    const auto holder = verify(*own, {}, {*authority}, {.ring = identity.ring, .now = wall_time()});
    const bool signer = holder || holder.error() != Refusal::foreign_authority;
    if (signer && !holder) refusal = holder.error();
    if (signer && credentials.own.chain.size() == 1) credentials.own.chain.push_back(*authority);
    credentials.authorities.push_back(std::move(*authority));
  }
  if (refusal) return fail(ErrorCode::access_denied, std::string(to_string(*refusal)));
  if (credentials.own.chain.size() == 1) return wrong("a certificate that none of its authorities signed");
  if (own->key_hash() != key.public_hash()) return wrong("a certificate for another key");
  if (own->identity() != identity || answer.ring != identity.ring) return wrong("a certificate of somebody else");
  return credentials;
}

Task<Result<JoinAnswer>> join_ring(boost::asio::any_io_executor executor, JoinOrder order, TimePoint deadline) {
  Result<std::string> pem = make_request(order.key);
  if (!pem) co_return tl::unexpected(pem.error());
  Result<std::shared_ptr<const TlsContext>> context = TlsContext::make(std::nullopt, rpc_tls_protocol);
  if (!context) co_return tl::unexpected(context.error());
  auto expected =
      std::make_shared<Identity>(Identity{.ring = {}, .kind = order.kind, .node = order.node, .name = order.name});
  JoinRequest request = request_of(*expected, std::move(*pem), std::move(order.address), std::move(order.rest_address));
  request.secret.assign(order.token.secret.begin(), order.token.secret.end());
  auto check = [expected, pin = order.token.authority](const Certificate& leaf, const std::vector<Certificate>& chain) {
    expected->ring = {};  // of the address before
    return check_pinned(leaf, chain, pin, *expected);
  };
  Question question{.context = std::move(*context),
                    .check = std::move(check),
                    .request = std::move(request),
                    .key = std::move(order.key),
                    .expected = expected};
  co_return co_await ask_for_certificate(executor, std::move(order.addresses), std::move(question), deadline);
}

Task<Result<JoinAnswer>> renew(boost::asio::any_io_executor executor, RenewalOrder order, TimePoint deadline) {
  Result<std::string> pem = make_request(order.credentials.own.key);
  if (!pem) co_return tl::unexpected(pem.error());
  Result<std::shared_ptr<const TlsContext>> context = TlsContext::make(order.credentials.own, rpc_tls_protocol);
  if (!context) co_return tl::unexpected(context.error());
  auto expected = std::make_shared<Identity>(order.credentials.identity);
  JoinRequest request = request_of(*expected, std::move(*pem), std::move(order.address), std::move(order.rest_address));
  auto check = [expected, authorities = std::move(order.credentials.authorities)](
                   const Certificate& leaf, const std::vector<Certificate>& chain) {
    return check_server(leaf, chain, authorities, *expected);
  };
  Question question{.context = std::move(*context),
                    .check = std::move(check),
                    .request = std::move(request),
                    .key = std::move(order.credentials.own.key),
                    .expected = expected};
  co_return co_await ask_for_certificate(executor, std::move(order.addresses), std::move(question), deadline);
}

}  // namespace ringfs::dht
