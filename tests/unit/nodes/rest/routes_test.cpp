// The REST interface, request by request, over a ring in memory.
#include "nodes/rest/routes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/fake_admin.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/mutations.hpp"
#include "tests/support/silent_ring.hpp"

namespace ringfs::nodes {
namespace {

namespace http = boost::beast::http;

class FixedRing : public SilentRing {
 public:
  Task<Result<RingStatus>> status(TimePoint) override {
    ++asked;
    RingStatus status;
    status.health = health;
    status.nodes = 3;
    status.remarks = {"one node may fail"};
    co_return status;
  }
  Task<Result<std::vector<MemberView>>> members(TimePoint) override {
    MemberView member;
    member.address = "127.0.0.1:4000";
    member.state = MemberState::up;
    member.answers = true;
    co_return std::vector<MemberView>{member};
  }
  Task<Result<std::vector<PartitionView>>> partitions(TimePoint) override { co_return std::vector<PartitionView>(4); }
  Task<Result<RouteView>> lookup(std::string key, TimePoint) override {
    if (unreachable) co_return fail(ErrorCode::unreachable, "nobody answers");
    RouteView route;
    route.key = key;
    route.hops.resize(2);
    co_return route;
  }

  Health health = Health::ok;
  int asked = 0;
  bool unreachable = false;
};

// Another client writes the value of "k" before the first commit, and before the next one after race().
class RacingStore final : public MemoryObjectStore {
 public:
  RacingStore(VirtualTime& time, std::shared_ptr<MemoryRing> ring, ObjectStore& other)
      : MemoryObjectStore(time, std::move(ring), 2), other_(other) {}
  void race() { racing_ = true; }

  Task<Result<BatchResult>> commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                       std::vector<Mutation> mutations, TimePoint deadline) override {
    if (std::exchange(racing_, false)) {
      CommitRequest other;
      other.mutations.push_back(put(std::string(kv_prefix) + "k", "v", std::string("another's")));
      auto first = co_await other_.commit(std::move(other), deadline);
      EXPECT_TRUE(first && first->applied);
    }
    auto result =
        co_await MemoryObjectStore::commit_raw(partition, std::move(conditions), std::move(mutations), deadline);
    co_return result;
  }

 private:
  ObjectStore& other_;
  bool racing_ = true;
};

class RestRoutes : public testing::Test {
 protected:
  RestResponse ask(http::verb method, const std::string& target, std::string body = {},
                   const std::vector<std::pair<http::field, std::string>>& headers = {}) {
    RestRequest request(method, target, 11);
    for (const auto& [field, value] : headers) request.insert(field, value);
    request.body() = std::move(body);
    request.prepare_payload();
    return time.run(answer(context, std::move(request), caller));
  }

  static nlohmann::json json(const RestResponse& response) { return nlohmann::json::parse(response.body()); }

  boost::asio::io_context loop;
  VirtualTime time{loop};
  std::shared_ptr<MemoryRing> memory = std::make_shared<MemoryRing>();
  MemoryObjectStore store{time, memory};
  FixedRing ring;
  FakeAdmin admin;
  Caller caller = local_caller();
  RestContext context{store, ring, admin, [] { return std::string("ringfs_groups 1\n"); },
                      [] { return std::chrono::seconds(30); }};
};

TEST_F(RestRoutes, Value_AnyBytes_ComeBackWithAnETag) {
  std::string value;
  for (int byte = 0; byte < 256; ++byte) value.push_back(static_cast<char>(byte));
  RestResponse stored = ask(http::verb::put, "/v1/kv/a%2Fb%20%ff", value);
  EXPECT_EQ(stored.result(), http::status::no_content);
  RestResponse found = ask(http::verb::get, "/v1/kv/a%2Fb%20%ff");
  EXPECT_EQ(found.result(), http::status::ok);
  EXPECT_EQ(found.body(), value);
  EXPECT_EQ(found[http::field::etag], stored[http::field::etag]);
  EXPECT_FALSE(std::string(found[http::field::etag]).empty());
}

TEST_F(RestRoutes, Value_Absent_Is404WithAReason) {
  RestResponse response = ask(http::verb::get, "/v1/kv/none");
  EXPECT_EQ(response.result(), http::status::not_found);
  EXPECT_EQ(json(response)["error"], "not_found");
  EXPECT_FALSE(json(response)["reason"].get<std::string>().empty());
  EXPECT_EQ(ask(http::verb::delete_, "/v1/kv/none").result(), http::status::not_found);
}

TEST_F(RestRoutes, Put_IfNoneMatchAny_OnlyTheFirstWins) {
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "1", {{http::field::if_none_match, "*"}}).result(),
            http::status::no_content);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "2", {{http::field::if_none_match, "*"}}).result(),
            http::status::precondition_failed);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k").body(), "1");
}

TEST_F(RestRoutes, Put_IfMatch_OnlyOnThatVersion) {
  std::string first(ask(http::verb::put, "/v1/kv/k", "1")[http::field::etag]);
  std::string second(ask(http::verb::put, "/v1/kv/k", "2")[http::field::etag]);
  EXPECT_NE(first, second);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "3", {{http::field::if_match, first}}).result(),
            http::status::precondition_failed);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "3", {{http::field::if_match, first + ", " + second}}).result(),
            http::status::no_content);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k").body(), "3");
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/absent", "1", {{http::field::if_match, "*"}}).result(),
            http::status::precondition_failed);
}

TEST_F(RestRoutes, Delete_IfMatch_OnlyOnThatVersion) {
  std::string first(ask(http::verb::put, "/v1/kv/k", "1")[http::field::etag]);
  ask(http::verb::put, "/v1/kv/k", "2");
  EXPECT_EQ(ask(http::verb::delete_, "/v1/kv/k", {}, {{http::field::if_match, first}}).result(),
            http::status::precondition_failed);
  EXPECT_EQ(ask(http::verb::delete_, "/v1/kv/k").result(), http::status::no_content);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k").result(), http::status::not_found);
}

TEST_F(RestRoutes, Get_IfNoneMatchCurrent_IsNotModified) {
  std::string tag(ask(http::verb::put, "/v1/kv/k", "1")[http::field::etag]);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k", {}, {{http::field::if_none_match, tag}}).result(),
            http::status::not_modified);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k", {}, {{http::field::if_none_match, "\"999999\""}}).result(),
            http::status::ok);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k", {}, {{http::field::if_none_match, "junk"}}).result(),
            http::status::bad_request);
}

TEST_F(RestRoutes, IfMatch_WeakTag_NeverMatches) {
  std::string tag(ask(http::verb::put, "/v1/kv/k", "1")[http::field::etag]);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "2", {{http::field::if_match, "W/" + tag}}).result(),
            http::status::precondition_failed);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k", {}, {{http::field::if_match, "W/" + tag}}).result(),
            http::status::precondition_failed);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k", {}, {{http::field::if_none_match, "W/" + tag}}).result(),
            http::status::not_modified);
}

TEST_F(RestRoutes, Condition_OnSeveralLines_IsOneList) {
  std::string tag(ask(http::verb::put, "/v1/kv/k", "1")[http::field::etag]);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "2", {{http::field::if_match, "\"999\""}, {http::field::if_match, tag}})
                .result(),
            http::status::no_content);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "3",
                {{http::field::if_none_match, tag}, {http::field::if_none_match, "\"999\""}})
                .result(),
            http::status::no_content);
  std::string now(ask(http::verb::get, "/v1/kv/k")[http::field::etag]);
  EXPECT_EQ(
      ask(http::verb::get, "/v1/kv/k", {}, {{http::field::if_none_match, "\"999\""}, {http::field::if_none_match, now}})
          .result(),
      http::status::not_modified);
}

TEST_F(RestRoutes, Put_ThatLosesARaceItsConditionDoesNotMind_IsJudgedAnew) {
  std::string first(ask(http::verb::put, "/v1/kv/k", "1")[http::field::etag]);
  // Another client writes between the gateway's read and its commit.
  RacingStore racing(time, memory, store);
  RestContext raced{racing, ring, admin, [] { return std::string(); }, [] { return std::chrono::seconds(30); }};
  RestRequest request(http::verb::put, "/v1/kv/k", 11);
  request.set(http::field::if_none_match, "\"999\"");
  request.body() = "2";
  EXPECT_EQ(time.run(answer(raced, request, caller)).result(), http::status::no_content);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k").body(), "2");
  // A request whose condition fails with the new value is refused.
  racing.race();
  request.erase(http::field::if_none_match);
  request.set(http::field::if_match, std::string(ask(http::verb::get, "/v1/kv/k")[http::field::etag]));
  EXPECT_EQ(time.run(answer(raced, request, caller)).result(), http::status::precondition_failed);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k").body(), "another's");
}

TEST_F(RestRoutes, Target_Malformed_IsRefusedWithAReason) {
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/").result(), http::status::bad_request);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/%zz").result(), http::status::bad_request);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/%4").result(), http::status::bad_request);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/" + std::string(2046, 'a')).result(), http::status::uri_too_long);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/" + std::string(2045, 'a')).result(), http::status::not_found);
  EXPECT_EQ(ask(http::verb::get, "/elsewhere").result(), http::status::not_found);
  RestResponse response = ask(http::verb::post, "/v1/kv/k", "x");
  EXPECT_EQ(response.result(), http::status::method_not_allowed);
  EXPECT_EQ(response[http::field::allow], "GET, HEAD, PUT, DELETE");
}

TEST_F(RestRoutes, Ring_ThatFails_IsAnErrorWithItsName) {
  store.fail_commits(1, ErrorCode::timeout);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "1").result(), http::status::gateway_timeout);
  store.fail_commits(1, ErrorCode::no_space);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/k", "1").result(), http::status::insufficient_storage);
  store.fail_reads(1, ErrorCode::corrupt);
  EXPECT_EQ(ask(http::verb::get, "/v1/kv/k").result(), http::status::internal_server_error);
  ring.unreachable = true;
  RestResponse response = ask(http::verb::get, "/v1/lookup/k");
  EXPECT_EQ(response.result(), http::status::service_unavailable);
  EXPECT_EQ(json(response)["reason"], "nobody answers");
}

TEST_F(RestRoutes, Views_OfTheRing_AreJson) {
  EXPECT_EQ(json(ask(http::verb::get, "/v1/members"))["members"][0]["address"], "127.0.0.1:4000");
  EXPECT_EQ(json(ask(http::verb::get, "/v1/ring"))["partitions"].size(), 4U);
  EXPECT_EQ(json(ask(http::verb::get, "/v1/lookup/photo"))["hops"].size(), 2U);
  EXPECT_EQ(json(ask(http::verb::get, "/v1/lookup/photo"))["object"], "kv/photo");
  EXPECT_EQ(ask(http::verb::get, "/healthz").result(), http::status::ok);
  ring.health = Health::readonly;
  EXPECT_EQ(ask(http::verb::get, "/healthz").result(), http::status::service_unavailable);
  EXPECT_EQ(ask(http::verb::get, "/metrics").body(), "ringfs_groups 1\n");
}

TEST_F(RestRoutes, Documents_NameEveryResource) {
  nlohmann::json document = json(ask(http::verb::get, "/openapi.json"));
  std::string page = ask(http::verb::get, "/docs").body();
  EXPECT_EQ(document["openapi"], "3.0.3");
  for (const char* path : {"/v1/kv/{key}", "/v1/lookup/{key}", "/v1/ring", "/v1/members", "/healthz", "/metrics"}) {
    EXPECT_TRUE(document["paths"].contains(path)) << path;
    EXPECT_NE(page.find(path), std::string::npos) << path;
  }
  EXPECT_EQ(ask(http::verb::get, "/").result(), http::status::found);
}

// ---- Who may what ----

Caller known_as(AccessRole role) {
  Caller caller;
  caller.encrypted = true;
  caller.role = role;
  return caller;
}

Caller unknown() {
  Caller caller;
  caller.encrypted = true;
  caller.why = {ErrorCode::access_denied, "who is it?"};
  return caller;
}

// A path of the table with something in the place of its name.
std::string target_at(const Route& route) {
  const std::string path(route.path);
  return path.substr(0, path.find('{')) + (path.find('{') == std::string::npos ? "" : "x");
}

TEST_F(RestRoutes, EveryRoute_WantsTheRoleOfTheTableAndNoLess) {
  std::map<std::string, int> count;
  for (const Route& route : routes()) {
    const std::string name(role_name(route));
    const std::string what = std::string(http::to_string(route.method)) + " " + std::string(route.path);
    ++count[name];
    if (name == "-") continue;
    const AccessRole role = parse_access_role(name).value();
    EXPECT_LE(role, AccessRole::admin) << what;
    for (AccessRole held : {AccessRole::reader, AccessRole::writer, AccessRole::admin, AccessRole::node}) {
      caller = known_as(held);
      const RestResponse response = ask(route.method, target_at(route));
      EXPECT_EQ(response.result() == http::status::forbidden, held < role) << what << " as " << to_string(held);
    }
    caller = unknown();
    const RestResponse response = ask(route.method, target_at(route));
    EXPECT_EQ(response.result(), http::status::unauthorized) << what;
    EXPECT_EQ(json(response)["reason"], "who is it?") << what;
  }
  // A new route is counted here, so somebody has thought about its role.
  EXPECT_EQ(count, (std::map<std::string, int>{{"-", 4}, {"admin", 2}, {"reader", 8}, {"writer", 2}}));
}

TEST_F(RestRoutes, HeadOfARoute_WantsWhatGetWants) {
  caller = unknown();
  EXPECT_EQ(ask(http::verb::head, "/v1/kv/k").result(), http::status::unauthorized);
  EXPECT_EQ(ask(http::verb::head, "/healthz").result(), http::status::ok);
  caller = known_as(AccessRole::reader);
  EXPECT_EQ(ask(http::verb::head, "/v1/kv/k").result(), http::status::not_found);
}

TEST_F(RestRoutes, Strangers_DoNotLearnWhatThereIs) {
  caller = unknown();
  for (const char* target : {"/elsewhere", "/v1/kv/", "/v1/kv/%zz", "/v1"}) {
    EXPECT_EQ(ask(http::verb::get, target).result(), http::status::unauthorized) << target;
  }
  EXPECT_EQ(ask(http::verb::put, "/healthz").result(), http::status::unauthorized);
  EXPECT_EQ(ask(http::verb::trace, "/").result(), http::status::unauthorized);
}

TEST_F(RestRoutes, Health_ForStrangers_IsOneWordAndOneSurveyASecond) {
  caller = unknown();
  const std::string serves = "{\n  \"health\": \"ok\"\n}\n";
  EXPECT_EQ(ask(http::verb::get, "/healthz").body(), serves);
  ring.health = Health::readonly;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(http::verb::get, "/healthz").body(), serves);
  EXPECT_EQ(ring.asked, 1);
  time.advance(std::chrono::seconds(1));
  const RestResponse response = ask(http::verb::get, "/healthz");
  EXPECT_EQ(response.result(), http::status::service_unavailable);
  EXPECT_EQ(response.body(), "{\n  \"health\": \"unavailable\"\n}\n");
  EXPECT_EQ(ring.asked, 2);
  context.in_ring = [] { return false; };
  time.advance(std::chrono::seconds(1));
  EXPECT_EQ(ask(http::verb::get, "/healthz").body(), response.body());
  EXPECT_EQ(ring.asked, 2);
  caller = known_as(AccessRole::reader);
  context.in_ring = [] { return true; };
  EXPECT_EQ(json(ask(http::verb::get, "/healthz"))["remarks"][0], "one node may fail");
}

TEST_F(RestRoutes, Documents_AndTheTableOfRoutesSayTheSame) {
  const nlohmann::json paths = json(ask(http::verb::get, "/openapi.json"))["paths"];
  std::size_t described = 0;
  for (const Route& route : routes()) {
    std::string method(http::to_string(route.method));
    std::transform(method.begin(), method.end(), method.begin(), [](unsigned char c) { return std::tolower(c); });
    // Pages for people, and the description itself.
    if (route.path == "/" || route.path == "/login" || route.path == "/docs" || route.path == "/openapi.json") continue;
    const std::string path(route.path);
    ASSERT_TRUE(paths.contains(path) && paths[path].contains(method)) << method << " " << path;
    EXPECT_EQ(paths[path][method]["x-role"], role_name(route)) << method << " " << path;
    ++described;
  }
  std::size_t operations = 0;
  for (const auto& path : paths) operations += path.size();
  EXPECT_EQ(operations, described);
}

// ---- Members ----

TEST_F(RestRoutes, Members_Post_AddsANode) {
  RestResponse added = ask(http::verb::post, "/v1/members", R"({"address": "127.0.0.1:4010"})");
  EXPECT_EQ(added.result(), http::status::created);
  EXPECT_EQ(json(added)["state"], "joining");
  EXPECT_EQ(admin.calls, std::vector<std::string>{"add 127.0.0.1:4010"});
}

TEST_F(RestRoutes, Members_PostOfAnythingElse_IsBad) {
  for (const char* body : {"", "{", "[]", "{}", R"({"address": 5})", R"({"address": "a:1", "more": 1})"}) {
    EXPECT_EQ(ask(http::verb::post, "/v1/members", body).result(), http::status::bad_request) << body;
  }
  EXPECT_TRUE(admin.calls.empty());
}

TEST_F(RestRoutes, Members_RefusedChanges_SayWhy) {
  const std::pair<ErrorCode, http::status> refusals[] = {{ErrorCode::already_member, http::status::conflict},
                                                         {ErrorCode::foreign_ring, http::status::conflict},
                                                         {ErrorCode::version_mismatch, http::status::conflict},
                                                         {ErrorCode::busy, http::status::conflict},
                                                         {ErrorCode::connection_refused, http::status::bad_gateway},
                                                         {ErrorCode::unreachable, http::status::bad_gateway},
                                                         {ErrorCode::timeout, http::status::gateway_timeout},
                                                         {ErrorCode::invalid_argument, http::status::bad_request}};
  for (const auto& [code, status] : refusals) {
    admin.refused["add a:1"] = Error{code, "because"};
    RestResponse refused = ask(http::verb::post, "/v1/members", R"({"address": "a:1"})");
    EXPECT_EQ(refused.result(), status) << to_string(code);
    EXPECT_EQ(json(refused)["error"], to_string(code));
    EXPECT_EQ(json(refused)["reason"], "because");
  }
}

TEST_F(RestRoutes, Members_Delete_RemovesOne) {
  RestResponse removed = ask(http::verb::delete_, "/v1/members/127.0.0.1:4003");
  EXPECT_EQ(removed.result(), http::status::accepted);
  EXPECT_EQ(json(removed)["state"], "leaving");
  EXPECT_EQ(ask(http::verb::delete_, "/v1/members/127.0.0.1%3A4003?force=true").result(), http::status::accepted);
  EXPECT_EQ(admin.calls, (std::vector<std::string>{"remove 127.0.0.1:4003", "remove 127.0.0.1:4003 force"}));
  EXPECT_EQ(ask(http::verb::delete_, "/v1/members/x?force=maybe").result(), http::status::bad_request);
  EXPECT_EQ(ask(http::verb::get, "/v1/members/x").result(), http::status::method_not_allowed);
  admin.refused["remove y"] = Error{ErrorCode::too_few_nodes, "2 would remain"};
  EXPECT_EQ(ask(http::verb::delete_, "/v1/members/y").result(), http::status::conflict);
  admin.refused["remove z"] = Error{ErrorCode::not_found, "no such member"};
  EXPECT_EQ(ask(http::verb::delete_, "/v1/members/z").result(), http::status::not_found);
}

TEST_F(RestRoutes, Node_OutsideOfARing_AnswersOnlyWhatNeedsNone) {
  context.in_ring = [] { return false; };
  const std::vector<std::pair<http::verb, std::string>> asked = {{http::verb::get, "/v1/kv/k"},
                                                                 {http::verb::put, "/v1/kv/k"},
                                                                 {http::verb::delete_, "/v1/kv/k"},
                                                                 {http::verb::get, "/v1/lookup/k"},
                                                                 {http::verb::get, "/v1/ring"},
                                                                 {http::verb::get, "/v1/members"},
                                                                 {http::verb::delete_, "/v1/members/a:1"},
                                                                 {http::verb::get, "/healthz"}};
  for (const auto& [method, target] : asked) {
    const RestResponse refused = ask(method, target);
    EXPECT_EQ(refused.result(), http::status::service_unavailable) << target;
    EXPECT_EQ(json(refused)["error"], "unavailable") << target;
    EXPECT_EQ(json(refused)["reason"], "this node waits to be added to a ring") << target;
  }
  EXPECT_EQ(ask(http::verb::post, "/v1/members", R"({"address": "a:1"})").result(), http::status::service_unavailable);
  EXPECT_EQ(ask(http::verb::post, "/v1/members", "{}").result(), http::status::bad_request);
  EXPECT_EQ(ask(http::verb::put, "/v1/kv/%", "").result(), http::status::bad_request);
  EXPECT_TRUE(admin.calls.empty());
  EXPECT_EQ(ask(http::verb::get, "/metrics").result(), http::status::ok);
  EXPECT_EQ(ask(http::verb::get, "/docs").result(), http::status::ok);
}

}  // namespace
}  // namespace ringfs::nodes
