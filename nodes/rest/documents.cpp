// The description of the gateway: OpenAPI 3.0 for programs and a page for people, both from one table.
#include <nlohmann/json.hpp>
#include <vector>

#include "nodes/rest/routes.hpp"

namespace ringfs::nodes {

namespace {

struct Outcome {
  const char* status;
  const char* meaning;
};

struct Endpoint {
  const char* method;
  const char* path;
  const char* summary;
  const char* detail;
  const char* example;  // curl's arguments after the base address
  std::vector<Outcome> outcomes;
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
       "ok, degraded (a replica is missing or behind) or readonly (a partition has no leader with a quorum).",
       "{base}/healthz",
       {{"200", "ok or degraded"}, {"503", "readonly"}}},
      {"get",
       "/metrics",
       "Metrics",
       "Of this node, in Prometheus' text format.",
       "{base}/metrics",
       {{"200", "metrics"}}},
  };
  return table;
}

}  // namespace

std::string openapi_document() {
  using nlohmann::json;
  json paths = json::object();
  for (const Endpoint& endpoint : endpoints()) {
    json responses = json::object();
    for (const Outcome& outcome : endpoint.outcomes) responses[outcome.status] = {{"description", outcome.meaning}};
    responses["400"] = {{"description", "not a request, or one that is cut short"}};
    responses["408"] = {{"description", "the request did not arrive in time"}};
    responses["431"] = {{"description", "headers larger than 16 KiB"}};
    responses["503"] = {{"description", "the ring cannot answer now: try again"}};
    responses["504"] = {{"description", "no answer in time; a change may or may not have happened"}};
    json operation = {{"summary", endpoint.summary}, {"description", endpoint.detail}, {"responses", responses}};
    if (std::string_view(endpoint.path).find("{key}") != std::string_view::npos) {
      operation["parameters"] =
          json::array({{{"name", "key"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}});
    }
    if (std::string_view(endpoint.path).find("{member}") != std::string_view::npos) {
      operation["parameters"] =
          json::array({{{"name", "member"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}},
                       {{"name", "force"}, {"in", "query"}, {"required", false}, {"schema", {{"type", "boolean"}}}}});
    }
    if (std::string_view(endpoint.method) == "post") {
      const json address = {
          {"type", "object"}, {"required", {"address"}}, {"properties", {{"address", {{"type", "string"}}}}}};
      operation["requestBody"] = {{"content", {{"application/json", {{"schema", address}}}}}};
    }
    if (std::string_view(endpoint.method) == "put") {
      operation["requestBody"] = {
          {"content", {{"application/octet-stream", {{"schema", {{"type", "string"}, {"format", "binary"}}}}}}}};
    }
    paths[endpoint.path][endpoint.method] = operation;
  }
  json document = {{"openapi", "3.0.3"},
                   {"info",
                    {{"title", "RingFS"},
                     {"version", RINGFS_VERSION},
                     {"description", "Keys and values in a RingFS ring. Any node answers for any key."}}},
                   {"paths", paths}};
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
For programs: <a href="/openapi.json">openapi.json</a>.</p>
)";
  for (const Endpoint& endpoint : endpoints()) {
    std::string method = endpoint.method;
    for (char& letter : method) letter = static_cast<char>(letter - 'a' + 'A');
    std::string example = endpoint.example;
    std::size_t at = example.find("{base}");
    if (at != std::string::npos) example.replace(at, 6, "http://127.0.0.1:3000");
    page.append("<h2><span class=\"method\">").append(method).append("</span><code>").append(endpoint.path);
    page.append("</code></h2>\n<p><b>").append(endpoint.summary).append(".</b> ").append(endpoint.detail);
    page.append("</p>\n<pre>curl ").append(example).append("</pre>\n<table>");
    for (const Outcome& outcome : endpoint.outcomes) {
      page.append("<tr><td>").append(outcome.status).append("</td><td>").append(outcome.meaning).append("</td></tr>");
    }
    page += "</table>\n";
  }
  page += "</body></html>\n";
  return page;
}

}  // namespace ringfs::nodes
