// A ring in one process that has an authority: what the tests of tokens, admission and joining begin with.
// Threads: one.
#pragma once

#include <gtest/gtest.h>

#include "dht/net/client/admission.hpp"
#include "dht/net/client/members_edit.hpp"
#include "dht/net/client/trust_admin.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/mutations.hpp"

namespace ringfs::dht {

inline Uuid uuid_of(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes[0] = 1;
  uuid.bytes[15] = number;
  return uuid;
}

struct TrustedRing {
  explicit TrustedRing(Stamp at, unsigned partition_bits = 8) : now(at) {
    rows->partition_bits = partition_bits;
    MembersTable table;
    table.version = 1;
    table.settings["replication"] = "3";
    Member first;
    first.id = uuid_of(100);
    first.address = "10.0.0.1:4001";
    first.tokens = {anchor_of(PartitionId{0}, partition_bits)};
    table.members.push_back(first);
    CommitRequest commit;
    for (const InitialRow& row : rows_of(table)) commit.mutations.push_back(put(row.row.key, row.row.sort, row.value));
    RINGFS_CHECK(run(store.commit(std::move(commit), limit())).has_value());
  }

  TimePoint limit() const { return time.clock().now + std::chrono::seconds(10); }
  template <class T>
  T run(Task<T> task) {
    return time.run(std::move(task));
  }

  void found() { RINGFS_CHECK(run(admin.found_authority(authority, limit())).has_value()); }
  MembersTable table() { return run(read_members_table(store, limit())).value(); }
  void edit(std::function<Status(MembersTable&)> change) {
    RINGFS_CHECK(run(edit_members_table(store, std::move(change), limit())).has_value());
  }
  void set_state(const Uuid& node, MemberState state) {
    edit([&](MembersTable& changed) -> Status {
      for (Member& member : changed.members) {
        if (member.id == node) member.state = state;
      }
      return {};
    });
  }

  // As whoever wants a token asks for it.
  Result<Token> create_token(NewToken wanted) {
    Token token = make_token({}).value();
    wanted.secret_hash = token.secret_hash();
    const Result<KeyHash> of_authority = run(admin.create_token(wanted, limit()));
    if (!of_authority) return tl::unexpected(of_authority.error());
    token.authority = *of_authority;
    return token;
  }
  Token token(NewToken wanted) { return create_token(std::move(wanted)).value(); }
  Token token(AccessRole role, std::uint32_t uses = 1) {
    return token({.rest = false, .role = role, .life = std::chrono::hours(1), .uses = uses, .note = {}});
  }
  std::vector<TokenView> tokens() { return run(admin.tokens(limit())).value(); }

  Result<JoinAnswer> admit(const JoinRequest& request, const std::optional<Certificate>& shown = {}) {
    return run(admission.admit(request, shown, limit()));
  }
  // Nothing that a transaction held or wrote beside its rows is left.
  bool is_clean() {
    time.run_until_idle();
    return rows->intents() == 0 && rows->records() == 0;
  }

  boost::asio::io_context loop;
  VirtualTime time{loop};
  std::shared_ptr<MemoryRing> rows = std::make_shared<MemoryRing>();
  MemoryObjectStore store{time, rows};
  Stamp now;  // the ring's time
  Uuid ring = uuid_of(1);
  Authority authority = make_authority(ring, now).value();
  TrustAdmin admin{store, [this] { return now; }};
  Admission admission{store, [this] { return now; }, ring};
};

inline JoinRequest join_request(const PrivateKey& key, const std::optional<Token>& token) {
  JoinRequest request;
  request.request = make_request(key).value();
  if (token) request.secret.assign(token->secret.begin(), token->secret.end());
  return request;
}

inline JoinRequest client_request(const PrivateKey& key, const std::optional<Token>& token, std::string name) {
  JoinRequest request = join_request(key, token);
  request.kind = Identity::Kind::client;
  request.name = std::move(name);
  return request;
}

inline JoinRequest node_request(const PrivateKey& key, const std::optional<Token>& token, const Uuid& node) {
  JoinRequest request = join_request(key, token);
  request.kind = Identity::Kind::node;
  request.node = node;
  request.address = "10.0.0.2:4001";
  request.rest_address = "node-2.example:8001";
  return request;
}

}  // namespace ringfs::dht
