// UNIX sockets in the abstract namespace, named after addresses.
#include "dht/net/sockets/local_socket.hpp"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <string_view>

#include "dht/net/sockets/dial.hpp"
#include "dht/net/sockets/peer_user.hpp"

namespace ringfs::dht {

namespace {

using Local = boost::asio::local::stream_protocol;

Local::endpoint name_of(const boost::asio::ip::tcp::endpoint& listener) {
  return {std::string(1, '\0') + "ringfs/" + join_address(listener)};
}

// For tests/bench/transports.sh, which compares them with TCP and TLS. Not an option, because nobody else needs it.
bool switched_off() {
  static const bool off = [] {
    const char* value = std::getenv("RINGFS_TEST_LOCAL_SOCKETS");
    return value != nullptr && std::string_view(value) == "off";
  }();
  return off;
}

}  // namespace

std::optional<LocalAcceptor> listen_beside(boost::asio::io_context& loop, const std::string& address) {
  const std::optional<boost::asio::ip::tcp::endpoint> listener = numeric_endpoint(address);
  if (!listener) return std::nullopt;
  boost::system::error_code error;
  LocalAcceptor acceptor(loop);
  acceptor.open(Local(), error);
  if (!error) acceptor.bind(name_of(*listener), error);
  if (!error) acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (!error) return acceptor;
  spdlog::warn("event=no_local_socket address={} reason=\"{}\"", address, error.message());
  return std::nullopt;
}

std::optional<Socket> connect_beside(const boost::asio::any_io_executor& executor,
                                     const boost::asio::ip::tcp::endpoint& listener) {
  if (switched_off()) return std::nullopt;
  boost::system::error_code error;
  Local::socket socket(executor);
  socket.open(Local(), error);
  if (!error) socket.non_blocking(true, error);
  if (!error) socket.connect(name_of(listener), error);  // refused, or a full queue: at once
  if (error) return std::nullopt;
  Result<uid_t> user = user_of_unix_peer(socket.native_handle());
  if (!user || !check_listening_user(*user)) return std::nullopt;
  return Socket(std::move(socket));
}

}  // namespace ringfs::dht
