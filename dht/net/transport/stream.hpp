// A byte stream under a FrameConnection: plain TCP here; TLS 1.3 is another implementation of the same five functions,
// whose handshake happens inside them (as OpenSSL's SSL_read and SSL_write do on a non-blocking socket).
//
// Reading and writing never block and are tried before anybody waits: a request and its answer then cost two system
// calls a side. Threads: the loop of the socket's executor. Errors: as IoResult; after one, only close() makes sense.
#pragma once

#include <sys/uio.h>

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <span>

#include "dht/base/error.hpp"

namespace ringfs::dht {

struct IoResult {
  enum class State : std::uint8_t { done, would_block, closed, failed };
  State state = State::done;
  std::size_t bytes = 0;  // done: how many, at least 1
  int error = 0;          // failed: errno
  // done, reading: nothing was left, so that the next thing to do is to wait. Never set by a stream that holds bytes
  // back which wait_readable() does not see, as TLS does.
  bool drained = false;
};

class Stream {
 public:
  using Ready = std::function<void()>;

  virtual ~Stream() = default;
  virtual IoResult read_some(char* into, std::size_t size) = 0;
  virtual IoResult write_some(std::span<const iovec> pieces) = 0;
  // Calls `ready` once when it is worth trying again, or the stream failed; never after close(). One of each at a time.
  virtual void wait_readable(Ready ready) = 0;
  virtual void wait_writable(Ready ready) = 0;
  virtual void close() = 0;
};

// How a connected socket becomes a stream: the place where TLS is put in.
using StreamMaker = std::function<std::unique_ptr<Stream>(boost::asio::ip::tcp::socket)>;

// Plain TCP: no delay, keepalive, and bytes unacknowledged for 10 s end the connection (a peer that vanished). Takes
// the socket over.
std::unique_ptr<Stream> make_tcp_stream(boost::asio::ip::tcp::socket socket);

}  // namespace ringfs::dht
