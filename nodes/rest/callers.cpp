// Bearer tokens, client certificates and cookies of a request.
#include "nodes/rest/callers.hpp"

#include <boost/beast/core/string.hpp>

#include "dht/base/bytes.hpp"
#include "dht/net/trust/token.hpp"

namespace ringfs::nodes {

namespace http = boost::beast::http;

namespace {

constexpr std::string_view scheme = "Bearer ";

Caller stranger(Error why, dht::RefusalReason reason) {
  Caller caller;
  caller.encrypted = true;
  caller.why = std::move(why);
  caller.reason = reason;
  return caller;
}

Caller known(const Result<AccessRole>& role, dht::RefusalReason reason) {
  if (!role) {
    const bool cut_off = role.error().code == ErrorCode::unavailable;
    return stranger(role.error(), cut_off ? dht::RefusalReason::cut_off : reason);
  }
  Caller caller;
  caller.encrypted = true;
  caller.role = *role;
  return caller;
}

std::string hex_of(const KeyHash& hash) { return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()}); }

}  // namespace

Caller local_caller() {
  Caller caller;
  caller.role = AccessRole::node;
  return caller;
}

std::optional<std::string> cookie_of(const RequestHead& head, std::string_view name) {
  const auto [first, last] = head.equal_range(http::field::cookie);
  for (auto line = first; line != last; ++line) {
    std::string_view rest(line->value().data(), line->value().size());
    while (!rest.empty()) {
      std::string_view pair = rest.substr(0, rest.find(';'));
      rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
      pair.remove_prefix(std::min(pair.size(), pair.find_first_not_of(' ')));
      const std::size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
        return std::string(pair.substr(equals + 1));
      }
    }
  }
  return std::nullopt;
}

Caller caller_of(const CallerChecks& checks, const std::optional<dht::Certificate>& certificate,
                 const std::vector<dht::Certificate>& chain) {
  if (!certificate) {
    return stranger(
        {ErrorCode::access_denied, "show a client certificate of this ring, or a token: Authorization: Bearer"},
        dht::RefusalReason::nobody);
  }
  return known(checks.role_of_certificate(*certificate, chain), dht::RefusalReason::certificate);
}

Task<Caller> identify(const CallerChecks& checks, const RequestHead& head,
                      const std::optional<dht::Certificate>& certificate, const std::vector<dht::Certificate>& chain) {
  if (head.count(http::field::authorization) > 0) {
    const auto value = head[http::field::authorization];
    const std::string_view text(value.data(), value.size());
    if (!boost::beast::iequals(value.substr(0, scheme.size()),
                               boost::beast::string_view(scheme.data(), scheme.size()))) {
      co_return stranger({ErrorCode::access_denied, "Authorization takes Bearer and a token"},
                         dht::RefusalReason::token);
    }
    Result<dht::Token> token = dht::parse_token(text.substr(scheme.size()));
    if (!token) co_return stranger({ErrorCode::access_denied, token.error().context}, dht::RefusalReason::token);
    Result<AccessRole> role = co_await checks.role_of_bearer(hex_of(token->secret_hash()));
    co_return known(role, dht::RefusalReason::token);
  }
  Caller caller = caller_of(checks, certificate, chain);
  if (caller.role) co_return caller;
  std::optional<std::string> cookie = cookie_of(head, session_cookie);
  if (!cookie) co_return caller;
  std::optional<std::string> token = checks.sessions.token_of(*cookie, checks.store.clock().now);
  if (!token) {
    co_return stranger({ErrorCode::access_denied, "the session is over: log in again"}, dht::RefusalReason::session);
  }
  Result<AccessRole> role = co_await checks.role_of_bearer(std::move(*token));
  caller = known(role, dht::RefusalReason::session);
  caller.session = std::move(*cookie);
  co_return caller;
}

}  // namespace ringfs::nodes
