// Listening on host:port.
#include "dht/net/sockets/listener.hpp"

#include <fstream>
#include <random>

#include "dht/net/sockets/dial.hpp"

namespace ringfs::dht {

using boost::asio::ip::tcp;

namespace {

constexpr unsigned short first_free_port = 10000;  // below are the ports that people give to their servers
constexpr int free_port_tries = 100;

tl::unexpected<Error> listen_error(const std::string& address, const boost::system::error_code& error) {
  ErrorCode code = ErrorCode::io_error;
  if (error == boost::asio::error::address_in_use) code = ErrorCode::exists;
  if (error == boost::asio::error::access_denied) code = ErrorCode::access_denied;
  return fail(code, "cannot listen on " + address + ": " + error.message());
}

Result<Listener> listen_at(boost::asio::io_context& loop, tcp::endpoint endpoint, const std::string& address) {
  boost::system::error_code error;
  tcp::acceptor acceptor(loop);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (!error) endpoint = acceptor.local_endpoint(error);
  if (error) return listen_error(address, error);
  return Listener{.acceptor = std::move(acceptor), .local = {}, .address = join_address(endpoint)};
}

// Where the ports of outgoing connections begin; 0 where the system does not say.
unsigned first_outgoing_port() {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  unsigned first = 0;
  return file >> first ? first : 0;
}

}  // namespace

Result<std::string> advertised_address(const std::string& advertised, const std::string& listening) {
  Result<HostPort> own = split_address(listening);
  if (!own) return tl::unexpected(own.error());
  if (advertised.empty()) {
    const std::optional<tcp::endpoint> numeric = numeric_endpoint(listening);
    if (!numeric || !numeric->address().is_unspecified()) return listening;
    return fail(ErrorCode::invalid_argument,
                listening + " stands for every address of this machine: say which one others use with --advertise");
  }
  if (split_address(advertised)) return advertised;
  std::string with_port = advertised + ":" + own->port;
  if (!split_address(with_port))
    return fail(ErrorCode::invalid_argument, "'" + advertised + "' is neither a host nor host:port");
  return with_port;
}

Result<Listener> listen_on(boost::asio::io_context& loop, const std::string& address, bool encrypted) {
  Result<HostPort> parts = split_address(address);
  if (!parts) return tl::unexpected(parts.error());
  boost::system::error_code error;
  tcp::resolver resolver(loop);
  auto results = resolver.resolve(parts->host, parts->port, tcp::resolver::passive, error);
  if (error || results.empty()) {
    return fail(ErrorCode::invalid_argument, "cannot resolve '" + parts->host + "': " + error.message());
  }
  tcp::endpoint endpoint = results.begin()->endpoint();
  if (!encrypted && !endpoint.address().is_loopback()) {
    return fail(
        ErrorCode::invalid_argument,
        "refusing to listen on " + address + ": without TLS only loopback addresses (127.0.0.1, [::1]) are allowed");
  }
  const unsigned end = first_outgoing_port();
  if (endpoint.port() != 0 || end <= first_free_port) return listen_at(loop, endpoint, address);
  std::random_device random;
  std::uniform_int_distribution<unsigned> ports(first_free_port, std::min(end, 65536U) - 1);
  for (int left = free_port_tries;; --left) {
    endpoint.port(static_cast<unsigned short>(ports(random)));
    Result<Listener> listener = listen_at(loop, endpoint, address);
    if (listener || listener.error().code != ErrorCode::exists || left == 0) return listener;
  }
}

}  // namespace ringfs::dht
