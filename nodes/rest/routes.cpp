// The table of routes, who may ask what, and the way from a request to its resource.
#include "nodes/rest/routes.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>

#include "dht/base/percent.hpp"
#include "dht/net/runtime/access.hpp"
#include "nodes/rest/origin.hpp"
#include "nodes/rest/resources.hpp"

namespace ringfs::nodes {

namespace http = boost::beast::http;
using http::verb;

namespace {

constexpr std::size_t max_name_bytes_in_path = max_key_bytes - kv_prefix.size();

std::string object_of(std::string_view name) { return std::string(kv_prefix).append(name); }
AccessRole to_read_value(std::string_view name) { return dht::role_to_read(object_of(name)); }
AccessRole to_change_value(std::string_view name) { return dht::role_to_change(object_of(name)); }

struct Target {
  std::string path;
  std::string query;
};

Target target_of(const RequestHead& head) {
  const std::string_view whole(head.target().data(), head.target().size());
  const std::size_t mark = whole.find('?');
  if (mark == std::string_view::npos) return {std::string(whole), {}};
  return {std::string(whole.substr(0, mark)), std::string(whole.substr(mark + 1))};
}

// The path up to a {name}; all of it where there is none.
std::string_view fixed_part(const Route& route) { return route.path.substr(0, route.path.find('{')); }
bool has_name(const Route& route) { return route.path.ends_with('}'); }

bool is_at(const Route& route, std::string_view path) {
  return has_name(route) ? path.starts_with(fixed_part(route)) : path == route.path;
}

std::string_view encoded_name(const Route& route, std::string_view path) {
  return has_name(route) ? path.substr(fixed_part(route).size()) : std::string_view();
}

const Route* find_route(verb method, std::string_view path) {
  const verb wanted = method == verb::head ? verb::get : method;
  const auto& all = routes();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Route& route) { return route.method == wanted && is_at(route, path); });
  return found == all.end() ? nullptr : &*found;
}

// "GET, HEAD, PUT"; empty: nothing is at this path.
std::string allowed_at(std::string_view path) {
  std::string allowed;
  for (const Route& route : routes()) {
    if (!is_at(route, path)) continue;
    if (!allowed.empty()) allowed += ", ";
    const auto method = http::to_string(route.method);
    allowed.append(method.data(), method.size());
    if (route.method == verb::get) allowed += ", HEAD";
  }
  return allowed;
}

// Nothing: everybody may.
std::optional<AccessRole> role_for(const Route& route, std::string_view path) {
  if (std::holds_alternative<Everybody>(route.needs)) return std::nullopt;
  if (const AccessRole* role = std::get_if<AccessRole>(&route.needs)) return *role;
  // A name that cannot be decoded is refused by whoever may ask at all.
  const Result<std::string> name = percent_decode(encoded_name(route, path));
  return std::get<RoleOfRow>(route.needs)(name ? *name : std::string());
}

RestResponse nothing_there(unsigned version, std::string_view path) {
  const std::string allowed = allowed_at(path);
  if (allowed.empty()) {
    return error_response(version, http::status::not_found, "not_found", "no such resource; see /docs");
  }
  RestResponse response =
      error_response(version, http::status::method_not_allowed, "invalid_argument", "this resource takes " + allowed);
  response.set(http::field::allow, allowed);
  return response;
}

std::string_view text(boost::beast::string_view from) { return {from.data(), from.size()}; }

RequestRefusal stranger_refused(unsigned version, const Caller& caller) {
  if (caller.why.code == ErrorCode::access_denied || caller.why.code == ErrorCode::removed) {
    return {caller.reason, unauthorized(version, caller.why, caller.reason)};
  }
  // What else went wrong inside is nothing for strangers.
  const bool cut_off = caller.reason == dht::RefusalReason::cut_off;
  return {caller.reason,
          error_response(version, http::status::service_unavailable, "unavailable",
                         cut_off ? caller.why.context : "the ring cannot be asked about this now: try again")};
}

}  // namespace

const std::vector<Route>& routes() {
  using enum AccessRole;
  static const std::vector<Route> table = {
      {verb::get, "/", Everybody(), get_start},
      {verb::get, "/login", Everybody(), get_login_page},
      {verb::post, "/v1/login", Everybody(), log_in},
      {verb::post, "/v1/logout", reader, log_out},
      {verb::get, "/healthz", Everybody(), get_health},  // strangers learn less
      {verb::get, "/metrics", reader, get_metrics},
      {verb::get, "/openapi.json", reader, get_openapi},
      {verb::get, "/docs", reader, get_docs},
      {verb::get, "/v1/ring", reader, get_ring},
      {verb::get, "/v1/members", reader, get_members},
      {verb::post, "/v1/members", admin, add_member},
      {verb::delete_, "/v1/members/{member}", admin, remove_member},
      {verb::get, "/v1/lookup/{key}", to_read_value, get_lookup},
      {verb::get, "/v1/kv/{key}", to_read_value, get_value},
      {verb::put, "/v1/kv/{key}", to_change_value, change_value},
      {verb::delete_, "/v1/kv/{key}", to_change_value, change_value},
  };
  return table;
}

std::string_view role_name(const Route& route) {
  const std::optional<AccessRole> role = role_for(route, route.path);
  return role ? to_string(*role) : std::string_view("-");
}

Result<AccessRole> no_certificates(const dht::Certificate&, const std::vector<dht::Certificate>&) {
  return fail(ErrorCode::access_denied, "this node takes no client certificates");
}

Task<Result<AccessRole>> no_tokens(std::string) {
  co_return fail(ErrorCode::access_denied, "this node takes no tokens");
}

RestResponse unauthorized(unsigned version, const Error& why, dht::RefusalReason reason) {
  RestResponse response = error_response(version, http::status::unauthorized, "access_denied", why.context);
  const bool token = reason == dht::RefusalReason::token;  // RFC 6750, section 3
  response.set(http::field::www_authenticate,
               token ? "Bearer realm=\"ringfs\", error=\"invalid_token\"" : "Bearer realm=\"ringfs\"");
  return response;
}

std::optional<RequestRefusal> refusal_of(const RequestHead& head, const Caller& caller) {
  const std::string path = target_of(head).path;
  const Route* route = find_route(head.method(), path);
  const bool open = route != nullptr && std::holds_alternative<Everybody>(route->needs);
  // Strangers do not even learn what there is.
  if (!caller.role && !open) return stranger_refused(head.version(), caller);
  if (route == nullptr) return std::nullopt;  // 404 or 405
  if (const std::optional<AccessRole> role = role_for(*route, path); role && *caller.role < *role) {
    const std::string words =
        "this wants the role " + std::string(to_string(*role)) + "; yours is " + std::string(to_string(*caller.role));
    return RequestRefusal{dht::RefusalReason::role,
                          error_response(head.version(), http::status::forbidden, "access_denied", words)};
  }
  const RequestOrigin origin{
      .host = {}, .origin = text(head[http::field::origin]), .sec_fetch_site = text(head["Sec-Fetch-Site"])};
  if (!caller.session.empty() && route->method != verb::get && !is_from_own_page(origin)) {
    return RequestRefusal{
        dht::RefusalReason::origin,
        error_response(head.version(), http::status::forbidden, "access_denied",
                       "a change with a session's cookie needs an Origin header that names this server")};
  }
  return std::nullopt;
}

Task<RestResponse> answer(RestContext& context, RestRequest request, Caller caller) {
  if (auto refusal = refusal_of(request, caller)) co_return std::move(refusal->response);
  const unsigned version = request.version();
  Target target = target_of(request);
  const Route* route = find_route(request.method(), target.path);
  RestCall call;
  if (route == nullptr) {
    co_return nothing_there(version, target.path);
  }
  if (has_name(*route)) {
    Result<std::string> name = percent_decode(encoded_name(*route, target.path));
    if (!name) co_return respond_error(version, name.error());
    if (name->empty()) {
      co_return error_response(version, http::status::bad_request, "invalid_argument", "the name in the path is empty");
    }
    if (name->size() > max_name_bytes_in_path) {
      co_return error_response(version, http::status::uri_too_long, "too_large",
                               "a key has at most " + std::to_string(max_name_bytes_in_path) + " bytes");
    }
    call.name = std::move(*name);
  }
  call.request = std::move(request);
  call.caller = std::move(caller);
  call.query = std::move(target.query);
  co_return co_await route->resource(context, std::move(call));
}

}  // namespace ringfs::nodes
