// What the gateway answers: one request in, one response out. Free of sockets, so that tests call it directly.
//
// Threads: the loop of the store. Errors: all are responses.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "dht/base/object_store.hpp"
#include "dht/base/ring_admin.hpp"
#include "dht/base/ring_view.hpp"

namespace ringfs::nodes {

using RestRequest = boost::beast::http::request<boost::beast::http::string_body>;
using RestResponse = boost::beast::http::response<boost::beast::http::string_body>;

struct RestContext {
  ObjectStore& store;
  RingView& ring;
  RingAdmin& admin;
  std::function<std::string()> metrics;
  std::function<Duration()> operation_timeout;
  std::function<bool()> in_ring = [] {
    return true;
  };  // false: the node waits, and the ring's resources are unavailable
};

// The context outlives the coroutine.
Task<RestResponse> answer(RestContext& context, RestRequest request);

// {"error": code, "reason": words} with a status.
RestResponse error_response(unsigned version, boost::beast::http::status status, std::string_view code,
                            std::string_view reason);

// %41 -> A; invalid_argument when malformed. '+' stays '+': this is a path, not a form.
Result<std::string> percent_decode(std::string_view text);

// Where the value of a raw key lies: object "kv/" + name, row "v".
inline constexpr std::string_view kv_prefix = "kv/";

std::string openapi_document();  // JSON
std::string docs_page();         // HTML

}  // namespace ringfs::nodes
