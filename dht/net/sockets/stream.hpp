// A byte stream under a FrameConnection: a plain socket here, TCP or UNIX. TLS 1.3 is another implementation of the
// same functions (tls_stream.hpp), whose handshake happens inside them.
//
// Reading and writing never block and are tried before anybody waits: a request and its answer then cost two system
// calls a side. Threads: the loop of the socket's executor. Errors: as IoResult; after one, only close() makes sense.
#pragma once

#include <sys/uio.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "dht/base/error.hpp"

namespace ringfs::dht {

class TlsEngine;

// A connected socket, of whichever family.
using Socket = boost::asio::generic::stream_protocol::socket;

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
  // What TLS knows of the other end; null: it is not TLS.
  virtual const TlsEngine* tls() const { return nullptr; }
  // Why it failed, in words; nothing: errno says it.
  virtual std::optional<Error> failure() const { return std::nullopt; }
};

// How a connected socket becomes a stream: the place where TLS is put in.
using StreamMaker = std::function<std::unique_ptr<Stream>(Socket)>;

// The socket as it is. Takes it over; with the options of set_socket_options().
std::unique_ptr<Stream> make_plain_stream(Socket socket);

// TCP: no delay, keepalive, and bytes unacknowledged for 10 s end the connection (a peer that vanished). Others: a send
// buffer that takes the largest frame.
void set_socket_options(const Socket& socket);

// The address that a generic endpoint of TCP holds.
boost::asio::ip::tcp::endpoint tcp_endpoint(const Socket::endpoint_type& endpoint);
// An IPv4 address that a listener of IPv6 shows as ::ffff:a.b.c.d; others as they are.
boost::asio::ip::address unmapped(const boost::asio::ip::address& address);
// The address of an end of TCP, unmapped; nothing: another family.
std::optional<boost::asio::ip::address> address_of(const Socket::endpoint_type& endpoint);

// Whether it is of TCP, IPv4 or IPv6.
bool is_tcp(const Socket& socket);

}  // namespace ringfs::dht
