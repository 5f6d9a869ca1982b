// Which user of this machine is at the other end of a local connection, as the kernel says.
//
// UNIX sockets: SO_PEERCRED (unix(7)), the user that connected. TCP over loopback: sock_diag(7) for exactly this
// connection. Only a socket that a process still holds counts, so one with an inode: a stranger who connects, sends and
// closes is shown as user 0 with inode 0. A process that forwards connections counts as whoever runs it.
// Threads: any; each call asks the kernel anew, and answers at once. Errors: access_denied (nobody holds the other end
// any more, or it is a user whom this user namespace does not know), io_error (no netlink here).
#pragma once

#include <sys/types.h>

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "dht/base/error.hpp"
#include "dht/net/sockets/stream.hpp"

namespace ringfs::dht {

Result<uid_t> user_of_unix_peer(int socket);
// `local` and `remote` are this end's; asked for the socket from `remote` to `local`.
Result<uid_t> user_of_loopback_peer(const boost::asio::ip::tcp::endpoint& local,
                                    const boost::asio::ip::tcp::endpoint& remote);

// The other end of a socket of either kind. Keeps the socket's addresses, not the socket.
class LocalPeer {
 public:
  LocalPeer() = default;  // nobody asks
  explicit LocalPeer(const Socket& socket);
  LocalPeer(const boost::asio::ip::tcp::endpoint& local, const boost::asio::ip::tcp::endpoint& remote)
      : kind_(Kind::tcp), local_(local), remote_(remote) {}

  // Whether it may use this node now (check_local_user()), in the words for whoever is not served. Errors:
  // access_denied, io_error.
  Status served() const;
  // Whether this end, which dialled, may believe it now (check_listening_user()). Errors: access_denied, io_error.
  Status believed() const;
  // "127.0.0.1:41234" or "user 1000 of this machine", for logs.
  std::string name() const;

 private:
  Result<uid_t> user() const;

  enum class Kind : std::uint8_t { unasked, unix_socket, tcp };
  Kind kind_ = Kind::unasked;
  Result<uid_t> unix_user_ = 0;
  boost::asio::ip::tcp::endpoint local_, remote_;
};

// The number by which the kernel names users that have none here (/proc/sys/kernel/overflowuid): nobody in particular.
uid_t overflow_user();
// Root, and the user whom this process runs as, may do to a node what they can do to its process and its files anyway.
// Errors: access_denied; the words go on after "the other end:".
Status check_local_user(uid_t user);
// Whom a client believes that listens on this machine: those above, and the owner of `service`, where the system's node
// keeps its data (packaging/): only root can have given it away. Errors: as above.
inline constexpr char service_directory[] = "/var/lib/ringfs";
Status check_listening_user(uid_t user, const char* service = service_directory);

}  // namespace ringfs::dht
