// Tokens and rows to certificates.
#include "dht/net/client/admission.hpp"

#include <algorithm>

#include "dht/base/hash.hpp"
#include "dht/base/row_changes.hpp"
#include "dht/core/members/joining.hpp"
#include "dht/net/client/members_edit.hpp"
#include "dht/net/client/trust_admin.hpp"
#include "dht/net/sockets/dial.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t max_host_bytes = 253;

bool is_host(std::string_view host) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-";
  return !host.empty() && host.size() <= max_host_bytes && host.find_first_not_of(allowed) == std::string_view::npos;
}

Status check_address(const std::string& address) {
  Result<HostPort> parts = split_address(address);
  if (!parts) return tl::unexpected(parts.error());
  if (!is_host(parts->host)) return fail(ErrorCode::invalid_argument, "the host of an address has other characters");
  return {};
}

// What can be said without asking the ring.
Status check_applicant(const JoinRequest& request) {
  if (request.kind == Identity::Kind::client) return check_client_name(request.name);
  if (request.node.is_nil()) return fail(ErrorCode::invalid_argument, "a node has a uuid");
  if (Status address = check_address(request.address); !address) return address;
  return request.rest_address.empty() ? Status() : check_address(request.rest_address);
}

std::string who(const JoinRequest& request) {
  return request.kind == Identity::Kind::node ? "node " + request.node.text() : "client " + request.name;
}

Identity identity_of(const JoinRequest& request, const Uuid& ring) {
  return request.kind == Identity::Kind::node ? node_identity(ring, request.node) : client_identity(ring, request.name);
}

Error of_the_ring(const Error& error) {
  const bool no_answer = error.code == ErrorCode::timeout || not_reached(error.code) ||
                         error.code == ErrorCode::unavailable || error.code == ErrorCode::overloaded;
  if (!no_answer) return error;
  return {ErrorCode::unavailable, "the ring has no quorum for this now (" + error.text() + "); ask again"};
}

// ---- The token -----------------------------------------------------------------------------------------------------

ReadRequest token_request(const RowAddress& address) {
  ReadRequest request;
  request.gets.push_back(address);
  return request;
}

// The token for whoever asks, whether or not it can still be used.
Result<TokenRow> known_token(const ReadReply& reply, const JoinRequest& request) {
  const ReadReply::Get& get = reply.gets.at(0);
  if (!get.found) return fail(ErrorCode::access_denied, "the ring does not know this token");
  Result<TokenRow> token = decode_token_row(get.row.value.view());
  if (!token) return token;
  const bool node = request.kind == Identity::Kind::node;
  if (token->kind == TokenRow::Kind::rest)
    return fail(ErrorCode::access_denied, "this token is for REST requests, not for joining");
  if (node && token->role != AccessRole::node)
    return fail(ErrorCode::access_denied, "this token lets clients in, not nodes");
  if (!node && token->role == AccessRole::node)
    return fail(ErrorCode::access_denied, "this token lets nodes in, not clients");
  return token;
}

// The rows of one use less.
Result<TransactionPart> use(const RowAddress& address, const Row& row, TokenRow token, Stamp now) {
  if (token.expires <= now) return fail(ErrorCode::access_denied, "this token has expired");
  if (token.uses_left == 0)
    return fail(ErrorCode::access_denied, "this token has been used as often as it may be used");
  --token.uses_left;
  TransactionPart part;
  part.conditions.push_back(version_equals(address, row.version));
  part.mutations.push_back(put(address, SharedBytes(encode(token))));
  return part;
}

// ---- The rows of the members table ---------------------------------------------------------------------------------

// Whether it is there already, by an earlier request with the same key.
bool is_admitted(const MembersTable& table, const JoinRequest& request, const KeyHash& key, AccessRole role) {
  if (request.kind == Identity::Kind::client) {
    const Client* client = table.find_client(request.name);
    return client != nullptr && client->key == key && !client->revoked && client->role == role;
  }
  const Member* member = table.find(request.node);
  return member != nullptr && member->key == key &&
         (member->state == MemberState::joining || member->state == MemberState::up);
}

Status put_node(MembersTable& table, const JoinRequest& request, const KeyHash& key, unsigned partition_bits) {
  const Member* known = find_member(table, request.node);
  if (known != nullptr && known->key && known->key != key && known->state != MemberState::removed)
    return fail(ErrorCode::exists, who(request) + " is a member with another key");
  if (Status joining = put_joining(table, request.node, request.address, partition_bits); !joining) return joining;
  Member* member = find_member(table, request.node);
  member->key = key;
  member->address = request.address;
  member->rest_address = request.rest_address;
  return {};
}

Status put_client(MembersTable& table, const JoinRequest& request, const KeyHash& key, AccessRole role) {
  const bool revoked_key = std::any_of(table.clients.begin(), table.clients.end(),
                                       [&](const Client& one) { return one.revoked && one.key == key; });
  if (revoked_key)
    return fail(ErrorCode::access_denied,
                "this client's key was revoked; remove its credentials to join with a new one");
  const auto known = std::find_if(table.clients.begin(), table.clients.end(),
                                  [&](const Client& one) { return one.name == request.name; });
  Client client{.name = request.name, .role = role, .key = key, .revoked = false};
  if (known != table.clients.end()) {
    if (known->key != key && !known->revoked)
      return fail(ErrorCode::exists, "there is another client with the name " + request.name);
    *known = std::move(client);
    return {};
  }
  if (table.clients.size() >= max_clients) {
    // Its certificate is refused without the row as well.
    const auto past =
        std::find_if(table.clients.begin(), table.clients.end(), [](const Client& one) { return one.revoked; });
    if (past == table.clients.end())
      return fail(ErrorCode::out_of_range, "a ring has at most " + std::to_string(max_clients) + " clients");
    table.clients.erase(past);
  }
  table.clients.push_back(std::move(client));
  return {};
}

// ---- Who renews ----------------------------------------------------------------------------------------------------

Status check_renewal(const JoinRequest& request, const Certificate& shown, const KeyHash& key, const Uuid& ring) {
  if (shown.identity() != identity_of(request, ring))
    return fail(ErrorCode::access_denied, "the connection's certificate is not that of " + who(request));
  if (shown.key_hash() != key)
    return fail(ErrorCode::access_denied, "a certificate is renewed for the key that it has");
  return {};
}

Status check_holder(const MembersTable& table, const JoinRequest& request, const Certificate& shown, const KeyHash& key,
                    Stamp now) {
  const auto other_key = [&] {
    return fail(ErrorCode::access_denied, "the ring knows no such key of " + who(request));
  };
  if (request.kind == Identity::Kind::node) {
    const Member* member = table.find(request.node);
    if (member == nullptr || member->key != key) return other_key();
    if (member->state == MemberState::removed)
      return fail(ErrorCode::access_denied, who(request) + " was removed from the ring");
    return {};
  }
  const Client* client = table.find_client(request.name);
  if (client == nullptr || client->key != key) return other_key();
  if (client->revoked) return fail(ErrorCode::access_denied, who(request) + " was revoked");
  if (shown.not_after() + renewal_time < now)
    return fail(ErrorCode::access_denied,
                "the certificate of " + who(request) + " expired more than a year ago: it needs a new token");
  return {};
}

AccessRole role_of(const MembersTable& table, const JoinRequest& request) {
  if (request.kind == Identity::Kind::node) return AccessRole::node;
  const Client* client = table.find_client(request.name);
  RINGFS_CHECK(client != nullptr);
  return client->role;
}

}  // namespace

Admission::Admission(ObjectStore& store, std::function<Stamp()> ring_time, Uuid ring)
    : store_(store), ring_time_(std::move(ring_time)), ring_(ring) {}

Task<Result<JoinAnswer>> Admission::admit(JoinRequest request, std::optional<Certificate> shown, TimePoint deadline) {
  if (Status fits = check_applicant(request); !fits) co_return tl::unexpected(fits.error());
  Result<KeyHash> key = request_key_hash(request.request);
  if (!key) co_return tl::unexpected(key.error());
  Result<JoinAnswer> answer = fail(ErrorCode::access_denied, "a renewal needs the present certificate, or a token");
  if (!request.secret.empty()) {
    answer = co_await join(std::move(request), *key, deadline);
  } else if (shown) {
    answer = co_await renew(std::move(request), *shown, *key, deadline);
  }
  if (!answer) co_return tl::unexpected(of_the_ring(answer.error()));
  co_return answer;
}

Task<Result<JoinAnswer>> Admission::enrol(JoinRequest request, TimePoint deadline) {
  RINGFS_CHECK(request.kind == Identity::Kind::node);
  if (Status fits = check_applicant(request); !fits) co_return tl::unexpected(fits.error());
  const Result<KeyHash> key = request_key_hash(request.request);
  if (!key) co_return tl::unexpected(key.error());
  const Result<RingAuthorities> authorities = co_await read_authorities(store_, deadline);
  if (!authorities) co_return tl::unexpected(authorities.error());
  if (authorities->signing() == nullptr) co_return fail(ErrorCode::not_supported, "this ring has no authority");
  auto change = [&request, &key](MembersTable& table) -> Status {
    Member* member = find_member(table, request.node);
    if (member == nullptr) return fail(ErrorCode::not_found, who(request) + " is not a member");
    if (member->state == MemberState::removed) return fail(ErrorCode::removed, who(request) + " was removed");
    member->key = *key;
    return {};
  };
  Result<MembersTable> table = co_await edit_members_table(store_, change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return co_await sign(std::move(request), std::move(*table), deadline);
}

Task<Result<JoinAnswer>> Admission::join(JoinRequest request, KeyHash key, TimePoint deadline) {
  const RowAddress address = token_row_address(sha256(request.secret));
  // Before anything larger is read: whoever has no token costs no more than this.
  ReadRequest first = token_request(address);
  Result<ReadReply> looked = co_await store_.read(std::move(first), deadline);
  if (!looked) co_return tl::unexpected(looked.error());
  if (Result<TokenRow> token = known_token(*looked, request); !token) co_return tl::unexpected(token.error());
  // Nor is a token used in a ring that cannot sign.
  Result<RingAuthorities> authorities = co_await read_authorities(store_, deadline);
  if (!authorities) co_return tl::unexpected(authorities.error());
  if (authorities->signing() == nullptr) co_return fail(ErrorCode::not_supported, "this ring has no authority");

  auto change = [&](MembersTable& table, const ReadReply& reply) -> Result<TransactionPart> {
    Result<TokenRow> token = known_token(reply, request);
    if (!token) return tl::unexpected(token.error());
    if (is_admitted(table, request, key, token->role)) return TransactionPart{};
    const bool node = request.kind == Identity::Kind::node;
    Status fits =
        node ? put_node(table, request, key, store_.partition_bits()) : put_client(table, request, key, token->role);
    Result<TransactionPart> part = use(address, reply.gets.at(0).row, *token, ring_time_());
    // Of two reasons the token's is the one to tell: whose names are taken is nobody's business without a good one.
    if (part && !fits) return tl::unexpected(fits.error());
    return part;
  };
  ReadRequest read = token_request(address);
  Result<MembersTable> table = co_await edit_members_table_beside(store_, std::move(read), change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return co_await sign(std::move(request), std::move(*table), deadline);
}

Task<Result<JoinAnswer>> Admission::renew(JoinRequest request, Certificate shown, KeyHash key, TimePoint deadline) {
  if (Status fits = check_renewal(request, shown, key, ring_); !fits) co_return tl::unexpected(fits.error());
  Result<MembersTable> table = co_await read_members_table(store_, deadline);
  if (!table) co_return tl::unexpected(table.error());
  if (Status holder = check_holder(*table, request, shown, key, ring_time_()); !holder)
    co_return tl::unexpected(holder.error());
  co_return co_await sign(std::move(request), std::move(*table), deadline);
}

Task<Result<JoinAnswer>> Admission::sign(JoinRequest request, MembersTable table, TimePoint deadline) {
  Result<RingAuthorities> authorities = co_await read_authorities(store_, deadline);
  if (!authorities) co_return tl::unexpected(authorities.error());
  const RingAuthorities::One* signing = authorities->signing();
  if (signing == nullptr) co_return fail(ErrorCode::not_supported, "this ring has no authority");
  CertificateOrder order{.identity = identity_of(request, ring_),
                         .names = hosts_of({request.address, request.rest_address}),
                         .now = ring_time_()};
  Result<Certificate> certificate = issue(signing->authority, request.request, order);
  if (!certificate) co_return tl::unexpected(certificate.error());
  JoinAnswer answer;
  answer.ring = ring_;
  answer.role = role_of(table, request);
  answer.name = request.name;
  answer.certificate = certificate->pem();
  for (const auto& [hash, one] : authorities->all) answer.authorities.push_back(one.authority.certificate.pem());
  co_return answer;
}

}  // namespace ringfs::dht
