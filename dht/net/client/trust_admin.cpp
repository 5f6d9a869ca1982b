// Tokens, clients and authorities as rows.
#include "dht/net/client/trust_admin.hpp"

#include <algorithm>

#include "dht/base/row_changes.hpp"
#include "dht/net/client/members_edit.hpp"

namespace ringfs::dht {

namespace {

tl::unexpected<Error> no_authority() {
  return fail(ErrorCode::not_supported, "this ring has no authority; `ringfs authority create` makes one");
}

Status check(const NewToken& token) {
  if (token.life <= Duration::zero() || token.life > max_token_life)
    return fail(ErrorCode::out_of_range, "a token lives for more than nothing and at most 365 days");
  if (token.rest && token.role == AccessRole::node)
    return fail(ErrorCode::invalid_argument, "no token for REST requests has the role node");
  if (!token.rest && (token.uses == 0 || token.uses == without_uses))
    return fail(ErrorCode::out_of_range, "a token can be used at least once");
  if (token.note.size() > max_token_note_bytes)
    return fail(ErrorCode::out_of_range,
                "a token's note has at most " + std::to_string(max_token_note_bytes) + " bytes");
  return {};
}

TokenRow row_of(const NewToken& token, Stamp now) {
  return {.kind = token.rest ? TokenRow::Kind::rest : TokenRow::Kind::join,
          .role = token.role,
          .created = now,
          .expires = now + token.life,
          .uses_left = token.rest ? without_uses : token.uses,
          .note = token.note};
}

// Nothing: there is no token with this secret. An error: there is another one.
std::optional<Status> made_already(const std::vector<Row>& known, const RowAddress& address, const TokenRow& wanted) {
  const auto found =
      std::find_if(known.begin(), known.end(), [&address](const Row& row) { return row.sort == address.sort; });
  if (found == known.end()) return std::nullopt;
  Result<TokenRow> stored = decode_token_row(found->value.view());
  if (stored) {  // made at another time; the rest is as it was asked for
    const Duration life = stored->expires - stored->created;
    stored->created = wanted.created;
    stored->expires = wanted.created + life;
  }
  if (stored && *stored == wanted) return Status();
  return fail(ErrorCode::exists, "the ring has another token with this secret");
}

ReadRequest authorities_request() {
  ReadRequest request;
  ReadRequest::Scan scan;
  scan.key = authority_key;
  request.scans.push_back(std::move(scan));  // one page holds them all
  return request;
}

Mutation put_authority(const std::string& hash, const Authority& authority, Stamp now) {
  const AuthorityRow row{.key = authority.key.pem(), .certificate = authority.certificate.pem(), .created = now};
  return put(authority_row_address(hash), SharedBytes(encode(row)));
}

// The rows are as they were read.
std::vector<Condition> unchanged(const ReadReply& reply) {
  std::vector<Condition> conditions;
  for (const Row& row : reply.scans.at(0).rows)
    conditions.push_back(version_equals({std::string(authority_key), row.sort}, row.version));
  if (conditions.empty()) conditions.push_back(absent(current_authority_address()));
  return conditions;
}

}  // namespace

TrustAdmin::TrustAdmin(ObjectStore& store, std::function<Stamp()> ring_time)
    : store_(store), ring_time_(std::move(ring_time)) {}

Task<Result<RingAuthorities>> read_authorities(ObjectStore& store, TimePoint deadline) {
  Result<std::vector<Row>> rows = co_await read_object(store, std::string(authority_key), deadline);
  if (!rows) co_return tl::unexpected(rows.error());
  co_return authorities_from_rows(*rows);
}

// ---- Tokens --------------------------------------------------------------------------------------------------------

Task<Result<KeyHash>> TrustAdmin::create_token(NewToken token, TimePoint deadline) {
  if (Status fits = check(token); !fits) co_return tl::unexpected(fits.error());
  const Stamp now = ring_time_();
  const TokenRow row = row_of(token, now);
  if (!is_sane(row)) co_return fail(ErrorCode::invalid_argument, "a token's note has no control characters");
  Result<RingAuthorities> authorities = co_await read_authorities(store_, deadline);
  if (!authorities) co_return tl::unexpected(authorities.error());
  const RingAuthorities::One* signing = authorities->signing();
  if (signing == nullptr) co_return no_authority();
  const KeyHash authority = signing->authority.certificate.key_hash();

  Result<std::vector<Row>> known = co_await read_object(store_, std::string(tokens_key), deadline);
  if (!known) co_return tl::unexpected(known.error());
  const RowAddress address = token_row_address(token.secret_hash);
  if (const std::optional<Status> again = made_already(*known, address, row)) {
    if (!*again) co_return tl::unexpected(again->error());
    co_return authority;
  }
  CommitRequest commit;
  commit.conditions.push_back(absent(address));
  for (const Row& one : *known) {
    Result<TokenRow> stored = decode_token_row(one.value.view());
    if (stored && stored->expires <= now) commit.mutations.push_back(erase({std::string(tokens_key), one.sort}));
  }
  if (known->size() - commit.mutations.size() >= max_tokens)
    co_return fail(ErrorCode::out_of_range,
                   "a ring has at most " + std::to_string(max_tokens) + " tokens; revoke some");
  commit.mutations.push_back(put(address, SharedBytes(encode(row))));
  Result<CommitReply> committed = co_await store_.commit(std::move(commit), deadline);
  if (!committed) co_return tl::unexpected(committed.error());
  if (committed->applied) co_return authority;
  // Another node was asked the same, and was faster.
  known = co_await read_object(store_, std::string(tokens_key), deadline);
  if (!known) co_return tl::unexpected(known.error());
  const std::optional<Status> by_another = made_already(*known, address, row);
  if (!by_another) co_return fail(ErrorCode::busy, "the token was made and revoked meanwhile");
  if (!*by_another) co_return tl::unexpected(by_another->error());
  co_return authority;
}

Task<Result<std::vector<TokenView>>> TrustAdmin::tokens(TimePoint deadline) {
  Result<std::vector<Row>> rows = co_await read_object(store_, std::string(tokens_key), deadline);
  if (!rows) co_return tl::unexpected(rows.error());
  std::vector<TokenView> views;
  views.reserve(rows->size());
  for (const Row& row : *rows) {
    const std::string id = row.sort.substr(0, token_id_digits);
    Result<TokenRow> token = decode_token_row(row.value.view());
    if (!token) co_return fail(ErrorCode::corrupt, "token " + id + ": " + token.error().context);
    const bool rest = token->kind == TokenRow::Kind::rest;
    TokenView view{.id = id,
                   .rest = rest,
                   .role = token->role,
                   .created = token->created,
                   .expires = token->expires,
                   .uses_left = {},
                   .note = std::move(token->note)};
    if (!rest) view.uses_left = token->uses_left;
    views.push_back(std::move(view));
  }
  co_return views;
}

Task<Status> TrustAdmin::revoke_token(std::string id, TimePoint deadline) {
  if (!is_token_sort(id, token_id_digits))
    co_return fail(ErrorCode::invalid_argument,
                   "a token is named by at least " + std::to_string(token_id_digits) + " hexadecimal digits");
  ReadRequest request;
  ReadRequest::Scan scan;
  scan.key = tokens_key;
  scan.prefix = id;
  scan.max_rows = 2;
  scan.values = false;
  request.scans.push_back(std::move(scan));
  Result<ReadReply> found = co_await store_.read(std::move(request), deadline);
  if (!found) co_return tl::unexpected(found.error());
  const std::vector<Row>& rows = found->scans.at(0).rows;
  if (rows.empty()) co_return fail(ErrorCode::not_found, "no token " + id);
  if (rows.size() > 1) co_return fail(ErrorCode::invalid_argument, "several tokens begin with " + id);
  CommitRequest commit;
  commit.mutations.push_back(erase({std::string(tokens_key), rows.front().sort}));
  Result<CommitReply> committed = co_await store_.commit(std::move(commit), deadline);
  if (!committed) co_return tl::unexpected(committed.error());
  co_return Status();
}

// ---- Clients -------------------------------------------------------------------------------------------------------

Task<Result<std::vector<Client>>> TrustAdmin::clients(TimePoint deadline) {
  Result<MembersTable> table = co_await read_members_table(store_, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return std::move(table->clients);
}

Task<Status> TrustAdmin::add_client(std::string name, AccessRole role, TimePoint deadline) {
  if (Status fits = check_client_name(name); !fits) co_return fits;
  if (role == AccessRole::node)
    co_return fail(ErrorCode::invalid_argument, "a client has the role reader, writer or admin");
  auto change = [&name, role](MembersTable& table) -> Status {
    const auto client = std::find_if(table.clients.begin(), table.clients.end(),
                                     [&name](const Client& one) { return one.name == name; });
    if (client != table.clients.end()) {
      client->role = role;
      client->revoked = false;
      return {};
    }
    if (table.clients.size() >= max_clients)
      return fail(ErrorCode::out_of_range, "a ring has at most " + std::to_string(max_clients) + " clients");
    table.clients.push_back({.name = name, .role = role, .key = {}, .revoked = false});
    return {};
  };
  Result<MembersTable> table = co_await edit_members_table(store_, change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return Status();
}

Task<Status> TrustAdmin::revoke_client(std::string name, TimePoint deadline) {
  auto change = [&name](MembersTable& table) -> Status {
    const auto client = std::find_if(table.clients.begin(), table.clients.end(),
                                     [&name](const Client& one) { return one.name == name; });
    if (client == table.clients.end()) return fail(ErrorCode::not_found, "no client " + name);
    client->revoked = true;
    return {};
  };
  Result<MembersTable> table = co_await edit_members_table(store_, change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return Status();
}

// ---- Authorities ---------------------------------------------------------------------------------------------------

std::vector<std::string> authority_advice(const MembersTable& table) {
  std::vector<std::string> advice;
  if (table.authorities.empty()) return advice;
  std::size_t removed = 0;
  for (const Member& member : table.members) {
    if (member.state == MemberState::removed && member.key) ++removed;
    const auto replaces = [&member](const Member& one) {
      return one.address == member.address && (one.state == MemberState::up || one.state == MemberState::joining);
    };
    const bool replaced = member.state == MemberState::dead && member.key &&
                          std::any_of(table.members.begin(), table.members.end(), replaces);
    if (replaced) {
      advice.push_back("Another node has the address of node " + member.id.text() + " (" + member.address +
                       "). If its disk was lost: `ringfs remove " + member.id.text() +
                       " --force`, then `ringfs authority rotate`, for the disk has the authority's key.");
    }
  }
  if (removed > 0) {
    advice.push_back((removed == 1 ? "A node was" : std::to_string(removed) + " nodes were") +
                     " removed, whose disk has the key of the ring's authority: `ringfs authority rotate` makes "
                     "another one.");
  }
  return advice;
}

Task<Result<std::vector<AuthorityView>>> TrustAdmin::authorities(TimePoint deadline) {
  Result<RingAuthorities> read = co_await read_authorities(store_, deadline);
  if (!read) co_return tl::unexpected(read.error());
  std::vector<AuthorityView> views;
  for (const auto& [hash, one] : read->all) {
    views.push_back({.key_hash = hash,
                     .current = hash == read->current,
                     .not_before = one.authority.certificate.not_before(),
                     .not_after = one.authority.certificate.not_after()});
  }
  co_return views;
}

Task<Status> TrustAdmin::add_authority(Authority authority, bool first, TimePoint deadline) {
  const std::string hash = hash_text(authority.certificate.key_hash());
  const Stamp now = ring_time_();
  auto change = [&](MembersTable& table, const ReadReply& reply) -> Result<TransactionPart> {
    Result<RingAuthorities> known = authorities_from_rows(reply.scans.at(0).rows);
    if (!known) return tl::unexpected(known.error());
    if (first && known->current == hash) return TransactionPart{};
    if (first && !known->all.empty()) return fail(ErrorCode::exists, "the ring has another authority");
    if (!first && known->all.empty()) return no_authority();
    if (!first && known->all.size() > 1)
      return fail(ErrorCode::busy, "the authority is being replaced already; finish that first");
    table.authorities[hash] = authority.certificate.pem();
    if (table.authorities.size() > max_authorities)
      return fail(ErrorCode::out_of_range, "a ring has at most " + std::to_string(max_authorities) + " authorities");
    for (Member& member : table.members) {
      if (!first && member.state == MemberState::removed) member.key.reset();  // authority_advice()
    }
    TransactionPart part;
    part.conditions = unchanged(reply);
    part.mutations = {put_authority(hash, authority, now), put(current_authority_address(), SharedBytes(hash))};
    return part;
  };
  ReadRequest request = authorities_request();
  Result<MembersTable> table = co_await edit_members_table_beside(store_, std::move(request), change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return Status();
}

Task<Status> TrustAdmin::found_authority(Authority authority, TimePoint deadline) {
  co_return co_await add_authority(std::move(authority), true, deadline);
}

Task<Status> TrustAdmin::create_authority(Uuid ring, TimePoint deadline) {
  const Result<RingAuthorities> known = co_await read_authorities(store_, deadline);
  if (!known) co_return tl::unexpected(known.error());
  if (known->signing() != nullptr) co_return Status();
  Result<Authority> made = make_authority(ring, ring_time_());
  if (!made) co_return tl::unexpected(made.error());
  const Status added = co_await add_authority(std::move(*made), true, deadline);
  // Another one asked at the same time.
  if (!added && added.error().code == ErrorCode::exists) co_return Status();
  co_return added;
}

Task<Status> TrustAdmin::begin_rotation(Uuid ring, TimePoint deadline) {
  Result<Authority> made = make_authority(ring, ring_time_());
  if (!made) co_return tl::unexpected(made.error());
  co_return co_await add_authority(std::move(*made), false, deadline);
}

Task<Status> TrustAdmin::finish_rotation(bool now, TimePoint deadline) {
  const Stamp time = ring_time_();
  auto change = [&](MembersTable& table, const ReadReply& reply) -> Result<TransactionPart> {
    Result<RingAuthorities> known = authorities_from_rows(reply.scans.at(0).rows);
    if (!known) return tl::unexpected(known.error());
    const RingAuthorities::One* signing = known->signing();
    if (signing == nullptr) return no_authority();
    if (known->all.size() == 1) return fail(ErrorCode::not_found, "no authority is being replaced");
    if (!now && signing->created + certificate_life > time)
      return fail(ErrorCode::busy,
                  "certificates of the former authority are still valid; drop it at once only if whoever has not "
                  "renewed may be shut out");
    TransactionPart part;
    part.conditions = unchanged(reply);
    for (const auto& [hash, one] : known->all) {
      if (hash == known->current) continue;
      part.mutations.push_back(erase(authority_row_address(hash)));
      table.authorities.erase(hash);
    }
    return part;
  };
  ReadRequest request = authorities_request();
  Result<MembersTable> table = co_await edit_members_table_beside(store_, std::move(request), change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return Status();
}

}  // namespace ringfs::dht
