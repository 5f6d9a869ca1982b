// What the gateway answers: a request in, a response out, without sockets, so that tests can call it.
//
// routes() is the only table of what there is: method, path, who may, and the function. A route cannot be made without
// saying who may, and nothing is answered that is not a route. Threads: the loop of the store. Errors: every error is a
// response.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/verb.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/access_role.hpp"
#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "dht/net/transport/refusals.hpp"
#include "nodes/rest/callers.hpp"
#include "nodes/rest/sessions.hpp"

namespace ringfs::nodes {

using RestRequest = boost::beast::http::request<boost::beast::http::string_body>;
using RestResponse = boost::beast::http::response<boost::beast::http::string_body>;

// No role: this ring's tokens and certificates are not wired up.
Result<AccessRole> no_certificates(const dht::Certificate& leaf, const std::vector<dht::Certificate>& chain);
Task<Result<AccessRole>> no_tokens(std::string hash);

// What strangers are told of the ring's health, so that their questions cost one survey a second.
struct HealthGlance {
  std::optional<TimePoint> at;
  bool serving = false;
  unsigned asking = 0;
};

struct RestContext {
  ObjectStore& store;
  RingView& ring;
  RingAdmin& admin;
  std::function<std::string()> metrics;
  std::function<Duration()> operation_timeout;
  std::function<bool()> in_ring = [] { return true; };  // false: the store, the ring and the admin are not asked
  RoleOfBearer role_of_bearer = no_tokens;
  BrowserSessions sessions = {};
  HealthGlance glance = {};
};

// A request on its way to its resource.
struct RestCall {
  RestRequest request;
  Caller caller;
  std::string name;   // what {...} in the path stands for, decoded
  std::string query;  // behind the question mark

  unsigned version() const { return request.version(); }
};

struct Everybody {};
using RoleOfRow = AccessRole (*)(std::string_view key);  // of the row that the path names
using Needs = std::variant<Everybody, AccessRole, RoleOfRow>;

struct Route {
  using Resource = Task<RestResponse> (*)(RestContext& context, RestCall call);

  Route(boost::beast::http::verb of, std::string_view at, Needs role, Resource function)
      : method(of), path(at), needs(role), resource(function) {}

  boost::beast::http::verb method;  // GET stands for HEAD, too
  std::string_view path;            // may end with one {name}
  Needs needs;
  Resource resource;
};

const std::vector<Route>& routes();
// "reader", "writer", "admin"; of everybody's: "-".
std::string_view role_name(const Route& route);

struct RequestRefusal {
  dht::RefusalReason reason;
  RestResponse response;
};
// Why this caller may not ask this: 401 (a stranger), 403 (too little, or a cookie without proof that an own page
// asks), 503 (who it is cannot be found out now). From the head alone, so before the body is read.
std::optional<RequestRefusal> refusal_of(const RequestHead& head, const Caller& caller);

// Asks refusal_of() first. The context must outlive the coroutine.
Task<RestResponse> answer(RestContext& context, RestRequest request, Caller caller);

// A response {"error": code, "reason": text} with a status.
RestResponse error_response(unsigned version, boost::beast::http::status status, std::string_view code,
                            std::string_view reason);
// 401 with the way to be known.
RestResponse unauthorized(unsigned version, const Error& why, dht::RefusalReason reason);

// The value of a raw key is in object "kv/" + key, row "v".
inline constexpr std::string_view kv_prefix = "kv/";

std::string openapi_document();  // JSON
std::string docs_page();         // HTML

}  // namespace ringfs::nodes
