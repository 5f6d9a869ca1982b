// The resources of the REST interface: values, look-ups, the ring, its members, its health.
#include "nodes/rest/resources.hpp"

#include <algorithm>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

namespace ringfs::nodes {

namespace http = boost::beast::http;
using nlohmann::json;

namespace {

const std::string value_sort = "v";
constexpr Duration glance_life = std::chrono::seconds(1);
// What a page may do in a browser: nothing but show itself and send its own form.
constexpr std::string_view page_policy =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

}  // namespace

RestResponse respond(unsigned version, http::status status, std::string_view type, std::string body) {
  RestResponse response(status, version);
  response.set(http::field::content_type, type);
  response.body() = std::move(body);
  response.prepare_payload();
  return response;
}

RestResponse respond_json(unsigned version, const json& body) {
  // Keys are bytes. What is not UTF-8 is shown as replacement characters, not thrown at.
  return respond(version, http::status::ok, "application/json",
                 body.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

RestResponse respond_page(unsigned version, std::string html) {
  RestResponse response = respond(version, http::status::ok, "text/html; charset=utf-8", std::move(html));
  response.set("Content-Security-Policy", page_policy);
  return response;
}

RestResponse respond_elsewhere(unsigned version, http::status status, std::string_view location) {
  RestResponse response(status, version);
  response.set(http::field::location, location);
  response.prepare_payload();
  return response;
}

namespace {

http::status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return http::status::bad_request;
    case ErrorCode::not_found: return http::status::not_found;
    case ErrorCode::access_denied: return http::status::forbidden;
    case ErrorCode::out_of_range: return http::status::bad_request;
    case ErrorCode::already_member:
    case ErrorCode::busy:
    case ErrorCode::too_few_nodes:
    case ErrorCode::foreign_ring:
    case ErrorCode::wrong_identity:
    case ErrorCode::cloned_identity:
    case ErrorCode::version_mismatch: return http::status::conflict;
    case ErrorCode::too_large: return http::status::payload_too_large;
    case ErrorCode::timeout: return http::status::gateway_timeout;
    case ErrorCode::no_space: return http::status::insufficient_storage;
    case ErrorCode::corrupt:
    case ErrorCode::internal:
    case ErrorCode::io_error: return http::status::internal_server_error;
    default: return http::status::service_unavailable;
  }
}

}  // namespace

RestResponse respond_error(unsigned version, const Error& error) {
  return error_response(version, status_of(error.code), to_string(error.code), error.context);
}

namespace {

std::string entity_tag(std::uint64_t version) { return "\"" + std::to_string(version) + "\""; }

// What If-Match or If-None-Match lists: anything, or versions.
struct TagList {
  bool any = false;
  std::vector<std::uint64_t> versions;
};

// If-Match compares strongly, If-None-Match weakly (RFC 9110, section 8.8.3.2). Our tags are strong, so a weak tag
// never matches strongly.
enum class Comparison { strong, weak };

Result<TagList> parse_tags(std::string_view text, Comparison comparison) {
  TagList tags;
  if (text == "*") {
    tags.any = true;
    return tags;
  }
  while (!text.empty()) {
    std::size_t start = text.find_first_not_of(" \t,");
    if (start == std::string_view::npos) break;
    text.remove_prefix(start);
    bool weak = text.starts_with("W/");
    if (weak) text.remove_prefix(2);
    std::size_t end = text.size() > 1 && text[0] == '"' ? text.find('"', 1) : std::string_view::npos;
    if (end == std::string_view::npos)
      return fail(ErrorCode::invalid_argument, "an entity tag is written in double quotes");
    std::string_view digits = text.substr(1, end - 1);
    std::uint64_t version = 0;
    auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), version);
    // A well-formed tag that is not one of ours matches nothing.
    bool ours = error == std::errc() && stop == digits.data() + digits.size() && version != 0;
    if (ours && !(weak && comparison == Comparison::strong)) tags.versions.push_back(version);
    text.remove_prefix(end + 1);
  }
  return tags;
}

// All lines of a header field are one list (RFC 9110, section 5.3); none: there is no such field.
Result<std::optional<TagList>> tags_of(const RestRequest& request, http::field field, Comparison comparison) {
  auto [first, last] = request.equal_range(field);
  if (first == last) return std::optional<TagList>();
  std::string joined;
  for (auto line = first; line != last; ++line) {
    if (!joined.empty()) joined += ", ";
    joined += std::string(line->value());
  }
  Result<TagList> tags = parse_tags(joined, comparison);
  if (!tags) return tl::unexpected(tags.error());
  return std::optional<TagList>(std::move(*tags));
}

bool matches(const TagList& tags, std::uint64_t version) {
  return tags.any || std::find(tags.versions.begin(), tags.versions.end(), version) != tags.versions.end();
}

RowAddress value_row(const std::string& name) { return {std::string(kv_prefix) + name, value_sort}; }

TimePoint deadline_of(const RestContext& context) { return context.store.clock().now + context.operation_timeout(); }

// Checked before the store, the ring or the admin is asked.
Status in_ring(const RestContext& context) {
  if (context.in_ring()) return {};
  return fail(ErrorCode::unavailable, "this node waits to be added to a ring");
}

Task<Result<ReadReply::Get>> read_value(RestContext& context, const std::string& name, TimePoint deadline) {
  if (Status joined = in_ring(context); !joined) co_return tl::unexpected(joined.error());
  ReadRequest request;
  request.gets.push_back(value_row(name));
  auto reply = co_await context.store.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  if (reply->gets.size() != 1) co_return fail(ErrorCode::internal, "a read of one row gave another number");
  co_return std::move(reply->gets[0]);
}

}  // namespace

Task<RestResponse> get_value(RestContext& context, RestCall call) {
  auto found = co_await read_value(context, call.name, deadline_of(context));
  const RestRequest& request = call.request;
  unsigned version = call.version();
  if (!found) co_return respond_error(version, found.error());
  if (!found->found) co_return error_response(version, http::status::not_found, "not_found", "no value under this key");
  std::string tag = entity_tag(found->row.version);
  auto match = tags_of(request, http::field::if_match, Comparison::strong);
  if (!match) co_return respond_error(version, match.error());
  if (*match && !matches(**match, found->row.version)) {
    co_return error_response(version, http::status::precondition_failed, "condition_failed",
                             "the value has another ETag");
  }
  auto none_match = tags_of(request, http::field::if_none_match, Comparison::weak);
  if (!none_match) co_return respond_error(version, none_match.error());
  if (*none_match && matches(**none_match, found->row.version)) {
    RestResponse response(http::status::not_modified, version);
    response.set(http::field::etag, tag);
    co_return response;
  }
  RestResponse response = respond(version, http::status::ok, "application/octet-stream", found->row.value.str());
  response.set(http::field::etag, tag);
  co_return response;
}

namespace {

// The conditions that If-Match and If-None-Match put on a change. A list of tags cannot be one condition on a version.
// So the current version is read first, and the change has the condition that it is still the same.
struct Precondition {
  std::vector<Condition> conditions;
  bool fails = false;
  bool judged = false;  // from a version that was read: if that has changed, judge again
};

Task<Result<Precondition>> precondition_of(RestContext& context, const RestRequest& request, const std::string& name,
                                           TimePoint deadline) {
  Precondition result;
  auto match = tags_of(request, http::field::if_match, Comparison::strong);
  if (!match) co_return tl::unexpected(match.error());
  auto none_match = tags_of(request, http::field::if_none_match, Comparison::weak);
  if (!none_match) co_return tl::unexpected(none_match.error());
  if (!*match && !*none_match) co_return result;
  Condition condition;
  condition.row = value_row(name);
  if (*none_match && (*none_match)->any && !*match) {
    condition.kind = Condition::Kind::absent;
    result.conditions.push_back(condition);
    co_return result;
  }
  if (*match && (*match)->any && !*none_match) {
    condition.kind = Condition::Kind::present;
    result.conditions.push_back(condition);
    co_return result;
  }
  auto found = co_await read_value(context, name, deadline);
  if (!found) co_return tl::unexpected(found.error());
  std::uint64_t version = found->found ? found->row.version : 0;
  bool holds = (!*match || (found->found && matches(**match, version))) &&
               (!*none_match || !found->found || !matches(**none_match, version));
  result.fails = !holds;
  result.judged = true;
  condition.kind = Condition::Kind::version_equals;
  condition.version = version;
  result.conditions.push_back(condition);
  co_return result;
}

}  // namespace

// PUT and DELETE: one conditional batch. DELETE of an absent key is 404.
Task<RestResponse> change_value(RestContext& context, RestCall call) {
  RestRequest& request = call.request;
  const std::string& name = call.name;
  unsigned version = call.version();
  bool erase = request.method() == http::verb::delete_;
  const TimePoint deadline = deadline_of(context);
  RestResponse refused = error_response(version, http::status::precondition_failed, "condition_failed",
                                        "If-Match or If-None-Match does not hold for the current value");
  Mutation mutation;
  mutation.row = value_row(name);
  mutation.kind = erase ? Mutation::Kind::erase : Mutation::Kind::put;
  if (!erase) mutation.value = SharedBytes(std::move(request.body()));
  // A turn is lost only to another client's change, so one of them always succeeds.
  while (context.store.clock().now < deadline) {
    auto precondition = co_await precondition_of(context, request, name, deadline);
    if (!precondition) co_return respond_error(version, precondition.error());
    if (precondition->fails) co_return refused;
    CommitRequest commit;
    commit.conditions = std::move(precondition->conditions);
    std::size_t headers = commit.conditions.size();
    if (erase) {
      Condition present;
      present.kind = Condition::Kind::present;
      present.row = mutation.row;
      commit.conditions.push_back(std::move(present));
    }
    commit.mutations.push_back(mutation);
    if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
    auto reply = co_await context.store.commit(std::move(commit), deadline);
    if (!reply) co_return respond_error(version, reply.error());
    if (reply->applied) {
      RestResponse response(http::status::no_content, version);
      if (!erase) response.set(http::field::etag, entity_tag(reply->version));
      co_return response;
    }
    if (reply->failed_condition >= headers) {
      co_return error_response(version, http::status::not_found, "not_found", "no value under this key");
    }
    if (!precondition->judged) co_return refused;
  }
  co_return respond_error(version, {ErrorCode::timeout, "the value changes all the time"});
}

namespace {

json to_json(const MemberView& member) {
  json tokens = json::array();
  for (const Position& token : member.tokens) tokens.push_back(token.hex());
  json result = {{"id", member.id.text()},           {"address", member.address}, {"rest", member.rest_address},
                 {"state", to_string(member.state)}, {"answers", member.answers}, {"share", member.share},
                 {"used_bytes", member.used_bytes},  {"tokens", tokens}};
  result["round_trip_us"] = member.round_trip ? json(member.round_trip->count()) : json(nullptr);
  return result;
}

}  // namespace

Task<RestResponse> get_members(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
  auto members = co_await context.ring.members(deadline_of(context));
  if (!members) co_return respond_error(version, members.error());
  json list = json::array();
  for (const MemberView& member : *members) list.push_back(to_json(member));
  json body = {{"members", list}};
  co_return respond_json(version, body);
}

// The body is {"address": "host:port"}. A malformed one is 400, a refusal by the node 409, a node that does not answer
// 502.
Task<RestResponse> add_member(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  const json request = json::parse(call.request.body(), nullptr, false);
  const bool good =
      request.is_object() && request.size() == 1 && request.contains("address") && request["address"].is_string();
  if (!good) {
    co_return error_response(version, http::status::bad_request, "invalid_argument",
                             "the body is {\"address\": \"host:port\"}");
  }
  if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
  const std::string address = request["address"].get<std::string>();
  auto node = co_await context.admin.add(address, deadline_of(context));
  if (!node && not_reached(node.error().code)) {
    co_return error_response(version, http::status::bad_gateway, to_string(node.error().code), node.error().context);
  }
  if (!node) co_return respond_error(version, node.error());
  RestResponse response = respond_json(version, json{{"id", node->text()}, {"address", address}, {"state", "joining"}});
  response.result(http::status::created);
  response.set(http::field::location, "/v1/members/" + node->text());
  co_return response;
}

Task<RestResponse> remove_member(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  if (!call.query.empty() && call.query != "force=true" && call.query != "force=false") {
    co_return error_response(version, http::status::bad_request, "invalid_argument",
                             "the only parameter is force=true");
  }
  const bool force = call.query == "force=true";
  if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
  auto node = co_await context.admin.remove(std::move(call.name), force, deadline_of(context));
  if (!node) co_return respond_error(version, node.error());
  RestResponse response = respond_json(version, json{{"id", node->text()}, {"state", "leaving"}});
  response.result(http::status::accepted);
  co_return response;
}

Task<RestResponse> get_ring(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
  auto status = co_await context.ring.status(deadline_of(context));
  if (!status) co_return respond_error(version, status.error());
  auto partitions = co_await context.ring.partitions(deadline_of(context));
  if (!partitions) co_return respond_error(version, partitions.error());
  json list = json::array();
  for (const PartitionView& partition : *partitions) {
    json replicas = json::array();
    for (const Uuid& replica : partition.replicas) replicas.push_back(replica.text());
    json item = {{"partition", index_of(partition.partition)},
                 {"anchor", partition.anchor.hex()},
                 {"term", partition.term},
                 {"replicas", replicas},
                 {"answering_replicas", partition.answering_replicas}};
    item["leader"] = partition.leader ? json(partition.leader->text()) : json(nullptr);
    list.push_back(item);
  }
  json body = {{"ring", status->ring.text()},
               {"health", to_string(status->health)},
               {"nodes", status->nodes},
               {"answering", status->answering},
               {"replication", status->replication},
               {"under_replicated", status->under_replicated},
               {"leaderless", status->leaderless},
               {"table_version", status->table_version},
               {"remarks", status->remarks},
               {"partitions", list}};
  co_return respond_json(version, body);
}

Task<RestResponse> get_lookup(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  const std::string& name = call.name;
  std::string key = std::string(kv_prefix) + name;
  if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
  auto route = co_await context.ring.lookup(key, deadline_of(context));
  if (!route) co_return respond_error(version, route.error());
  json hops = json::array();
  for (const RouteHop& hop : route->hops) {
    hops.push_back({{"node", hop.node.text()},
                    {"address", hop.address},
                    {"token", hop.token.hex()},
                    {"round_trip_us", hop.round_trip.count()}});
  }
  json replicas = json::array();
  for (const Uuid& replica : route->replicas) replicas.push_back(replica.text());
  json body = {{"key", name},
               {"object", key},
               {"position", route->position.hex()},
               {"partition", index_of(route->partition)},
               {"hops", hops},
               {"primary", route->primary.text()},
               {"replicas", replicas}};
  body["leader"] = route->leader ? json(route->leader->text()) : json(nullptr);
  co_return respond_json(version, body);
}

namespace {

// Whether the ring serves, and nothing more.
Task<RestResponse> health_for_strangers(RestContext& context, unsigned version) {
  HealthGlance& glance = context.glance;
  const TimePoint now = context.store.clock().now;
  const bool young = glance.at && now - *glance.at < glance_life;
  if (!young && (glance.asking == 0 || !glance.at)) {
    ++glance.asking;
    bool serving = false;
    if (context.in_ring()) {
      auto status = co_await context.ring.status(deadline_of(context));
      serving = status && status->health != Health::readonly;
    }
    --glance.asking;
    glance.serving = serving;
    glance.at = now;
  }
  RestResponse response = respond_json(version, json{{"health", glance.serving ? "ok" : "unavailable"}});
  if (!glance.serving) response.result(http::status::service_unavailable);
  co_return response;
}

}  // namespace

Task<RestResponse> get_health(RestContext& context, RestCall call) {
  const unsigned version = call.version();
  if (!call.caller.role) co_return co_await health_for_strangers(context, version);
  if (Status joined = in_ring(context); !joined) co_return respond_error(version, joined.error());
  auto status = co_await context.ring.status(deadline_of(context));
  if (!status) co_return respond_error(version, status.error());
  json body = {{"health", to_string(status->health)}, {"remarks", status->remarks}};
  RestResponse response = respond_json(version, body);
  if (status->health == Health::readonly) response.result(http::status::service_unavailable);
  co_return response;
}

Task<RestResponse> get_metrics(RestContext& context, RestCall call) {
  co_return respond(call.version(), http::status::ok, "text/plain; version=0.0.4", context.metrics());
}

Task<RestResponse> get_openapi(RestContext&, RestCall call) {
  co_return respond(call.version(), http::status::ok, "application/json", openapi_document());
}

Task<RestResponse> get_docs(RestContext&, RestCall call) { co_return respond_page(call.version(), docs_page()); }

RestResponse error_response(unsigned version, http::status status, std::string_view code, std::string_view reason) {
  json body = {{"error", code}, {"reason", reason.empty() ? code : reason}};
  return respond(version, status, "application/json", body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace ringfs::nodes
