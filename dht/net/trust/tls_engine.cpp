// A TLS connection between two strings, through OpenSSL 3.
#include "dht/net/trust/tls_engine.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstring>

namespace ringfs::dht {

// What OpenSSL calls back. The BIO's data is the engine.
struct TlsEngine::Callbacks {
  static TlsEngine& engine(BIO* bio) { return *static_cast<TlsEngine*>(BIO_get_data(bio)); }

  static int write(BIO* bio, const char* bytes, std::size_t size, std::size_t* written) {
    engine(bio).outgoing_.append(bytes, size);
    *written = size;
    return 1;
  }

  static int read(BIO* bio, char* into, std::size_t size, std::size_t* count) {
    TlsEngine& self = engine(bio);
    BIO_clear_retry_flags(bio);
    *count = std::min(size, self.incoming_.size() - self.taken_);
    if (*count == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(into, self.incoming_.data() + self.taken_, *count);
    self.taken_ += *count;
    if (self.taken_ == self.incoming_.size()) {
      self.incoming_.clear();
      self.taken_ = 0;
    }
    return 1;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* it = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ringfs");
      RINGFS_CHECK(it != nullptr);
      BIO_meth_set_write_ex(it, write);
      BIO_meth_set_read_ex(it, read);
      BIO_meth_set_ctrl(it, control);
      BIO_meth_set_create(it, create);
      return it;
    }();
    return made;
  }
};

namespace {

Error words_of(unsigned long error, TlsEngine::Side side) {
  const bool server = side == TlsEngine::Side::server;
  switch (ERR_GET_REASON(error)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
      return {ErrorCode::version_mismatch, server ? "the other end does not speak TLS, which this address wants"
                                                  : "the other end does not speak TLS"};
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return {ErrorCode::version_mismatch, "the other end speaks an older TLS than 1.3"};
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
      return {ErrorCode::version_mismatch, "the other end speaks TLS, but another protocol than RingFS in it"};
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return {ErrorCode::access_denied, "the other end does not take this certificate"};
    default: break;
  }
  const char* reason = ERR_reason_error_string(error);
  return {ErrorCode::corrupt, std::string("TLS: ") + (reason == nullptr ? "broken" : reason)};
}

}  // namespace

void TlsEngine::End::operator()(SSL* ssl) const { SSL_free(ssl); }

TlsEngine::TlsEngine(std::shared_ptr<const TlsContext> context, Side side, Check check)
    : context_(std::move(context)), side_(side), check_(std::move(check)), ssl_(SSL_new(context_->get())) {
  BIO* bio = BIO_new(Callbacks::method());
  RINGFS_CHECK(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes it over
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);
  if (side_ == Side::client) {
    SSL_set_connect_state(ssl_.get());
  } else {
    SSL_set_accept_state(ssl_.get());
  }
}

TlsEngine::~TlsEngine() = default;

void TlsEngine::received(std::string_view bytes) {
  // What was taken goes when that is the larger part: each byte is moved once at most.
  if (taken_ > incoming_.size() / 2) {
    incoming_.erase(0, taken_);
    taken_ = 0;
  }
  incoming_.append(bytes);
}

int TlsEngine::verify_peer(X509_STORE_CTX* context, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  return static_cast<TlsEngine*>(SSL_get_app_data(ssl))->check_peer(context) ? 1 : 0;
}

bool TlsEngine::check_peer(X509_STORE_CTX* context) {
  X509* leaf = X509_STORE_CTX_get0_cert(context);
  chain_.clear();
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(context);
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    if (sk_X509_value(sent, i) != leaf) chain_.push_back(Certificate::from_x509(sk_X509_value(sent, i)));
  }
  peer_ = Certificate::from_x509(leaf);
  Status taken = check_(*peer_, chain_);
  if (taken) return true;
  refusal_ = taken.error();
  if (side_ == Side::server) return true;
  X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  return false;
}

TlsEngine::Step TlsEngine::stopped(int result) {
  const int why = SSL_get_error(ssl_.get(), result);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return {Step::State::want_input};
  if (why == SSL_ERROR_ZERO_RETURN) return {Step::State::closed};
  if (failure_.context.empty()) {
    failure_ = side_ == Side::client && refusal_ ? *refusal_ : words_of(ERR_peek_last_error(), side_);
  }
  ERR_clear_error();
  return {Step::State::failed};
}

TlsEngine::Step TlsEngine::handshake() {
  if (!failure_.context.empty()) return {Step::State::failed};
  if (established_) return {};
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return stopped(result);
  // A server that chose nothing is one of another kind, or old.
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &chosen, &size);
  if (std::string_view(reinterpret_cast<const char*>(chosen), size) != context_->protocol() &&
      !context_->protocol().empty()) {
    failure_ = {ErrorCode::version_mismatch, "the other end speaks TLS, but another protocol than RingFS in it"};
    return {Step::State::failed};
  }
  established_ = true;
  return {};
}

TlsEngine::Step TlsEngine::read(char* into, std::size_t size) {
  if (Step step = handshake(); step.state != Step::State::done) return step;
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), into, size, &count);
  if (result != 1) return stopped(result);
  return {Step::State::done, count};
}

TlsEngine::Step TlsEngine::write(std::string_view plain) {
  if (Step step = handshake(); step.state != Step::State::done) return step;
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_write_ex(ssl_.get(), plain.data(), std::min(plain.size(), max_plain_step), &count);
  if (result != 1) return stopped(result);
  return {Step::State::done, count};
}

void TlsEngine::close() {
  if (!established_ || !failure_.context.empty()) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());  // the peer's own notice is not waited for
  ERR_clear_error();
}

}  // namespace ringfs::dht
