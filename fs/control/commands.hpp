// What is written into `.ring`: one command a line (docs/control-files.md).
//
// Threads and deadlines as RingAdmin. Errors: invalid_argument (malformed), else those of RingAdmin.
#pragma once

#include <string>

#include "dht/base/ring/ring_admin.hpp"

namespace ringfs::fs {

// host:port
Task<Status> add_command(RingAdmin& admin, std::string line, TimePoint deadline);
// <id or host:port> [force]
Task<Status> remove_command(RingAdmin& admin, std::string line, TimePoint deadline);
// pause, resume (as fast as it goes), or bytes a second
Task<Status> rebalance_command(RingAdmin& admin, std::string line, TimePoint deadline);
// the new value
Task<Status> setting_command(RingAdmin& admin, std::string name, std::string line, TimePoint deadline);

}  // namespace ringfs::fs
