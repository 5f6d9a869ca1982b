// The description of the gateway: OpenAPI 3.0 for programs and a page for people, both from one table.
#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <nlohmann/json.hpp>
#include <vector>

#include "nodes/rest/routes.hpp"

namespace ringfs::nodes {

namespace http = boost::beast::http;

namespace {

struct StatusMeaning {
  const char* status;
  const char* meaning;
};

struct Endpoint {
  const char* method;
  const char* path;
  const char* summary;
  const char* detail;
  const char* example;  // curl's arguments after the base address
  std::vector<StatusMeaning> outcomes;
};

const std::vector<Endpoint>& endpoints() {
  static const std::vector<Endpoint> table = {
      {"put",
       "/v1/kv/{key}",
       "Store a value",
       "Any bytes up to 1 MiB under any key (percent-encoded in the path, at most 2045 bytes). With If-Match: only if "
       "the value has one of these ETags. With If-None-Match: * only if there is none. When the answer arrives, the "
       "value is on the disks of a majority of its replicas.",
       "-T photo.jpg {base}/v1/kv/photo",
       {{"204", "stored; ETag names this version"},
        {"412", "the condition does not hold"},
        {"413", "larger than 1 MiB"}}},
      {"get",
       "/v1/kv/{key}",
       "Read a value",
       "The newest acknowledged value, from any node. With If-None-Match: 304 when the value is still the same.",
       "{base}/v1/kv/photo",
       {{"200", "the bytes"}, {"304", "not modified"}, {"404", "no such key"}}},
      {"delete",
       "/v1/kv/{key}",
       "Delete a value",
       "With If-Match: only if the value has one of these ETags.",
       "-X DELETE {base}/v1/kv/photo",
       {{"204", "deleted"}, {"404", "no such key"}, {"412", "the condition does not hold"}}},
      {"get",
       "/v1/lookup/{key}",
       "Where a key lives",
       "The Chord route hop by hop, the partition, its primary and its replicas.",
       "{base}/v1/lookup/photo",
       {{"200", "the route"}}},
      {"get",
       "/v1/ring",
       "The ring",
       "Health and one entry per partition: anchor, leader, term, replicas.",
       "{base}/v1/ring",
       {{"200", "the ring"}}},
      {"get",
       "/v1/members",
       "The members",
       "Every node: address, state, share, disk use, round trip.",
       "{base}/v1/members",
       {{"200", "the members"}}},
      {"post",
       "/v1/members",
       "Add a node",
       "The body is {\"address\": \"host:port\"} of a node that waits. The answer comes when it is a member; data "
       "moves to it afterwards.",
       "-d '{\"address\": \"127.0.0.1:4010\"}' {base}/v1/members",
       {{"201", "a member, joining"},
        {"409", "it is a member, belongs to another ring, speaks another version, or is being removed"},
        {"502", "nobody answers at that address"}}},
      {"delete",
       "/v1/members/{member}",
       "Remove a node",
       "By its id or host:port. Its data moves to the others, then its process ends. With ?force=true although fewer "
       "nodes remain than there are copies.",
       "-X DELETE {base}/v1/members/127.0.0.1:4003",
       {{"202", "leaving"},
        {"404", "no such member"},
        {"409", "it is being removed already, or too few nodes would remain"},
        {"507", "the others are full"}}},
      {"get",
       "/healthz",
       "Health",
       "ok, degraded (a replica is missing or behind) or readonly (a partition has no leader with a quorum). Whoever "
       "is "
       "not known gets ok or unavailable.",
       "{base}/healthz",
       {{"200", "ok or degraded"}, {"503", "readonly"}}},
      {"post",
       "/v1/login",
       "Log a browser in",
       "Over TLS only. The body is {\"token\": \"ringfs1...\"}, or a form with the field token. The answer sets a "
       "cookie that counts for 12 hours, as long as the token does. A change with the cookie needs an Origin header "
       "that names this server.",
       "-d '{\"token\": \"ringfs1...\"}' {base}/v1/login",
       {{"200", "logged in"}, {"303", "logged in by the form"}, {"401", "no such token"}, {"403", "not over TLS"}}},
      {"post",
       "/v1/logout",
       "Log a browser out",
       "Ends the session of the cookie.",
       "-X POST {base}/v1/logout",
       {{"204", "logged out"}}},
      {"get",
       "/metrics",
       "Metrics",
       "Of this node, in Prometheus' text format.",
       "{base}/metrics",
       {{"200", "metrics"}}},
  };
  return table;
}

// Of an endpoint; every endpoint is a route.
std::string_view role_of(const Endpoint& endpoint) {
  const auto& all = routes();
  const auto route = std::find_if(all.begin(), all.end(), [&](const Route& one) {
    return one.path == endpoint.path && boost::beast::iequals(http::to_string(one.method), endpoint.method);
  });
  RINGFS_CHECK(route != all.end());
  return role_name(*route);
}

// What every request may get.
nlohmann::json common_responses() {
  const auto meaning = [](const char* words) { return nlohmann::json{{"description", words}}; };
  return {{"400", meaning("not a request, or one that is cut short")},
          {"401", meaning("show a client certificate of this ring, a token or a session")},
          {"403", meaning("the role is too little, or the request is another site's")},
          {"408", meaning("the request did not arrive in time")},
          {"431", meaning("headers larger than 16 KiB")},
          {"503", meaning("the ring cannot answer now: try again")},
          {"504", meaning("no answer in time; a change may or may not have happened")}};
}

nlohmann::json body_of(std::string_view type, nlohmann::json schema) {
  return {{"content", {{std::string(type), {{"schema", std::move(schema)}}}}}};
}

nlohmann::json body_with_text(const char* field) {
  const nlohmann::json text = {{"type", "string"}};
  return body_of("application/json", {{"type", "object"}, {"required", {field}}, {"properties", {{field, text}}}});
}

}  // namespace

std::string openapi_document() {
  using nlohmann::json;
  json paths = json::object();
  for (const Endpoint& endpoint : endpoints()) {
    json responses = common_responses();
    for (const StatusMeaning& outcome : endpoint.outcomes)
      responses[outcome.status] = {{"description", outcome.meaning}};
    json operation = {{"summary", endpoint.summary}, {"description", endpoint.detail}, {"responses", responses}};
    operation["x-role"] = role_of(endpoint);
    if (role_of(endpoint) == "-") operation["security"] = json::array();
    if (std::string_view(endpoint.path).find("{key}") != std::string_view::npos) {
      operation["parameters"] =
          json::array({{{"name", "key"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}});
    }
    if (std::string_view(endpoint.path).find("{member}") != std::string_view::npos) {
      operation["parameters"] =
          json::array({{{"name", "member"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}},
                       {{"name", "force"}, {"in", "query"}, {"required", false}, {"schema", {{"type", "boolean"}}}}});
    }
    if (std::string_view(endpoint.path) == "/v1/members" && std::string_view(endpoint.method) == "post") {
      operation["requestBody"] = body_with_text("address");
    }
    if (std::string_view(endpoint.path) == "/v1/login") operation["requestBody"] = body_with_text("token");
    if (std::string_view(endpoint.method) == "put") {
      operation["requestBody"] = body_of("application/octet-stream", {{"type", "string"}, {"format", "binary"}});
    }
    paths[endpoint.path][endpoint.method] = operation;
  }
  json document = {{"openapi", "3.0.3"},
                   {"info",
                    {{"title", "RingFS"},
                     {"version", RINGFS_VERSION},
                     {"description", "Keys and values in a RingFS ring. Any node answers for any key."}}},
                   {"paths", paths}};
  // OpenAPI 3.0 has no word for client certificates.
  document["components"]["securitySchemes"]["token"] = {{"type", "http"}, {"scheme", "bearer"}};
  document["components"]["securitySchemes"]["session"] = {
      {"type", "apiKey"}, {"in", "cookie"}, {"name", std::string(session_cookie)}};
  for (const char* scheme : {"token", "session"}) {
    json one = json::object();
    one[scheme] = json::array();
    document["security"].push_back(one);
  }
  document["security"].push_back(json::object());  // over plain loopback, or with a client certificate
  return document.dump(2) + "\n";
}

std::string docs_page() {
  std::string page = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>RingFS REST interface</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
 body { color: #1c2733; background: #fff; }
 h1 { font-size: 1.6rem; margin-bottom: .25rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .25rem; }
 code, pre { font: 14px/1.45 ui-monospace, monospace; }
 pre { background: #f2f5f8; padding: .6rem .8rem; border-radius: 6px; overflow-x: auto; }
 .method { display: inline-block; min-width: 4.2rem; font-weight: 700; color: #0b5cad; }
 table { border-collapse: collapse; }
 td { padding: .1rem 1rem .1rem 0; vertical-align: top; } td:first-child { font-weight: 600; }
</style></head><body>
<h1>RingFS REST interface</h1>
<p>Every node of the ring answers for every key. Errors are JSON: <code>{"error": "not_found", "reason": "..."}</code>.
For programs: <a href="/openapi.json">openapi.json</a>. Over TLS a request shows who asks: a client certificate of the
ring, <code>Authorization: Bearer</code> and a token, or the cookie of a session (<a href="/login">log in</a>). Over
loopback the processes of root and of the node's user need nothing.</p>
)";
  for (const Endpoint& endpoint : endpoints()) {
    std::string method = endpoint.method;
    for (char& letter : method) letter = static_cast<char>(letter - 'a' + 'A');
    std::string example = endpoint.example;
    std::size_t at = example.find("{base}");
    if (at != std::string::npos) example.replace(at, 6, "http://127.0.0.1:3000");
    page.append("<h2><span class=\"method\">").append(method).append("</span><code>").append(endpoint.path);
    page.append("</code></h2>\n<p><b>").append(endpoint.summary).append(".</b> ").append(endpoint.detail);
    if (role_of(endpoint) != "-") page.append(" Role: ").append(role_of(endpoint)).append(".");
    page.append("</p>\n<pre>curl ").append(example).append("</pre>\n<table>");
    for (const StatusMeaning& outcome : endpoint.outcomes) {
      page.append("<tr><td>").append(outcome.status).append("</td><td>").append(outcome.meaning).append("</td></tr>");
    }
    page += "</table>\n";
  }
  page += "</body></html>\n";
  return page;
}

}  // namespace ringfs::nodes
