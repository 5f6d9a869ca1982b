// Tokens, clients and the authority of a ring, as whoever administers it changes them. They are rows of ring/tokens,
// ring/authority (dht/net/trust/token_rows.hpp, authority_rows.hpp) and of the members table.
//
// Threads: one loop; the store outlives it and its calls. Errors: invalid_argument, out_of_range and not_found in words
// for whoever asked; not_supported (the ring has no authority), busy (a rotation is under way or may not end yet),
// exists (another authority), corrupt (a damaged row), and those of object_store.hpp.
// Limits: max_tokens, which several calls at once may pass by one each; max_token_life; max_authority_rows.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/net/trust/authority_rows.hpp"
#include "dht/net/trust/token_rows.hpp"

namespace ringfs::dht {

inline constexpr Duration max_token_life = std::chrono::hours(24 * 365);

struct TokenView {
  std::string id;  // token_id_digits hexadecimal digits
  bool rest = false;
  AccessRole role{};
  Stamp created, expires;
  std::optional<std::uint32_t> uses_left;  // nothing: of a rest token
  std::string note;
};

struct NewToken {
  bool rest = false;  // for REST requests; it lets nobody in
  AccessRole role = AccessRole::reader;
  Duration life = std::chrono::hours(1);
  std::uint32_t uses = 1;  // not of a rest token
  std::string note;
  KeyHash secret_hash{};  // of the secret, which whoever asks has made and keeps (dht/net/trust/token.hpp)
};

struct AuthorityView {
  std::string key_hash;
  bool current = false;  // it signs
  Stamp not_before, not_after;
};

class TrustAdmin {
 public:
  TrustAdmin(ObjectStore& store, std::function<Stamp()> ring_time);

  // The hash of the authority's key, which is the other part of the token. Asking again with the same secret changes
  // nothing, so that an answer that was lost makes no second token. Removes tokens that have expired. Errors: also
  // exists (the secret is that of another token).
  Task<Result<KeyHash>> create_token(NewToken token, TimePoint deadline);
  Task<Result<std::vector<TokenView>>> tokens(TimePoint deadline);
  // `id`: at least token_id_digits of its digits.
  Task<Status> revoke_token(std::string id, TimePoint deadline);

  Task<Result<std::vector<Client>>> clients(TimePoint deadline);
  // A client whose certificate an operator's own authority issues; again: with this role, revoked or not.
  Task<Status> add_client(std::string name, AccessRole role, TimePoint deadline);
  Task<Status> revoke_client(std::string name, TimePoint deadline);

  Task<Result<std::vector<AuthorityView>>> authorities(TimePoint deadline);
  // The ring's first authority. The same one again is fine.
  Task<Status> found_authority(Authority authority, TimePoint deadline);
  // A first authority for a ring that was made without one. Where there is one already nothing changes.
  Task<Status> create_authority(Uuid ring, TimePoint deadline);
  // A second authority, which signs from now on; both are trusted. Tokens that name the former one let nobody in any
  // more where the nodes already show certificates of the new one.
  Task<Status> begin_rotation(Uuid ring, TimePoint deadline);
  // Drops the former one. Unless `now`, only when every certificate that it signed has expired; with it, members and
  // clients that have not renewed theirs yet need a new token.
  Task<Status> finish_rotation(bool now, TimePoint deadline);

 private:
  Task<Status> add_authority(Authority authority, bool first, TimePoint deadline);

  ObjectStore& store_;
  const std::function<Stamp()> ring_time_;
};

// What should be done about the authority, in sentences for a person: whoever has the disk of a node that was removed
// or lost knows the authority's key. begin_rotation() forgets the keys of removed nodes, so a removed node that still
// has one was a member under the present authority.
std::vector<std::string> authority_advice(const MembersTable& table);

// What signs, and what did so before.
Task<Result<RingAuthorities>> read_authorities(ObjectStore& store, TimePoint deadline);

}  // namespace ringfs::dht
