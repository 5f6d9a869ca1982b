// Tokens, clients and the authority, administered by whoever asks a node: one question and one answer as JSON, over RPC
// (docs/wire-format.md). The rows themselves are for nodes only, so a node carries it out with its own client.
//
//   {"do": "token_create", "secret_hash": "...", "role": "writer", "rest": false, "seconds": 3600, "uses": 1, "note":
//   ""}
//                                           -> {"authority": "..."}   both as 64 hexadecimal digits
//   {"do": "token_list"}                    -> [{"id", "for", "role", "created", "expires", "uses_left", "note"}]
//   {"do": "token_revoke", "id": "..."}     -> {}
//   {"do": "client_list"}                   -> [{"name", "role", "revoked"}]
//   {"do": "client_add", "name": "...", "role": "writer"}  -> {}   where an operator's own authority issues
//   {"do": "client_revoke", "name": "..."}  -> {}
//   {"do": "authority_show"}                -> [{"key", "signs", "since", "until"}]
//   {"do": "authority_create"}              -> {}   of a ring that has none
//   {"do": "authority_rotate"}              -> {}   a second authority signs from now on
//   {"do": "authority_finish", "now": false} -> {}  the former one goes
//
// Whoever wants a token makes its secret, of which the ring gets the SHA-256: asking again makes no second token. Times
// are seconds since 1970, of the ring. Threads: the node's loop. Errors: access_denied (the role), invalid_argument (no
// such question, a field that is missing or wrong, named), not_supported (not with the authority that issues this
// ring's certificates), and those of TrustAdmin.
#pragma once

#include <string>

#include "dht/base/ring/access_role.hpp"
#include "dht/net/client/trust_admin.hpp"
#include "dht/net/transport/ring_trust.hpp"

namespace ringfs::nodes {

class TrustDesk {
 public:
  TrustDesk(ObjectStore& store, std::function<Stamp()> ring_time, Uuid ring, dht::Issuer issuer)
      : admin_(store, std::move(ring_time)), ring_(ring), issuer_(issuer) {}

  // Everything wants the role admin.
  Task<Result<std::string>> answer(std::string question, AccessRole role, TimePoint deadline);

 private:
  dht::TrustAdmin admin_;
  const Uuid ring_;
  const dht::Issuer issuer_;
};

}  // namespace ringfs::nodes
