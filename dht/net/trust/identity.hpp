// Who a connection's other end is (docs/security.md).
//
// An identity is a URI in a certificate, ringfs://<ring uuid>/node/<node uuid> or ringfs://<ring uuid>/client/<name>
// (as SPIFFE does it). Addresses and host names are never one: an address may change, an identity may not.
// Threads: plain values. Errors: invalid_argument for text that is no identity. Limits: max_client_name_bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"
#include "dht/base/ring/access_role.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

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
