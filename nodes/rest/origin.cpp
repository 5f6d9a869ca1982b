// Host, Origin and Sec-Fetch-Site of a request.
#include "nodes/rest/origin.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "dht/net/transport/dial.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::string_view http_port = "80";  // a Host without a port means this one

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

dht::HostPort parts_of(const std::string& host) {
  if (Result<dht::HostPort> parts = dht::split_address(host)) return *parts;
  Result<dht::HostPort> with_port = dht::split_address(host + ":" + std::string(http_port));
  return with_port ? *with_port : dht::HostPort{};
}

bool names_listener(const std::string& host, const std::string& address) {
  const dht::HostPort asked = parts_of(host);
  const dht::HostPort own = parts_of(address);
  if (asked.host.empty() || asked.port != own.port) return false;
  return asked.host == own.host || (is_loopback(asked.host) && is_loopback(own.host));
}

}  // namespace

Status check_origin(const RequestOrigin& request, const std::string& address) {
  const std::string host = lower(request.host);
  if (!names_listener(host, lower(address))) {
    return fail(ErrorCode::access_denied, "the Host header does not name this server: ask for http://" + address);
  }
  if (!request.origin.empty() && lower(request.origin) != "http://" + host) {
    return fail(ErrorCode::access_denied, "the Origin header names another site than this server");
  }
  if (!request.sec_fetch_site.empty() && request.sec_fetch_site != "same-origin" && request.sec_fetch_site != "none") {
    return fail(ErrorCode::access_denied, "Sec-Fetch-Site: another site asks");
  }
  return {};
}

}  // namespace ringfs::nodes
