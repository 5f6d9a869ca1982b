// Keys and certificates of a ring: its authority, and what it signs (X.509 v3, RFC 5280; ECDSA with P-256).
//
// A certificate names its holder by one URI (dht/net/trust/identity.hpp). Whether a holder still counts is asked of the
// ring's tables by the hash of its key; the authority's signature only lets newcomers in (docs/security.md).
// Everything is PEM text outside: files, rows and messages hold that. Threads: plain values; OpenSSL 3's objects are
// counted atomically. Errors: invalid_argument (not such a PEM, another kind of key), io_error (OpenSSL failed), with
// the reason. Limits: max_pem_bytes.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/time.hpp"
#include "dht/net/trust/identity.hpp"
#include "dht/net/trust/token.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_pem_bytes = 16 << 10;  // of one text: a chain of three has less than 4 KiB
inline constexpr Duration certificate_life = std::chrono::hours(90 * 24);
inline constexpr Duration authority_life = std::chrono::hours(24 * 365 * 20);
// A machine whose clock is a little behind takes a new certificate all the same.
inline constexpr Duration backdating = std::chrono::hours(24);

// A private key; it leaves this process only as what pem() gives.
class PrivateKey {
 public:
  static Result<PrivateKey> generate();
  static Result<PrivateKey> from_pem(std::string_view pem);
  std::string pem() const;  // PKCS #8, not encrypted: for a file of mode 0600
  KeyHash public_hash() const;
  EVP_PKEY* get() const { return key_.get(); }

 private:
  explicit PrivateKey(EVP_PKEY* key);
  std::shared_ptr<EVP_PKEY> key_;
};

class Certificate {
 public:
  static Result<Certificate> from_pem(std::string_view pem);
  // All of a file or message, in its order; at least one.
  static Result<std::vector<Certificate>> chain_from_pem(std::string_view pem);
  // Takes a reference of its own.
  static Certificate from_x509(X509* certificate);

  std::string pem() const;
  KeyHash key_hash() const;
  // What its only URI says; nothing: an authority, or nothing of ours.
  std::optional<Identity> identity() const;
  Stamp not_before() const;
  Stamp not_after() const;
  bool is_authority() const;
  X509* get() const { return certificate_.get(); }

 private:
  explicit Certificate(X509* certificate);
  std::shared_ptr<X509> certificate_;
};

// A request for a certificate (PKCS #10, PEM): the public key and the proof that its sender has the private one. Who it
// is for is said beside it.
Result<std::string> make_request(const PrivateKey& key);
// The hash of the key that it is for. Errors: as above, also when the proof is wrong.
Result<KeyHash> request_key_hash(std::string_view request);

struct Authority {
  Certificate certificate;
  PrivateKey key;
};
// A new authority of a ring, which signs nobody but holders of certificates (path length 0).
Result<Authority> make_authority(const Uuid& ring, Stamp now);
Result<Authority> authority_from_pem(std::string_view certificate, std::string_view key);

struct CertificateOrder {
  Identity identity;
  std::vector<std::string> names;  // host names and addresses that tools like curl look for; no identity
  Stamp now;
  Duration life = certificate_life;
};
// Signs what the request is for: valid from `backdating` before now until now + life.
Result<Certificate> issue(const Authority& authority, std::string_view request, const CertificateOrder& order);

// Why a certificate is not taken; each is told to its holder in its own words.
enum class Refusal : std::uint8_t { foreign_authority, not_yet_valid, expired, no_identity, foreign_ring };
std::string_view to_string(Refusal refusal);

struct VerifyOptions {
  Uuid ring;  // nil: any
  Stamp now;
  bool expiry_counts = true;  // between members it is a reason to renew, not to refuse
};
// Whether one of the authorities signed the leaf (by itself or through the chain) and it is an identity of the ring.
tl::expected<Identity, Refusal> verify(const Certificate& leaf, const std::vector<Certificate>& chain,
                                       const std::vector<Certificate>& authorities, const VerifyOptions& options);

}  // namespace ringfs::dht
