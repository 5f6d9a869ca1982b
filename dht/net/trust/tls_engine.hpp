// One TLS connection without its socket: what comes from the wire goes in, what is to be sent comes out, and the plain
// bytes are read and written in between. A stream gives it a socket (dht/net/transport/tls_stream.hpp), a test or a
// fuzzer gives it bytes.
//
// The peer's certificate is asked for on both sides and put before `check` during the handshake. A client ends the
// handshake when the check fails, before anything of its own has left. A server goes on, so that it can say why in
// words: refusal() is set, and its owner must take nothing from such a peer but a request to join.
// Threads: one at a time. Errors: failure() in words, once a call gave `failed`; nothing works afterwards.
// Limits: max_plain_step a write; whoever owns it bounds what it feeds (received()) and what it lets pile up
// (outgoing()).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dht/net/trust/certificate.hpp"
#include "dht/net/trust/tls_context.hpp"

namespace ringfs::dht {

class TlsEngine {
 public:
  enum class Side : std::uint8_t { client, server };
  // Whether the peer's certificate is taken. The chain is what it sent besides.
  using Check = std::function<Status(const Certificate& leaf, const std::vector<Certificate>& chain)>;

  static constexpr std::size_t max_plain_step = 64 << 10;

  TlsEngine(std::shared_ptr<const TlsContext> context, Side side, Check check);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  void received(std::string_view bytes);
  // Bytes for the wire: the owner sends and erases them.
  std::string& outgoing() { return outgoing_; }

  struct Step {
    enum class State : std::uint8_t { done, want_input, closed, failed };
    State state = State::done;
    std::size_t bytes = 0;  // done: of plain text
  };
  Step handshake();  // done: established
  Step read(char* into, std::size_t size);
  Step write(std::string_view plain);
  void close();  // tells the peer that nothing follows (close_notify)

  // What a TlsContext calls for the peer's certificate instead of OpenSSL's own check of the chain.
  static int verify_peer(X509_STORE_CTX* context, void*);

  bool established() const { return established_; }
  const std::optional<Certificate>& peer() const { return peer_; }  // nothing: it has shown none
  const std::vector<Certificate>& chain() const { return chain_; }  // what the peer has sent besides
  const std::optional<Error>& refusal() const { return refusal_; }
  const Error& failure() const { return failure_; }

 private:
  struct Callbacks;
  friend struct Callbacks;
  struct End {
    void operator()(SSL* ssl) const;
  };

  Step stopped(int result);
  bool check_peer(X509_STORE_CTX* context);

  std::shared_ptr<const TlsContext> context_;
  const Side side_;
  Check check_;
  std::unique_ptr<SSL, End> ssl_;
  std::string incoming_;
  std::size_t taken_ = 0;  // of incoming_
  std::string outgoing_;
  bool established_ = false;
  std::optional<Certificate> peer_;
  std::vector<Certificate> chain_;
  std::optional<Error> refusal_;
  Error failure_;
};

}  // namespace ringfs::dht
