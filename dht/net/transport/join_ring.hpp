// How somebody gets a certificate of a ring: a newcomer by a token, a holder by its present certificate.
//
// A newcomer knows nothing but the token. It believes a server whose chain has an authority with the key hash in the
// token, which signed the server's certificate for a node; only then does the secret leave. Addresses are tried one
// after the other, each once: the next one when there is no connection, another ring or no answer, or a node that
// cannot carry it out now. What a node refuses for good ends it. Asking again with the same key is safe.
//
// Threads: the executor's loop, on which the caller runs, too. Errors, with the address: what the node said; else
// unreachable, connection_refused, timeout, foreign_ring (another authority), access_denied, version_mismatch, corrupt.
// invalid_argument: no address. Limits: join_attempt_time an address, max_join_addresses; the deadline.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <string>
#include <vector>

#include "dht/base/task.hpp"
#include "dht/net/trust/credential_files.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

inline constexpr Duration join_attempt_time = std::chrono::seconds(15);
inline constexpr std::size_t max_join_addresses = 16;

struct JoinOrder {
  std::vector<std::string> addresses;  // of nodes of the ring
  Token token;
  Identity::Kind kind = Identity::Kind::client;
  Uuid node;                          // of a node
  std::string name;                   // of a client
  PrivateKey key;                     // saved by now (save_key())
  std::string address, rest_address;  // of a node: where it will be reached
};
Task<Result<JoinAnswer>> join_ring(boost::asio::any_io_executor executor, JoinOrder order, TimePoint deadline);

struct RenewalOrder {
  std::vector<std::string> addresses;
  StoredCredentials credentials;
  std::string address, rest_address;
};
Task<Result<JoinAnswer>> renew(boost::asio::any_io_executor executor, RenewalOrder order, TimePoint deadline);

// What an answer gives its receiver. The chain is the certificate and the authority that signed it, so that newcomers
// can check a server that shows it. Errors: corrupt (not for this key or identity, not signed by these authorities);
// access_denied (not valid yet: a clock is wrong).
Result<StoredCredentials> credentials_of(const JoinAnswer& answer, const PrivateKey& key, const Identity& identity);

}  // namespace ringfs::dht
