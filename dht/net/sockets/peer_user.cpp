// The user at the other end of a local connection.
#include "dht/net/sockets/peer_user.hpp"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <string>

#include "dht/base/descriptor.hpp"
#include "dht/net/sockets/dial.hpp"

namespace ringfs::dht {

namespace {

using boost::asio::ip::tcp;

constexpr timeval netlink_limit{.tv_sec = 1,
                                .tv_usec = 0};  // the kernel answers while it is asked; never wait for ever
constexpr uid_t usual_overflow_user = 65534;

struct SocketQuestion {
  nlmsghdr header{};
  inet_diag_req_v2 request{};
};

void put_address(std::span<__be32, 4> into, const boost::asio::ip::address& address) {
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    std::memcpy(into.data(), bytes.data(), bytes.size());
  } else {
    const auto bytes = address.to_v6().to_bytes();
    std::memcpy(into.data(), bytes.data(), bytes.size());
  }
}

SocketQuestion question(const tcp::endpoint& from, const tcp::endpoint& to) {
  SocketQuestion it;
  it.header.nlmsg_len = sizeof it;
  it.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  it.header.nlmsg_flags = NLM_F_REQUEST;
  it.request.sdiag_family = from.address().is_v4() ? AF_INET : AF_INET6;
  it.request.sdiag_protocol = IPPROTO_TCP;
  it.request.idiag_states = 1U << TCP_ESTABLISHED | 1U << TCP_FIN_WAIT1 | 1U << TCP_FIN_WAIT2;
  it.request.id.idiag_sport = htons(from.port());
  it.request.id.idiag_dport = htons(to.port());
  put_address(it.request.id.idiag_src, from.address());
  put_address(it.request.id.idiag_dst, to.address());
  it.request.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  it.request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return it;
}

tl::unexpected<Error> netlink_failed() {
  return fail(ErrorCode::io_error,
              std::string("cannot ask the kernel who is at the other end (sock_diag): ") + std::strerror(errno));
}

// A process holds the socket: it has an inode. That of a closed one has none, and user 0. A client that has said all
// that it wants to say may have closed its sending half.
bool is_held(const inet_diag_msg& socket) {
  const bool open = socket.idiag_state == TCP_ESTABLISHED || socket.idiag_state == TCP_FIN_WAIT1 ||
                    socket.idiag_state == TCP_FIN_WAIT2;
  return open && socket.idiag_inode != 0;
}

tl::unexpected<Error> nobody() { return fail(ErrorCode::access_denied, "no process holds the other end any more"); }

}  // namespace

Result<uid_t> user_of_unix_peer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return fail(ErrorCode::io_error, std::string("SO_PEERCRED: ") + std::strerror(errno));
  }
  return credentials.uid;
}

Result<uid_t> user_of_loopback_peer(const tcp::endpoint& local, const tcp::endpoint& remote) {
  Descriptor netlink(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (netlink.value < 0) return netlink_failed();
  const SocketQuestion asked = question(remote, local);
  if (::setsockopt(netlink.value, SOL_SOCKET, SO_RCVTIMEO, &netlink_limit, sizeof netlink_limit) != 0 ||
      ::send(netlink.value, &asked, sizeof asked, 0) != static_cast<ssize_t>(sizeof asked)) {
    return netlink_failed();
  }
  alignas(nlmsghdr) std::array<char, 4096> buffer{};
  const ssize_t size = ::recv(netlink.value, buffer.data(), buffer.size(), 0);
  if (size < 0) return netlink_failed();
  auto left = static_cast<unsigned>(size);
  for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
       message = NLMSG_NEXT(message, left)) {
    if (message->nlmsg_type == NLMSG_ERROR) break;  // ENOENT: there is no such connection
    if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || message->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
      continue;
    const auto* answer = static_cast<const inet_diag_msg*>(NLMSG_DATA(message));
    if (!is_held(*answer)) break;
    return answer->idiag_uid;
  }
  return nobody();
}

LocalPeer::LocalPeer(const Socket& socket) : kind_(Kind::tcp) {
  boost::system::error_code error;
  const auto local = socket.local_endpoint(error);
  if (error) return;  // closed already: the endpoints name nothing, and nobody is found
  if (local.protocol().family() == AF_UNIX) {
    kind_ = Kind::unix_socket;
    unix_user_ = user_of_unix_peer(const_cast<Socket&>(socket).native_handle());  // which changes nothing
    return;
  }
  const auto remote = socket.remote_endpoint(error);
  if (error) return;
  local_ = tcp_endpoint(local);
  remote_ = tcp_endpoint(remote);
}

Result<uid_t> LocalPeer::user() const {
  if (kind_ == Kind::unix_socket) return unix_user_;
  if (!remote_.address().is_loopback()) return fail(ErrorCode::access_denied, "the other end is not on this machine");
  return user_of_loopback_peer(local_, remote_);
}

Status LocalPeer::believed() const {
  if (kind_ == Kind::unasked) return {};
  Result<uid_t> found = user();
  if (!found) return tl::unexpected(found.error());
  return check_listening_user(*found);
}

Status LocalPeer::served() const {
  if (kind_ == Kind::unasked) return {};
  Result<uid_t> found = user();
  Status checked = found ? check_local_user(*found) : tl::unexpected(found.error());
  if (checked) return {};
  return fail(checked.error().code,
              "only processes of root and of this node's user are served; as for this one, " + checked.error().context);
}

std::string LocalPeer::name() const {
  if (kind_ != Kind::unix_socket) return join_address(remote_);
  return unix_user_ ? "user " + std::to_string(*unix_user_) + " of this machine" : "a process of this machine";
}

uid_t overflow_user() {
  static const uid_t user = [] {  // read once: it is asked for every connection
    std::ifstream file("/proc/sys/kernel/overflowuid");
    uid_t number = usual_overflow_user;
    return file >> number ? number : usual_overflow_user;
  }();
  return user;
}

Status check_local_user(uid_t user) {
  if (user == overflow_user()) return fail(ErrorCode::access_denied, "it is of a user who has no number here");
  if (user == 0 || user == ::geteuid()) return {};
  return fail(ErrorCode::access_denied, "it is of user " + std::to_string(user) + ", neither root nor user " +
                                            std::to_string(::geteuid()) + " of this process");
}

Status check_listening_user(uid_t user, const char* service) {
  Status checked = check_local_user(user);
  if (checked || user == overflow_user()) return checked;
  struct stat directory {};
  const bool known = ::lstat(service, &directory) == 0 && S_ISDIR(directory.st_mode);
  if (known && directory.st_uid == user) return {};
  return fail(checked.error().code, checked.error().context + ", nor the owner of " + service);
}

}  // namespace ringfs::dht
