// Keys and certificates through OpenSSL 3.
#include "dht/net/trust/certificate.hpp"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <ctime>

#include "dht/base/hash.hpp"

namespace ringfs::dht {

namespace {

constexpr long version_3 = 2;                // X.509 counts from 0
constexpr int serial_bytes = 16;             // RFC 5280, 4.1.2.2: at most 20
constexpr const char* curve = "prime256v1";  // NIST P-256
constexpr int most_certificates = 4;         // of a chain: leaf, and what an operator's own authority has above it

// An object of OpenSSL with its end.
template <class Object, void (*end)(Object*)>
using Owned = std::unique_ptr<Object, decltype([](Object* object) { end(object); })>;
using OwnedRequest = Owned<X509_REQ, X509_REQ_free>;
using OwnedExtension = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using OwnedNames = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using OwnedStore = Owned<X509_STORE, X509_STORE_free>;
using OwnedStoreContext = Owned<X509_STORE_CTX, X509_STORE_CTX_free>;
using OwnedName = Owned<X509_NAME, X509_NAME_free>;
struct EndBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using OwnedBio = std::unique_ptr<BIO, EndBio>;

tl::unexpected<Error> openssl_failed(const std::string& what) {
  std::array<char, 160> text{};
  const unsigned long error = ERR_get_error();
  ERR_error_string_n(error, text.data(), text.size());
  ERR_clear_error();
  return fail(ErrorCode::io_error, what + (error == 0 ? std::string() : std::string(": ") + text.data()));
}

OwnedBio reading(std::string_view text) {
  return OwnedBio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What `write` puts into a memory BIO.
template <class Write>
std::string written(Write write) {
  OwnedBio bio(BIO_new(BIO_s_mem()));
  RINGFS_CHECK(bio != nullptr && write(bio.get()) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

KeyHash hash_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  RINGFS_CHECK(size > 0);
  const KeyHash hash = sha256({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return hash;
}

// What an own authority signs. An operator's authority may use other keys.
bool is_p256(EVP_PKEY* key) {
  std::array<char, 32> group{};
  std::size_t size = 0;
  return key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         std::string_view(group.data(), size) == curve;
}

Stamp stamp_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Stamp{};
  return Stamp{static_cast<std::int64_t>(timegm(&parts)) * 1'000'000};
}

bool set_time(ASN1_TIME* time, Stamp stamp) {
  return ASN1_TIME_set(time, static_cast<time_t>(stamp.microseconds / 1'000'000)) != nullptr;
}

// Keep passphrases away: a key that has one is refused instead of asking at the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

bool set_serial(X509* certificate) {
  std::array<unsigned char, serial_bytes> bytes{};
  if (RAND_bytes(bytes.data(), serial_bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, and of the full length
  BIGNUM* number = BN_bin2bn(bytes.data(), serial_bytes, nullptr);
  const bool set = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

OwnedName common_name(const std::string& text) {
  OwnedName name(X509_NAME_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (name == nullptr ||
      X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_UTF8, bytes, static_cast<int>(text.size()), -1, 0) != 1) {
    return nullptr;
  }
  return name;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  OwnedExtension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool push_name(GENERAL_NAMES* names, int type, std::string_view bytes) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* value = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  if (name == nullptr || value == nullptr ||
      ASN1_STRING_set(value, bytes.data(), static_cast<int>(bytes.size())) != 1) {
    GENERAL_NAME_free(name);
    ASN1_STRING_free(value);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

// The identity's URI, and the names by which tools reach the holder. Built as objects: no text is parsed as
// configuration.
bool add_alternative_names(X509* certificate, const CertificateOrder& order) {
  OwnedNames names(GENERAL_NAMES_new());
  if (names == nullptr || !push_name(names.get(), GEN_URI, order.identity.uri())) return false;
  for (const std::string& name : order.names) {
    boost::system::error_code no_address;
    const auto address = boost::asio::ip::make_address(name, no_address);
    bool added = false;
    if (no_address) {
      added = push_name(names.get(), GEN_DNS, name);
    } else if (address.is_v4()) {
      const auto bytes = address.to_v4().to_bytes();
      added = push_name(names.get(), GEN_IPADD, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    } else {
      const auto bytes = address.to_v6().to_bytes();
      added = push_name(names.get(), GEN_IPADD, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    if (!added) return false;
  }
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

bool begin_certificate(X509* certificate, Stamp from, Stamp until, const std::string& subject, EVP_PKEY* key) {
  OwnedName name = common_name(subject);
  return name != nullptr && X509_set_version(certificate, version_3) == 1 && set_serial(certificate) &&
         set_time(X509_getm_notBefore(certificate), from) && set_time(X509_getm_notAfter(certificate), until) &&
         X509_set_subject_name(certificate, name.get()) == 1 && X509_set_pubkey(certificate, key) == 1;
}

Result<OwnedRequest> parse_request(std::string_view pem) {
  if (pem.size() > max_pem_bytes) return fail(ErrorCode::invalid_argument, "a certificate request is too long");
  OwnedRequest request(PEM_read_bio_X509_REQ(reading(pem).get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  if (request == nullptr) return fail(ErrorCode::invalid_argument, "not a certificate request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (!is_p256(key)) return fail(ErrorCode::invalid_argument, "a certificate request for a key that is not of P-256");
  if (X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::invalid_argument, "a certificate request that is not signed with its key");
  }
  return request;
}

}  // namespace

// ---- Keys ------------------------------------------------------------------------------------------------------

PrivateKey::PrivateKey(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

Result<PrivateKey> PrivateKey::generate() {
  EVP_PKEY* key = EVP_EC_gen(curve);
  if (key == nullptr) return openssl_failed("cannot make a key");
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > max_pem_bytes) return fail(ErrorCode::invalid_argument, "a private key is too long");
  EVP_PKEY* key = PEM_read_bio_PrivateKey(reading(pem).get(), nullptr, no_passphrase, nullptr);
  ERR_clear_error();
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not a private key (PEM, without a passphrase)");
  return PrivateKey(key);
}

std::string PrivateKey::pem() const {
  return written([this](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

KeyHash PrivateKey::public_hash() const { return hash_of(key_.get()); }

// ---- Certificates ----------------------------------------------------------------------------------------------

Certificate::Certificate(X509* certificate) : certificate_(certificate, X509_free) {}

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  Result<std::vector<Certificate>> chain = chain_from_pem(pem);
  if (!chain) return tl::unexpected(chain.error());
  return chain->front();
}

Result<std::vector<Certificate>> Certificate::chain_from_pem(std::string_view pem) {
  if (pem.size() > max_pem_bytes) return fail(ErrorCode::invalid_argument, "certificates that are too long");
  OwnedBio bio = reading(pem);
  std::vector<Certificate> chain;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    chain.push_back(Certificate(certificate));
    if (chain.size() > most_certificates) return fail(ErrorCode::invalid_argument, "a chain of too many certificates");
    if (X509_get0_pubkey(certificate) == nullptr) {
      ERR_clear_error();
      return fail(ErrorCode::invalid_argument, "a certificate whose key cannot be read");
    }
  }
  const bool at_the_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (chain.empty() || !at_the_end) return fail(ErrorCode::invalid_argument, "not a certificate (PEM)");
  return chain;
}

Certificate Certificate::from_x509(X509* certificate) {
  X509_up_ref(certificate);
  return Certificate(certificate);
}

std::string Certificate::pem() const {
  return written([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

KeyHash Certificate::key_hash() const {
  // A peer's certificate may hold a key that OpenSSL cannot read: it is nobody's.
  EVP_PKEY* key = X509_get0_pubkey(certificate_.get());
  return key == nullptr ? KeyHash{} : hash_of(key);
}

std::optional<Identity> Certificate::identity() const {
  OwnedNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate_.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::optional<Identity> found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type != GEN_URI) continue;
    const auto* text = static_cast<const ASN1_STRING*>(value);
    Result<Identity> identity = parse_identity({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                                static_cast<std::size_t>(ASN1_STRING_length(text))});
    if (!identity || found) return std::nullopt;  // of another system, or two at once
    found = std::move(*identity);
  }
  return found;
}

Stamp Certificate::not_before() const { return stamp_of(X509_get0_notBefore(certificate_.get())); }
Stamp Certificate::not_after() const { return stamp_of(X509_get0_notAfter(certificate_.get())); }
bool Certificate::is_authority() const { return X509_check_ca(certificate_.get()) == 1; }

// ---- Requests and what is signed -------------------------------------------------------------------------------

Result<std::string> make_request(const PrivateKey& key) {
  OwnedRequest request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return openssl_failed("cannot make a certificate request");
  }
  return written([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); });
}

Result<KeyHash> request_key_hash(std::string_view request) {
  Result<OwnedRequest> parsed = parse_request(request);
  if (!parsed) return tl::unexpected(parsed.error());
  return hash_of(X509_REQ_get0_pubkey(parsed->get()));
}

Result<Authority> make_authority(const Uuid& ring, Stamp now) {
  Result<PrivateKey> key = PrivateKey::generate();
  if (!key) return tl::unexpected(key.error());
  Owned<X509, X509_free> certificate(X509_new());
  X509* it = certificate.get();
  const bool made = it != nullptr &&
                    begin_certificate(it, now + -backdating, now + authority_life,
                                      "RingFS authority of ring " + ring.text(), key->get()) &&
                    X509_set_issuer_name(it, X509_get_subject_name(it)) == 1 &&
                    add_extension(it, it, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(it, it, NID_key_usage, "critical,keyCertSign") &&
                    add_extension(it, it, NID_subject_key_identifier, "hash") &&
                    X509_sign(it, key->get(), EVP_sha256()) > 0;
  if (!made) return openssl_failed("cannot make the ring's authority");
  return Authority{.certificate = Certificate::from_x509(it), .key = std::move(*key)};
}

Result<Authority> authority_from_pem(std::string_view certificate, std::string_view key) {
  Result<Certificate> parsed = Certificate::from_pem(certificate);
  if (!parsed) return tl::unexpected(parsed.error());
  Result<PrivateKey> secret = PrivateKey::from_pem(key);
  if (!secret) return tl::unexpected(secret.error());
  if (parsed->key_hash() != secret->public_hash()) {
    return fail(ErrorCode::invalid_argument, "the authority's key is not that of its certificate");
  }
  return Authority{.certificate = std::move(*parsed), .key = std::move(*secret)};
}

Result<Certificate> issue(const Authority& authority, std::string_view request, const CertificateOrder& order) {
  Result<OwnedRequest> parsed = parse_request(request);
  if (!parsed) return tl::unexpected(parsed.error());
  Owned<X509, X509_free> certificate(X509_new());
  X509* it = certificate.get();
  X509* issuer = authority.certificate.get();
  const bool client = order.identity.kind == Identity::Kind::client;
  const std::string subject = client ? order.identity.name : order.identity.node.text();
  const bool made = it != nullptr &&
                    begin_certificate(it, order.now + -backdating, order.now + order.life, subject,
                                      X509_REQ_get0_pubkey(parsed->get())) &&
                    X509_set_issuer_name(it, X509_get_subject_name(issuer)) == 1 &&
                    add_extension(it, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(it, issuer, NID_key_usage, "critical,digitalSignature") &&
                    add_extension(it, issuer, NID_ext_key_usage, client ? "clientAuth" : "serverAuth,clientAuth") &&
                    add_extension(it, issuer, NID_subject_key_identifier, "hash") &&
                    add_extension(it, issuer, NID_authority_key_identifier, "keyid") &&
                    add_alternative_names(it, order) && X509_sign(it, authority.key.get(), EVP_sha256()) > 0;
  if (!made) return openssl_failed("cannot sign a certificate");
  return Certificate::from_x509(it);
}

// ---- Whether one is taken --------------------------------------------------------------------------------------

std::string_view to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::foreign_authority: return "its certificate was signed by another authority";
    case Refusal::not_yet_valid: return "its certificate is not valid yet: one of the two clocks is wrong";
    case Refusal::expired: return "its certificate has expired";
    case Refusal::no_identity: return "its certificate names no node or client of a ring";
    case Refusal::foreign_ring: return "its certificate belongs to another ring";
  }
  return "";
}

tl::expected<Identity, Refusal> verify(const Certificate& leaf, const std::vector<Certificate>& chain,
                                       const std::vector<Certificate>& authorities, const VerifyOptions& options) {
  OwnedStore store(X509_STORE_new());
  OwnedStoreContext context(X509_STORE_CTX_new());
  RINGFS_CHECK(store != nullptr && context != nullptr);
  for (const Certificate& authority : authorities) X509_STORE_add_cert(store.get(), authority.get());
  STACK_OF(X509)* between = sk_X509_new_null();
  for (const Certificate& certificate : chain) sk_X509_push(between, certificate.get());
  bool signed_by_one = X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), between) == 1;
  if (signed_by_one) {
    // Times have words of their own, below. An authority that an operator gives need not be self-signed.
    X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_PARTIAL_CHAIN);
    signed_by_one = X509_verify_cert(context.get()) == 1;
  }
  sk_X509_free(between);
  ERR_clear_error();
  if (!signed_by_one) return tl::unexpected(Refusal::foreign_authority);
  if (options.now < leaf.not_before()) return tl::unexpected(Refusal::not_yet_valid);
  if (options.expiry_counts && options.now > leaf.not_after()) return tl::unexpected(Refusal::expired);
  std::optional<Identity> identity = leaf.identity();
  if (!identity) return tl::unexpected(Refusal::no_identity);
  if (!options.ring.is_nil() && identity->ring != options.ring) return tl::unexpected(Refusal::foreign_ring);
  return *identity;
}

}  // namespace ringfs::dht
