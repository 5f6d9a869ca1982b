// What the gateway answers: a request in, a response out, without sockets, so that tests can call it.
//
// Threads: the loop of the store. Errors: every error is a response.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"

namespace ringfs::nodes {

using RestRequest = boost::beast::http::request<boost::beast::http::string_body>;
using RestResponse = boost::beast::http::response<boost::beast::http::string_body>;

struct RestContext {
  ObjectStore& store;
  RingView& ring;
  RingAdmin& admin;
  std::function<std::string()> metrics;
  std::function<Duration()> operation_timeout;
  std::function<bool()> in_ring = [] { return true; };  // false: the store, the ring and the admin are not asked
};

// The context must outlive the coroutine.
Task<RestResponse> answer(RestContext& context, RestRequest request);

// A response {"error": code, "reason": text} with a status.
RestResponse error_response(unsigned version, boost::beast::http::status status, std::string_view code,
                            std::string_view reason);

// The value of a raw key is in object "kv/" + key, row "v".
inline constexpr std::string_view kv_prefix = "kv/";

std::string openapi_document();  // JSON
std::string docs_page();         // HTML

}  // namespace ringfs::nodes
