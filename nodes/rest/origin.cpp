// Host, Origin and Sec-Fetch-Site of a request.
#include "nodes/rest/origin.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "dht/net/sockets/dial.hpp"

namespace ringfs::nodes {

namespace {

// What a Host without a port means.
constexpr std::string_view http_port = "80";
constexpr std::string_view https_port = "443";

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char letter) { return letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : letter; });
  return result;
}

bool is_loopback(const std::string& host) {
  if (host == "localhost") return true;
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(host, no_address);
  return !no_address && address.is_loopback();
}

// Two spellings of one IPv6 address are one host. A browser names no zone.
std::string same_spelling(const std::string& host) {
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(host.substr(0, host.find('%')), no_address);
  return no_address ? host : address.to_string();
}

dht::HostPort parts_of(const std::string& address, bool encrypted) {
  Result<dht::HostPort> parts = dht::split_address(address);
  if (!parts) parts = dht::split_address(address + ":" + std::string(encrypted ? https_port : http_port));
  if (!parts) return {};
  return {.host = same_spelling(parts->host), .port = parts->port};
}

bool names(const std::string& host, const std::string& address, bool encrypted) {
  const dht::HostPort asked = parts_of(host, encrypted);
  const dht::HostPort own = parts_of(address, encrypted);
  if (asked.host.empty() || asked.port != own.port) return false;
  return asked.host == own.host || (is_loopback(asked.host) && is_loopback(own.host));
}

}  // namespace

Status check_origin(const RequestOrigin& request, const ServerNames& server) {
  const std::string host = lower(request.host);
  const std::string scheme = server.encrypted ? "https://" : "http://";
  const bool meant = std::any_of(server.addresses.begin(), server.addresses.end(), [&](const std::string& address) {
    return names(host, lower(address), server.encrypted);
  });
  if (!meant) {
    return fail(ErrorCode::access_denied, "the Host header does not name this server: ask for " + scheme +
                                              (server.addresses.empty() ? "it" : server.addresses.front()));
  }
  if (!request.origin.empty() && lower(request.origin) != scheme + host) {
    return fail(ErrorCode::access_denied, "the Origin header names another site than this server");
  }
  if (!request.sec_fetch_site.empty() && request.sec_fetch_site != "same-origin" && request.sec_fetch_site != "none") {
    return fail(ErrorCode::access_denied, "Sec-Fetch-Site: another site asks");
  }
  return {};
}

bool is_from_own_page(const RequestOrigin& request) {
  return !request.origin.empty() || request.sec_fetch_site == "same-origin";
}

}  // namespace ringfs::nodes
