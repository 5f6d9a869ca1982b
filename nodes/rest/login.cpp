// Logging a browser in and out: a token for a cookie (docs/security.md#browsers).
#include <algorithm>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <nlohmann/json.hpp>

#include "dht/base/bytes.hpp"
#include "dht/base/percent.hpp"
#include "dht/net/trust/token.hpp"
#include "nodes/rest/resources.hpp"

namespace ringfs::nodes {

namespace http = boost::beast::http;
using nlohmann::json;

namespace {

constexpr std::string_view form_type = "application/x-www-form-urlencoded";

constexpr const char* login_page = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>RingFS</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem; }
 body { color: #1c2733; background: #fff; }
 input { width: 100%; box-sizing: border-box; padding: .5rem; font: inherit; }
 button { margin-top: 1rem; padding: .5rem 1.2rem; font: inherit; }
</style></head><body>
<h1>RingFS</h1>
<form method="post" action="/v1/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button type="submit">Log in</button>
</form>
</body></html>
)";

bool is_form(const RestRequest& request) {
  const auto type = request[http::field::content_type];
  return std::string_view(type.data(), type.size()).starts_with(form_type);
}

// A field of a form (WHATWG URL, 5.1); nothing: it has none.
std::optional<std::string> form_field(std::string_view body, std::string_view name) {
  while (!body.empty()) {
    std::string_view pair = body.substr(0, body.find('&'));
    body.remove_prefix(std::min(body.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string value(pair.substr(equals + 1));
    std::replace(value.begin(), value.end(), '+', ' ');
    Result<std::string> decoded = percent_decode(value);
    if (!decoded) return std::nullopt;
    return std::move(*decoded);
  }
  return std::nullopt;
}

std::optional<std::string> token_text(const RestRequest& request) {
  if (is_form(request)) return form_field(request.body(), "token");
  const json body = json::parse(request.body(), nullptr, false);
  const bool good = body.is_object() && body.size() == 1 && body.contains("token") && body["token"].is_string();
  if (!good) return std::nullopt;
  return body["token"].get<std::string>();
}

std::string cookie_text(std::string_view value, Duration life) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(life).count();
  return std::string(session_cookie) + "=" + std::string(value) + "; Path=/; Max-Age=" + std::to_string(seconds) +
         "; HttpOnly; Secure; SameSite=Strict";
}

}  // namespace

Task<RestResponse> get_start(RestContext&, RestCall call) {
  co_return respond_elsewhere(call.version(), http::status::found, call.caller.role ? "/docs" : "/login");
}

Task<RestResponse> get_login_page(RestContext&, RestCall call) {
  if (!call.caller.encrypted) co_return respond_elsewhere(call.version(), http::status::found, "/docs");
  co_return respond_page(call.version(), login_page);
}

// The body is {"token": "ringfs1...."} or a form with that field.
Task<RestResponse> log_in(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  if (!call.caller.encrypted) {
    co_return error_response(version, http::status::forbidden, "access_denied",
                             "there are no sessions at this address, and none is needed");
  }
  std::optional<std::string> text = token_text(call.request);
  if (!text) {
    co_return error_response(version, http::status::bad_request, "invalid_argument",
                             "the body is {\"token\": \"ringfs1...\"} or a form with the field token");
  }
  Result<dht::Token> token = dht::parse_token(*text);
  if (!token) co_return unauthorized(version, token.error(), dht::RefusalReason::token);
  const KeyHash hash = token->secret_hash();
  std::string name = to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()});
  Result<AccessRole> role = co_await context.role_of_bearer(name);
  if (!role && role.error().code == ErrorCode::access_denied) {
    co_return unauthorized(version, role.error(), dht::RefusalReason::token);
  }
  if (!role) {
    const bool cut_off = role.error().code == ErrorCode::unavailable;
    co_return error_response(version, http::status::service_unavailable, "unavailable",
                             cut_off ? role.error().context : "the ring cannot be asked about this now: try again");
  }
  Result<std::string> cookie = context.sessions.open(std::move(name), context.store.clock().now);
  if (!cookie) co_return respond_error(version, cookie.error());
  RestResponse response = is_form(call.request) ? respond_elsewhere(version, http::status::see_other, "/docs")
                                                : respond_json(version, json{{"role", to_string(*role)}});
  response.set(http::field::set_cookie, cookie_text(*cookie, session_life));
  response.set(http::field::cache_control, "no-store");
  co_return response;
}

Task<RestResponse> log_out(RestContext& context, RestCall call) {
  context.sessions.close(call.caller.session);
  RestResponse response(http::status::no_content, call.version());
  response.set(http::field::set_cookie, cookie_text({}, {}));
  co_return response;
}

}  // namespace ringfs::nodes
