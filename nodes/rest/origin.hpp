// Whether a request was meant for this server, and by whom (docs/security.md#browsers).
//
// A web page that is open in a user's browser can send requests to loopback addresses, and can let its own name point
// there (DNS rebinding). Its requests carry its own Host or Origin, or say cross-site in Sec-Fetch-Site (Fetch
// Metadata); programs like curl send the address that they connect to and no Origin. A user's own page is the one that
// this server gave out: its Origin is exactly that of the Host. Threads: pure function. Errors: access_denied, naming
// the header.
#pragma once

#include <string>
#include <string_view>

#include "dht/base/error.hpp"

namespace ringfs::nodes {

struct RequestOrigin {
  std::string_view host;            // the Host header; empty: none
  std::string_view origin;          // the Origin header; empty: none
  std::string_view sec_fetch_site;  // empty: none
};

// `address`: host:port that the server listens on. A loopback listener is called by any loopback address or
// "localhost", with its port.
Status check_origin(const RequestOrigin& request, const std::string& address);

}  // namespace ringfs::nodes
