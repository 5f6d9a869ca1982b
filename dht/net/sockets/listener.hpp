// A listening socket of a node, for its peers and clients or for REST.
//
// Port 0 takes a free port below the range that the system gives to outgoing connections (ip(7), ip_local_port_range):
// the address is kept and listened on again after a crash, and until then nobody's connection may sit on it, nor reach
// itself by taking the port that it dials.
//
// Threads: start-up code; resolving a name blocks.
// Errors: invalid_argument (not an address, or not loopback without TLS), exists (in use), access_denied, io_error.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "dht/base/error.hpp"
#include "dht/net/sockets/local_socket.hpp"

namespace ringfs::dht {

struct Listener {
  boost::asio::ip::tcp::acceptor acceptor;
  std::optional<LocalAcceptor> local;  // beside a loopback address, if it was asked for
  std::string address;                 // host:port with the port that was taken
};

// What others dial: `advertised` (host or host:port), with the port of `listening` if it names none; `listening` if it
// is empty. Errors: invalid_argument (not an address; nothing is advertised and `listening` stands for all addresses).
Result<std::string> advertised_address(const std::string& advertised, const std::string& listening);

// host:port with a numeric host or a name. `encrypted`: the streams are TLS; without it only loopback addresses are
// listened on.
Result<Listener> listen_on(boost::asio::io_context& loop, const std::string& address, bool encrypted = false);

}  // namespace ringfs::dht
