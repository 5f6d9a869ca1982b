// What somebody may do with a ring, and the names of clients that have a role (docs/security.md).
//
// Threads: pure functions. Errors: invalid_argument, with words for a person. Limits: max_client_name_bytes.
#pragma once

#include <cstdint>
#include <string_view>

#include "dht/base/error.hpp"

namespace ringfs {

// Each role may do what the ones before it may.
enum class AccessRole : std::uint8_t {
  reader = 1,  // read data
  writer = 2,  // change data
  admin = 3,   // members, settings, tokens, clients
  node = 4,    // everything: members trust each other
};

std::string_view to_string(AccessRole role);                  // "reader", "writer", "admin", "node"
Result<AccessRole> parse_access_role(std::string_view text);  // the four names

inline constexpr std::size_t max_client_name_bytes = 64;

// Letters, digits, '.', '_' and '-', at most max_client_name_bytes, not beginning with '.' or '-': it stands in URIs,
// in file names and in logs.
Status check_client_name(std::string_view name);

}  // namespace ringfs
