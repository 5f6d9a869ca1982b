// The settings of TLS connections, through OpenSSL 3.
#include "dht/net/trust/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "dht/net/trust/tls_engine.hpp"

namespace ringfs::dht {

namespace {

// AES-128 first: as safe for this as AES-256 and a fifth faster.
constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* key_exchange_groups = "X25519:P-256";
constexpr long max_certificate_bytes = 16 << 10;  // of what a peer sends before anybody knows it

// The server's choice: our protocol or none at all (RFC 7301, 3.2).
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned offered_size, void* argument) {
  const std::string& wanted = *static_cast<const std::string*>(argument);
  std::string_view rest(reinterpret_cast<const char*>(offered), offered_size);
  while (!rest.empty()) {
    const std::size_t size = static_cast<unsigned char>(rest.front());
    if (rest.size() < size + 1) break;
    if (rest.substr(1, size) == wanted) {
      *chosen = reinterpret_cast<const unsigned char*>(rest.data()) + 1;
      *length = static_cast<unsigned char>(size);
      return SSL_TLSEXT_ERR_OK;
    }
    rest.remove_prefix(size + 1);
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool use_credentials(SSL_CTX* context, const Credentials& credentials) {
  if (credentials.chain.empty() || SSL_CTX_use_certificate(context, credentials.chain.front().get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, credentials.key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return false;
  }
  for (std::size_t i = 1; i < credentials.chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, credentials.chain[i].get()) != 1) return false;
  }
  return true;
}

bool use_protocol(SSL_CTX* context, const std::string& protocol) {
  std::string list(1, static_cast<char>(protocol.size()));
  list += protocol;
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, const_cast<std::string*>(&protocol));
  // 0 is success here (SSL_CTX_set_alpn_protos(3)).
  return SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(list.data()),
                                 static_cast<unsigned>(list.size())) == 0;
}

}  // namespace

TlsContext::TlsContext(SSL_CTX* context, std::string protocol)
    : context_(context, SSL_CTX_free), protocol_(std::move(protocol)) {}

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const std::optional<Credentials>& credentials,
                                                           const std::string& protocol) {
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  if (context == nullptr) return fail(ErrorCode::io_error, "OpenSSL does not start");
  std::shared_ptr<const TlsContext> made(new TlsContext(context, protocol));
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(context, max_certificate_bytes);
  SSL_CTX_set_cert_verify_callback(context, TlsEngine::verify_peer, nullptr);
  bool fine = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(context, cipher_suites) == 1 &&
              SSL_CTX_set1_groups_list(context, key_exchange_groups) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1;
  if (fine && !protocol.empty()) fine = use_protocol(context, made->protocol_);
  if (fine && credentials && !use_credentials(context, *credentials)) {
    ERR_clear_error();
    return fail(ErrorCode::invalid_argument, "the private key is not that of the certificate");
  }
  ERR_clear_error();
  if (!fine) return fail(ErrorCode::io_error, "OpenSSL does not offer TLS 1.3 as it is needed");
  return made;
}

}  // namespace ringfs::dht
