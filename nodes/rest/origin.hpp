// Whether a request was meant for this server, and by whom (docs/security.md#browsers).
//
// A web page that is open in a user's browser can send requests to any address that the user reaches, and can let its
// own name point there (DNS rebinding). Its requests carry its own Host or Origin, or say cross-site in Sec-Fetch-Site
// (Fetch Metadata); programs like curl send the address that they connect to and no Origin. A user's own page is the
// one that this server gave out: its Origin is exactly that of the Host. Cookies and client certificates are sent by
// browsers unasked, so this is checked on every listener. Threads: pure functions. Errors: access_denied, naming the
// header.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::nodes {

struct RequestOrigin {
  std::string_view host;            // the Host header; empty: none
  std::string_view origin;          // the Origin header; empty: none
  std::string_view sec_fetch_site;  // empty: none
};

// What the server is called on one connection.
struct ServerNames {
  bool encrypted = false;  // https
  // host:port; the first is the one that it was reached at. A loopback address is called by any loopback address or
  // "localhost", with its port.
  std::vector<std::string> addresses;
};

Status check_origin(const RequestOrigin& request, const ServerNames& server);

// Whether a request that check_origin() takes says itself that a page of this server sent it. One that says nothing may
// come from anywhere.
bool is_from_own_page(const RequestOrigin& request);

}  // namespace ringfs::nodes
