// The UNIX socket beside a node's listener: processes of one machine speak through it instead of TCP.
//
// It costs a third less processor time and half the latency of TCP over loopback, and needs no certificate. Its name
// follows from the listener's address, so nobody has to be told: "\0ringfs/127.0.0.1:4001", in the abstract namespace
// (unix(7)), which belongs to a network namespace as addresses do, leaves nothing behind and has no limit of length to
// care for. Anybody
// may bind such a name; so both ends ask the kernel whose the other one is (peer_user.hpp), and a dialler that meets a
// stranger's socket takes TCP. A listener whose name is taken does without.
// Threads: the loop. Errors: nothing instead of a socket; TCP is what counts.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <optional>

#include "dht/net/sockets/stream.hpp"

namespace ringfs::dht {

using LocalAcceptor = boost::asio::local::stream_protocol::acceptor;

// `address`: host:port as others dial it, or where they listen; a name has none.
std::optional<LocalAcceptor> listen_beside(boost::asio::io_context& loop, const std::string& address);

// Connected at once, or nothing: no node of this machine listens there.
std::optional<Socket> connect_beside(const boost::asio::any_io_executor& executor,
                                     const boost::asio::ip::tcp::endpoint& listener);

}  // namespace ringfs::dht
