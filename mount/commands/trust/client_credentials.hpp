// The certificates of this user for rings on other machines: $XDG_CONFIG_HOME/ringfs or ~/.config/ringfs, a directory
// of mode 0700 for each ring, named after its uuid.
//
// A directory has what dht/net/trust/credential_files.hpp says, and `nodes`: the addresses that the ring was reached
// at, one a line, so that the ring is found by any of them.
// Threads: start-up code. Errors: io_error, invalid_argument (damaged files, named), not_found (no such ring, or
// several that it may be).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/net/transport/operator_trust.hpp"

namespace ringfs::mount {

std::filesystem::path credentials_directory();

// What to show to the nodes at these addresses; null where none is needed or there is none: addresses of this machine.
Result<std::shared_ptr<dht::RingTrust>> credentials_for(const std::vector<std::string>& addresses);

// The same out of an operator's files, which are those of a client.
Result<dht::OperatorTrust> client_trust(dht::OperatorFiles files);

struct ClientJoining {
  std::vector<std::string> nodes;
  std::string token;
  std::string name;  // empty: this machine's, with a few digits behind it
};
// Gets in with a token, unless there are credentials for these addresses; keeps what it got. Blocks for at most a
// minute. The name that it has in the ring.
Result<std::string> join_as_client(const ClientJoining& joining);

}  // namespace ringfs::mount
