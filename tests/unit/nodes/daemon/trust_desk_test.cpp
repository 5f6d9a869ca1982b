// Questions about tokens, clients and the authority, as text.
#include "nodes/daemon/trust_desk.hpp"

#include <nlohmann/json.hpp>

#include "tests/unit/net/client/trusted_ring.hpp"

namespace ringfs::nodes {
namespace {

using nlohmann::json;

constexpr Stamp start{1'790'000'000'000'000};
constexpr std::int64_t start_seconds = 1'790'000'000;

class TrustDeskTest : public testing::Test {
 protected:
  void SetUp() override { ring_.found(); }

  Result<std::string> say(const std::string& question, AccessRole role = AccessRole::admin) {
    return ring_.run(desk_.answer(question, role, ring_.limit()));
  }
  json ask(const json& question) {
    const Result<std::string> answer = say(question.dump());
    EXPECT_TRUE(answer) << question << ": " << answer.error().text();
    return answer ? json::parse(*answer) : json();
  }
  Error refused(const json& question) {
    const Result<std::string> answer = say(question.dump());
    EXPECT_FALSE(answer) << question << ": " << *answer;
    return answer ? Error{} : answer.error();
  }
  static json token_question() {
    return {{"do", "token_create"}, {"secret_hash", std::string(64, 'a')},
            {"role", "writer"},     {"rest", false},
            {"seconds", 3600},      {"uses", 3},
            {"note", "for the lab"}};
  }

  dht::TrustedRing ring_{start};
  TrustDesk desk_{ring_.store, [this] { return ring_.now; }, ring_.ring, dht::Issuer::ring};
};

TEST_F(TrustDeskTest, Token_IsMadeOnceForASecret_ListedAndRevoked) {
  const std::string authority = dht::hash_text(ring_.authority.certificate.key_hash());
  EXPECT_EQ(ask(token_question()), (json{{"authority", authority}}));
  EXPECT_EQ(ask(token_question()), (json{{"authority", authority}})) << "again, for the answer was lost";
  EXPECT_EQ(ask({{"do", "token_list"}}), (json::array({{{"id", "aaaaaaaa"},
                                                        {"for", "join"},
                                                        {"role", "writer"},
                                                        {"created", start_seconds},
                                                        {"expires", start_seconds + 3600},
                                                        {"uses_left", 3},
                                                        {"note", "for the lab"}}})));
  EXPECT_EQ(ask({{"do", "token_revoke"}, {"id", "aaaaaaaa"}}), json::object());
  EXPECT_EQ(ask({{"do", "token_list"}}), json::array());
  EXPECT_EQ(refused({{"do", "token_revoke"}, {"id", "aaaaaaaa"}}).code, ErrorCode::not_found);
}

TEST_F(TrustDeskTest, RestToken_HasNoUses) {
  json question = token_question();
  question["rest"] = true;
  ask(question);
  const json listed = ask({{"do", "token_list"}});
  EXPECT_EQ(listed.at(0).at("for"), "rest");
  EXPECT_TRUE(listed.at(0).at("uses_left").is_null());
}

TEST_F(TrustDeskTest, Clients_AreListedAndRevoked) {
  const dht::PrivateKey key = dht::PrivateKey::generate().value();
  ASSERT_TRUE(ring_.admit(dht::client_request(key, ring_.token(AccessRole::reader), "laptop")));
  EXPECT_EQ(ask({{"do", "client_list"}}),
            (json::array({{{"name", "laptop"}, {"role", "reader"}, {"revoked", false}}})));
  EXPECT_EQ(ask({{"do", "client_revoke"}, {"name", "laptop"}}), json::object());
  EXPECT_EQ(ask({{"do", "client_list"}}).at(0).at("revoked"), true);
  EXPECT_EQ(refused({{"do", "client_revoke"}, {"name", "phone"}}).code, ErrorCode::not_found);
}

TEST_F(TrustDeskTest, Authority_IsReplaced) {
  const json before = ask({{"do", "authority_show"}});
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0].at("key"), dht::hash_text(ring_.authority.certificate.key_hash()));
  EXPECT_EQ(before[0].at("signs"), true);
  EXPECT_EQ(ask({{"do", "authority_rotate"}}), json::object());
  EXPECT_EQ(ask({{"do", "authority_show"}}).size(), 2U);
  EXPECT_EQ(refused({{"do", "authority_rotate"}}).code, ErrorCode::busy);
  EXPECT_EQ(refused({{"do", "authority_finish"}}).code, ErrorCode::busy) << "its certificates still count";
  EXPECT_EQ(ask({{"do", "authority_finish"}, {"now", true}}), json::object());
  const json after = ask({{"do", "authority_show"}});
  ASSERT_EQ(after.size(), 1U);
  EXPECT_NE(after[0].at("key"), before[0].at("key"));
}

TEST_F(TrustDeskTest, WhoIsNoAdministrator_LearnsAndChangesNothing) {
  for (AccessRole role : {AccessRole::reader, AccessRole::writer}) {
    for (const char* what : {"token_create", "token_list", "token_revoke", "client_list", "client_revoke",
                             "authority_show", "authority_rotate", "authority_finish", "nothing"}) {
      json question = token_question();
      question["do"] = what;
      const Result<std::string> answer = say(question.dump(), role);
      ASSERT_FALSE(answer) << what;
      EXPECT_EQ(answer.error().code, ErrorCode::access_denied) << what;
      EXPECT_EQ(answer.error().context, "this wants the role admin; yours is " + std::string(to_string(role)));
    }
  }
  EXPECT_TRUE(ring_.tokens().empty());
  EXPECT_TRUE(say(R"({"do": "token_list"})", AccessRole::node));
}

TEST_F(TrustDeskTest, MalformedQuestion_IsRefusedAndTheFieldNamed) {
  for (const char* text : {"", "{", "[]", "7", "null", R"({"do": 7})", R"({"do": "nothing"})", "{\"do\": \"\xff\"}",
                           R"({"DO": "token_list"})"}) {
    const Result<std::string> answer = say(text);
    ASSERT_FALSE(answer) << text;
    EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument) << text;
    EXPECT_EQ(answer.error().context, "the field 'do' is missing or wrong") << text;
  }
  struct Row {
    const char* field;
    json value;  // null: the field is missing
  };
  const std::vector<Row> rows{{"secret_hash", nullptr},
                              {"secret_hash", "aa"},
                              {"secret_hash", std::string(64, 'A')},
                              {"secret_hash", 7},
                              {"role", nullptr},
                              {"role", 2},
                              {"rest", "yes"},
                              {"seconds", nullptr},
                              {"seconds", -1},
                              {"seconds", 1e300},
                              {"seconds", 31536001},
                              {"uses", nullptr},
                              {"uses", 4294967295},
                              {"uses", "one"},
                              {"note", 7},
                              {"secret_hash", std::string(63, 'a') + "g"}};
  for (const Row& row : rows) {
    json question = token_question();
    if (row.value.is_null())
      question.erase(row.field);
    else
      question[row.field] = row.value;
    const Error error = refused(question);
    EXPECT_EQ(error.code, ErrorCode::invalid_argument) << question;
    EXPECT_EQ(error.context, "the field '" + std::string(row.field) + "' is missing or wrong") << question;
  }
  json question = token_question();
  question["role"] = "king";
  EXPECT_EQ(refused(question).context, "a role is reader, writer, admin or node");
  for (const char* what : {"token_revoke", "client_revoke"})
    EXPECT_EQ(refused({{"do", what}}).code, ErrorCode::invalid_argument) << what;
  EXPECT_EQ(refused({{"do", "authority_finish"}, {"now", 1}}).context, "the field 'now' is missing or wrong");
  EXPECT_TRUE(ring_.tokens().empty());
}

TEST_F(TrustDeskTest, NoteThatIsNoUtf8_IsShownAllTheSame) {
  dht::NewToken token;
  token.note = "caf\xe9";
  ring_.token(token);
  const Result<std::string> answer = say(R"({"do": "token_list"})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(json::parse(*answer).at(0).at("note"), "caf\xef\xbf\xbd");
}

}  // namespace
}  // namespace ringfs::nodes
