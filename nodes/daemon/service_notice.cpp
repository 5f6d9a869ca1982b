// Notices for systemd: the datagram of sd_notify(3).
#include "nodes/daemon/service_notice.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "dht/base/descriptor.hpp"

namespace ringfs::nodes {

Status send_notice(const std::string& socket, const std::string& notice) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool abstract = socket.starts_with('@');
  if (socket.size() < 2 || socket.size() >= sizeof address.sun_path || (!abstract && !socket.starts_with('/')))
    return fail(ErrorCode::invalid_argument, "not the name of a UNIX socket: '" + socket + "'");
  std::memcpy(address.sun_path, socket.data(), socket.size());
  if (abstract) address.sun_path[0] = '\0';
  const auto failed = [&](const char* call) {
    return fail(ErrorCode::io_error, std::string(call) + " (" + socket + "): " + std::strerror(errno));
  };
  const Descriptor sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (sender.value < 0) return failed("socket");
  const timeval limit{.tv_sec = notice_limit.count(), .tv_usec = 0};
  if (::setsockopt(sender.value, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return failed("setsockopt");
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
  const ssize_t sent = ::sendto(sender.value, notice.data(), notice.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), size);
  if (sent < 0) return failed("sendto");
  return {};
}

void notify_service_manager(const std::string& notice) {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  if (socket == nullptr) return;
  if (Status sent = send_notice(socket, notice); !sent)
    spdlog::error("event=service_manager_not_told reason=\"{}\"", sent.error().context);
}

}  // namespace ringfs::nodes
