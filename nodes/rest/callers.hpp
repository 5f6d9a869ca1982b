// Who asks: what a connection and the head of a request show (docs/security.md#rest).
//
// Over plain loopback the other end is root or this node's user, which was checked when the connection was accepted: it
// has the role node, whatever else it shows. Over TLS, in this order: `Authorization: Bearer`, which a program sends on
// purpose; a client certificate; the cookie of a session. Each is asked about anew for each request, so a role that was
// taken away is gone on connections that are open, too. A browser sends certificates and cookies unasked: origin.hpp.
// Threads: one. Errors: none; a Caller without a role says why.
#pragma once

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/access_role.hpp"
#include "dht/net/transport/refusals.hpp"
#include "dht/net/trust/certificate.hpp"
#include "nodes/rest/sessions.hpp"

namespace ringfs::nodes {

using RequestHead = boost::beast::http::request_header<>;

struct Caller {
  std::optional<AccessRole> role;  // nothing: a stranger
  bool encrypted = false;
  std::string session;  // the cookie that it is known by; empty: by something else
  // A stranger: why. Another code than access_denied and removed: nobody could be asked about it now.
  Error why;
  dht::RefusalReason reason = dht::RefusalReason::nobody;
};

// Root or the node's user, over plain loopback.
Caller local_caller();

// Errors: access_denied and removed, with words for the holder; unavailable: this node cannot say whom the ring still
// knows.
using RoleOfCertificate =
    std::function<Result<AccessRole>(const dht::Certificate& leaf, const std::vector<dht::Certificate>& chain)>;
// `hash`: SHA-256 of a token's secret in hexadecimal. Errors: access_denied, unavailable as above, those of the ring.
using RoleOfBearer = std::function<Task<Result<AccessRole>>(std::string hash)>;

struct CallerChecks {
  RoleOfCertificate role_of_certificate;
  RoleOfBearer role_of_bearer;
  BrowserSessions& sessions;
  ObjectStore& store;  // for its clock
};

// A certificate alone.
Caller caller_of(const CallerChecks& checks, const std::optional<dht::Certificate>& certificate,
                 const std::vector<dht::Certificate>& chain);
// Over TLS; the arguments must outlive the coroutine.
Task<Caller> identify(const CallerChecks& checks, const RequestHead& head,
                      const std::optional<dht::Certificate>& certificate, const std::vector<dht::Certificate>& chain);

// The value of a cookie of this name; the first, if there are several.
std::optional<std::string> cookie_of(const RequestHead& head, std::string_view name);

}  // namespace ringfs::nodes
