// Plain TCP on a non-blocking socket.
#include "dht/net/sockets/stream.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace ringfs::dht {

namespace {

constexpr int keepalive_idle_s = 5;
constexpr int keepalive_interval_s = 2;
constexpr int keepalive_count = 3;
constexpr unsigned unacknowledged_limit_ms = 10'000;
constexpr int local_send_buffer_bytes = 2 << 20;

void set_option(int socket, int level, int name, int value) {
  // A socket that refuses a tuning option still works; what matters is checked by reading and writing.
  static_cast<void>(::setsockopt(socket, level, name, &value, sizeof value));
}

class PlainStream : public Stream {
 public:
  explicit PlainStream(Socket socket) : socket_(std::move(socket)) { set_socket_options(socket_); }

  IoResult read_some(char* into, std::size_t size) override {
    if (!socket_.is_open()) return {IoResult::State::closed};
    for (;;) {
      ssize_t count = ::recv(socket_.native_handle(), into, size, MSG_DONTWAIT);
      if (count > 0) {
        const auto bytes = static_cast<std::size_t>(count);
        return {.state = IoResult::State::done, .bytes = bytes, .drained = bytes < size};
      }
      if (count == 0) return {IoResult::State::closed};
      if (errno != EINTR) return failure(errno);
    }
  }

  IoResult write_some(std::span<const iovec> pieces) override {
    if (!socket_.is_open()) return {IoResult::State::closed};
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());  // sendmsg does not change it
    message.msg_iovlen = pieces.size();
    for (;;) {
      ssize_t count = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count >= 0) return {IoResult::State::done, static_cast<std::size_t>(count)};
      if (errno != EINTR) return failure(errno);
    }
  }

  void wait_readable(Ready ready) override { wait(Socket::wait_read, std::move(ready)); }
  void wait_writable(Ready ready) override { wait(Socket::wait_write, std::move(ready)); }

  void close() override {
    boost::system::error_code ignored;  // closing has no failure that anybody could act on
    socket_.close(ignored);
  }

 private:
  static IoResult failure(int error) {
    if (error == EAGAIN || error == EWOULDBLOCK) return {IoResult::State::would_block};
    return {IoResult::State::failed, 0, error};
  }

  void wait(Socket::wait_type type, Ready ready) {
    socket_.async_wait(type, [ready = std::move(ready)](boost::system::error_code error) {
      if (error != boost::asio::error::operation_aborted) ready();
    });
  }

  Socket socket_;
};

}  // namespace

std::unique_ptr<Stream> make_plain_stream(Socket socket) { return std::make_unique<PlainStream>(std::move(socket)); }

boost::asio::ip::tcp::endpoint tcp_endpoint(const Socket::endpoint_type& endpoint) {
  boost::asio::ip::tcp::endpoint address;
  if (endpoint.size() <= address.capacity()) {
    std::memcpy(address.data(), endpoint.data(), endpoint.size());
    address.resize(endpoint.size());
  }
  return address;
}

boost::asio::ip::address unmapped(const boost::asio::ip::address& address) {
  namespace ip = boost::asio::ip;
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return ip::make_address_v4(ip::v4_mapped, address.to_v6());
}

std::optional<boost::asio::ip::address> address_of(const Socket::endpoint_type& endpoint) {
  const int family = endpoint.protocol().family();
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  return unmapped(tcp_endpoint(endpoint).address());
}

bool is_tcp(const Socket& socket) {
  boost::system::error_code error;
  const int family = socket.local_endpoint(error).protocol().family();
  return !error && (family == AF_INET || family == AF_INET6);
}

void set_socket_options(const Socket& socket) {
  const int handle = const_cast<Socket&>(socket).native_handle();  // which changes nothing
  if (!is_tcp(socket)) {
    // Unlike TCP's, its buffer does not grow with use: a message of 1 MiB would take five turns of both ends.
    set_option(handle, SOL_SOCKET, SO_SNDBUF, local_send_buffer_bytes);
    set_option(handle, SOL_SOCKET, SO_SNDBUFFORCE, local_send_buffer_bytes);  // of root, beyond net.core.wmem_max
    return;
  }
  set_option(handle, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(handle, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(handle, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
  set_option(handle, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
  set_option(handle, IPPROTO_TCP, TCP_KEEPCNT, keepalive_count);
  set_option(handle, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(unacknowledged_limit_ms));
}

}  // namespace ringfs::dht
