// The byte stream under HTTP: a TCP socket as it is, or TLS 1.3 over it, as Beast wants it (AsyncReadStream and
// AsyncWriteStream).
//
// The handshake is an operation of its own, which the gateway bounds. Cancelling what the socket waits for ends an
// operation of the stream. Threads: the loop of the socket. One operation at a time: HTTP/1.1 reads, then writes.
// Errors: those of the socket; eof for the peer's farewell; protocol_error for what OpenSSL refuses.
// Limits: max_handshake_bytes before a peer is established; incoming_bytes at a time.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "dht/base/task.hpp"
#include "dht/net/trust/tls_engine.hpp"

namespace ringfs::nodes {

class WebStream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;
  template <class Token>
  using Initiated = typename boost::asio::async_result<std::decay_t<Token>,
                                                       void(boost::system::error_code, std::size_t)>::return_type;

  static constexpr std::size_t max_handshake_bytes = 32 << 10;  // a hello and a chain of certificates have some 4 KiB
  static constexpr std::size_t incoming_bytes = 16 << 10;       // a record of TLS

  // Without a context: the socket as it is.
  WebStream(Socket socket, std::shared_ptr<const dht::TlsContext> context);
  ~WebStream();
  WebStream(const WebStream&) = delete;
  WebStream& operator=(const WebStream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& socket() { return socket_; }
  bool encrypted() const { return tls_ != nullptr; }

  // TLS only. Errors: version_mismatch, access_denied or corrupt (in OpenSSL's words), too_large, unreachable (the
  // connection ended).
  Task<Status> handshake();
  // The first byte was none of TLS, so an answer in plain text may be understood.
  bool met_plain_text() const;
  // What the peer has shown, whoever signed it; nothing: no certificate.
  const std::optional<dht::Certificate>& certificate() const;
  const std::vector<dht::Certificate>& chain() const;  // what it sent besides

  // Tells the peer that nothing follows. It may go on sending.
  void shutdown_send();

  template <class Buffers, class Token>
  Initiated<Token> async_read_some(const Buffers& buffers, Token&& token) {
    if (!encrypted()) return socket_.async_read_some(buffers, std::forward<Token>(token));
    Operation operation;
    operation.kind = Operation::Kind::read;
    operation.into = first_of<boost::asio::mutable_buffer>(buffers);
    return start(operation, std::forward<Token>(token));
  }

  template <class Buffers, class Token>
  Initiated<Token> async_write_some(const Buffers& buffers, Token&& token) {
    if (!encrypted()) return socket_.async_write_some(buffers, std::forward<Token>(token));
    Operation operation;
    operation.kind = Operation::Kind::write;
    operation.from = first_of<boost::asio::const_buffer>(buffers);
    return start(operation, std::forward<Token>(token));
  }

 private:
  struct Tls;
  struct Operation {
    enum class Kind : std::uint8_t { handshake, read, write };
    enum class Wait : std::uint8_t { nothing, send, receive };
    Kind kind = Kind::handshake;
    boost::asio::mutable_buffer into;
    boost::asio::const_buffer from;
    Wait wait = Wait::nothing;  // what it waits for now
    bool wants_input = false;
    bool decided = false;  // what it gives is known, and leaves when all is sent
    boost::system::error_code error;
    std::size_t bytes = 0;
  };

  // An operation as Asio carries it: on with it until it must wait, and again when that has ended.
  struct Composed {
    WebStream& stream;
    Operation operation;
    bool suspended = false;  // a completion must not come from inside the call that began it

    template <class Self>
    void operator()(Self& self, boost::system::error_code error = {}, std::size_t bytes = 0) {
      WebStream& on = stream;
      const Operation::Wait wait = on.advance(operation, error, bytes);
      if (wait == Operation::Wait::nothing && suspended) {
        self.complete(operation.error, operation.bytes);
        return;
      }
      suspended = true;
      if (wait == Operation::Wait::send) {
        on.socket_.async_write_some(on.to_send(), std::move(self));
      } else if (wait == Operation::Wait::receive) {
        on.socket_.async_read_some(on.room(), std::move(self));
      } else {
        boost::asio::post(on.get_executor(), std::move(self));
      }
    }
  };

  template <class Token>
  Initiated<Token> start(const Operation& operation, Token&& token) {
    Composed composed{*this, operation};
    return boost::asio::async_compose<Token, void(boost::system::error_code, std::size_t)>(composed, token, socket_);
  }

  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    const auto end = boost::asio::buffer_sequence_end(buffers);
    for (auto one = boost::asio::buffer_sequence_begin(buffers); one != end; ++one) {
      if (Buffer buffer(*one); buffer.size() > 0) return buffer;
    }
    return {};
  }

  // What to wait for now; nothing: it has ended. `error` and `bytes`: how what it waited for has ended.
  Operation::Wait advance(Operation& operation, boost::system::error_code error, std::size_t bytes);
  void step(Operation& operation);
  boost::asio::const_buffer to_send() const;
  boost::asio::mutable_buffer room();

  Socket socket_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace ringfs::nodes
