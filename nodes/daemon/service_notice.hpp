// Tells the service manager (systemd) when this node serves and when it stops, by the protocol of sd_notify(3): one
// datagram to the UNIX socket that the environment names in NOTIFY_SOCKET. By hand, because libsystemd would be one
// more library for every node to do this one thing.
//
// Threads: any; it blocks for at most notice_limit. Errors: invalid_argument (a name that is no UNIX socket's),
// io_error.
#pragma once

#include <chrono>
#include <string>

#include "dht/base/error.hpp"

namespace ringfs::nodes {

inline constexpr std::chrono::seconds notice_limit{1};  // systemd reads its socket all the time

// `socket`: an absolute path, or a name of the abstract namespace after '@'. `notice`: lines such as READY=1.
Status send_notice(const std::string& socket, const std::string& notice);

// To NOTIFY_SOCKET, if there is one. An error is logged: systemd then waits in vain, and says so.
void notify_service_manager(const std::string& notice);

}  // namespace ringfs::nodes
