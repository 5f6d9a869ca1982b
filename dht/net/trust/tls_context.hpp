// What this process shows and accepts on TLS connections: TLS 1.3 only, with certificates on both sides.
//
// No session resumption, no early data, no tickets: each connection proves both identities anew, so that a role that
// was taken away is not carried on. A context does not change. A renewed certificate is a new context: connections that
// are made from then on use it, those that are open stay. Threads: any, once made.
// Errors: invalid_argument (a key that is not that of the certificate), io_error.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/net/trust/certificate.hpp"

namespace ringfs::dht {

// Of nodes, mounts and `ringfs` among each other: what make() gets as their protocol.
inline constexpr const char* rpc_tls_protocol = "ringfs/1";

struct Credentials {
  PrivateKey key;
  std::vector<Certificate> chain;  // its own first
};

class TlsContext {
 public:
  // Without credentials: a newcomer, who has none yet. `protocol`: ALPN (RFC 7301); both ends must name the same one.
  // Empty: HTTP, whoever comes.
  static Result<std::shared_ptr<const TlsContext>> make(const std::optional<Credentials>& credentials,
                                                        const std::string& protocol);

  SSL_CTX* get() const { return context_.get(); }
  const std::string& protocol() const { return protocol_; }

 private:
  TlsContext(SSL_CTX* context, std::string protocol);
  std::shared_ptr<SSL_CTX> context_;
  const std::string protocol_;
};

}  // namespace ringfs::dht
