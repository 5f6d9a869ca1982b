// Who a connection's other end is, and what it may do (docs/security.md).
//
// An identity is a URI in a certificate, ringfs://<ring uuid>/node/<node uuid> or ringfs://<ring uuid>/client/<name>
// (as SPIFFE does it). Addresses and host names are never one: an address may change, an identity may not.
// Threads: plain values. Errors: invalid_argument for text that is no identity. Limits: max_client_name_bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

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

struct Identity {
  enum class Kind : std::uint8_t { node = 1, client = 2 };
  Uuid ring;
  Kind kind = Kind::client;
  Uuid node;         // of a node
  std::string name;  // of a client

  std::string uri() const;
  friend bool operator==(const Identity&, const Identity&) = default;
};

Identity node_identity(const Uuid& ring, const Uuid& node);
Identity client_identity(const Uuid& ring, std::string name);
Result<Identity> parse_identity(std::string_view uri);

}  // namespace ringfs::dht
