// Nodes of this machine, found by the UNIX sockets beside their listeners (dht/net/sockets/local_socket.hpp).
//
// Threads: start-up code. Errors: io_error (/proc/net/unix cannot be read). Whose the sockets are is asked when they
// are dialled.
#pragma once

#include <string>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::mount {

// The addresses that nodes of this network namespace listen on, ascending.
Result<std::vector<std::string>> local_nodes();

// The same from the text of /proc/net/unix (proc(5)).
std::vector<std::string> nodes_in(const std::string& table);

}  // namespace ringfs::mount
