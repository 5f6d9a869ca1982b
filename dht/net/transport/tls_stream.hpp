// A Stream that is TLS 1.3: a TlsEngine and its socket.
//
// The handshake happens inside reading and writing. A client's begins at once; until it is done nothing is written
// (would_block), and whoever waits to write is called when it is. What was encrypted and did not fit into the socket's
// buffer leaves by itself as soon as there is room, before anything else is taken.
// Threads: the loop of the socket's executor. Errors: as stream.hpp; failure() has words for what OpenSSL refused.
// Limits: outgoing_limit_bytes of cipher text wait, and what one read brought in.
#pragma once

#include <memory>

#include "dht/net/sockets/stream.hpp"
#include "dht/net/trust/tls_engine.hpp"

namespace ringfs::dht {

class TlsStream : public Stream {
 public:
  TlsStream(Socket socket, std::unique_ptr<TlsEngine> engine);
  ~TlsStream() override;

  IoResult read_some(char* into, std::size_t size) override;
  IoResult write_some(std::span<const iovec> pieces) override;
  void wait_readable(Ready ready) override;
  void wait_writable(Ready ready) override;
  void close() override;

  const TlsEngine* tls() const override;
  std::optional<Error> failure() const override;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with waits that may come back after this is gone
};

}  // namespace ringfs::dht
