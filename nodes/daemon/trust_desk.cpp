// Questions as JSON to calls of TrustAdmin.
#include "nodes/daemon/trust_desk.hpp"

#include <limits>
#include <map>
#include <nlohmann/json.hpp>

namespace ringfs::nodes {

namespace {

using Json = nlohmann::ordered_json;
using Answer = Result<Json>;

std::int64_t seconds_of(Stamp stamp) {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::microseconds(stamp.microseconds)).count();
}

tl::unexpected<Error> wrong(const std::string& field) {
  return fail(ErrorCode::invalid_argument, "the field '" + field + "' is missing or wrong");
}

Result<std::string> text_field(const Json& question, const char* name) {
  const auto found = question.find(name);
  if (found == question.end() || !found->is_string()) return wrong(name);
  return found->get<std::string>();
}

Result<std::uint64_t> number_field(const Json& question, const char* name, std::uint64_t most) {
  const auto found = question.find(name);
  if (found == question.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > most) return wrong(name);
  return found->get<std::uint64_t>();
}

Result<bool> flag_field(const Json& question, const char* name) {
  const auto found = question.find(name);
  if (found == question.end()) return false;
  if (!found->is_boolean()) return wrong(name);
  return found->get<bool>();
}

Result<dht::NewToken> token_of(const Json& question) {
  const Result<std::string> role_name = text_field(question, "role");
  if (!role_name) return tl::unexpected<Error>(role_name.error());
  const Result<AccessRole> role = parse_access_role(*role_name);
  if (!role) return tl::unexpected<Error>(role.error());
  const Result<std::string> hash_text = text_field(question, "secret_hash");
  if (!hash_text) return tl::unexpected<Error>(hash_text.error());
  const Result<KeyHash> secret_hash = dht::parse_hash_text(*hash_text);
  if (!secret_hash) return wrong("secret_hash");
  const Result<bool> rest = flag_field(question, "rest");
  if (!rest) return tl::unexpected<Error>(rest.error());
  const auto longest = std::chrono::duration_cast<std::chrono::seconds>(dht::max_token_life).count();
  const Result<std::uint64_t> seconds = number_field(question, "seconds", static_cast<std::uint64_t>(longest));
  if (!seconds) return tl::unexpected<Error>(seconds.error());
  const Result<std::uint64_t> uses = number_field(question, "uses", std::numeric_limits<std::uint32_t>::max() - 1);
  if (!uses) return tl::unexpected<Error>(uses.error());
  dht::NewToken token;
  token.rest = *rest;
  token.role = *role;
  token.life = std::chrono::seconds(static_cast<std::int64_t>(*seconds));
  token.uses = static_cast<std::uint32_t>(*uses);
  const Result<std::string> note = question.contains("note") ? text_field(question, "note") : Result<std::string>("");
  if (!note) return tl::unexpected<Error>(note.error());
  token.note = *note;
  token.secret_hash = *secret_hash;
  return token;
}

Answer done(const Status& status) {
  if (!status) return tl::unexpected<Error>(status.error());
  return Json::object();
}

Task<Answer> create_token(dht::TrustAdmin* admin, Uuid, Json question, TimePoint deadline) {
  Result<dht::NewToken> token = token_of(question);
  if (!token) co_return tl::unexpected<Error>(token.error());
  const Result<KeyHash> authority = co_await admin->create_token(std::move(*token), deadline);
  if (!authority) co_return tl::unexpected<Error>(authority.error());
  co_return Json{{"authority", dht::hash_text(*authority)}};
}

Task<Answer> list_tokens(dht::TrustAdmin* admin, Uuid, Json, TimePoint deadline) {
  const Result<std::vector<dht::TokenView>> tokens = co_await admin->tokens(deadline);
  if (!tokens) co_return tl::unexpected<Error>(tokens.error());
  Json list = Json::array();
  for (const dht::TokenView& token : *tokens) {
    list.push_back(Json{{"id", token.id},
                        {"for", token.rest ? "rest" : "join"},
                        {"role", to_string(token.role)},
                        {"created", seconds_of(token.created)},
                        {"expires", seconds_of(token.expires)},
                        {"uses_left", token.uses_left ? Json(*token.uses_left) : Json()},
                        {"note", token.note}});
  }
  co_return list;
}

Task<Answer> revoke_token(dht::TrustAdmin* admin, Uuid, Json question, TimePoint deadline) {
  Result<std::string> id = text_field(question, "id");
  if (!id) co_return tl::unexpected<Error>(id.error());
  co_return done(co_await admin->revoke_token(std::move(*id), deadline));
}

Task<Answer> list_clients(dht::TrustAdmin* admin, Uuid, Json, TimePoint deadline) {
  const Result<std::vector<dht::Client>> clients = co_await admin->clients(deadline);
  if (!clients) co_return tl::unexpected<Error>(clients.error());
  Json list = Json::array();
  for (const dht::Client& client : *clients)
    list.push_back(Json{{"name", client.name}, {"role", to_string(client.role)}, {"revoked", client.revoked}});
  co_return list;
}

Task<Answer> add_client(dht::TrustAdmin* admin, Uuid, Json question, TimePoint deadline) {
  Result<std::string> name = text_field(question, "name");
  if (!name) co_return tl::unexpected<Error>(name.error());
  const Result<std::string> role_name = text_field(question, "role");
  if (!role_name) co_return tl::unexpected<Error>(role_name.error());
  const Result<AccessRole> role = parse_access_role(*role_name);
  if (!role) co_return tl::unexpected<Error>(role.error());
  co_return done(co_await admin->add_client(std::move(*name), *role, deadline));
}

Task<Answer> revoke_client(dht::TrustAdmin* admin, Uuid, Json question, TimePoint deadline) {
  Result<std::string> name = text_field(question, "name");
  if (!name) co_return tl::unexpected<Error>(name.error());
  co_return done(co_await admin->revoke_client(std::move(*name), deadline));
}

Task<Answer> show_authority(dht::TrustAdmin* admin, Uuid, Json, TimePoint deadline) {
  const Result<std::vector<dht::AuthorityView>> authorities = co_await admin->authorities(deadline);
  if (!authorities) co_return tl::unexpected<Error>(authorities.error());
  Json list = Json::array();
  for (const dht::AuthorityView& authority : *authorities) {
    list.push_back(Json{{"key", authority.key_hash},
                        {"signs", authority.current},
                        {"since", seconds_of(authority.not_before)},
                        {"until", seconds_of(authority.not_after)}});
  }
  co_return list;
}

Task<Answer> finish_rotation(dht::TrustAdmin* admin, Uuid, Json question, TimePoint deadline) {
  const Result<bool> now = flag_field(question, "now");
  if (!now) co_return tl::unexpected<Error>(now.error());
  co_return done(co_await admin->finish_rotation(*now, deadline));
}

Task<Answer> create_authority(dht::TrustAdmin* admin, Uuid ring, Json, TimePoint deadline) {
  co_return done(co_await admin->create_authority(ring, deadline));
}

Task<Answer> begin_rotation(dht::TrustAdmin* admin, Uuid ring, Json, TimePoint deadline) {
  co_return done(co_await admin->begin_rotation(ring, deadline));
}

using Handler = Task<Answer> (*)(dht::TrustAdmin*, Uuid, Json, TimePoint);
const std::map<std::string, Handler>& handlers() {
  static const std::map<std::string, Handler> table{
      {"token_create", create_token},       {"token_list", list_tokens},
      {"token_revoke", revoke_token},       {"client_list", list_clients},
      {"client_revoke", revoke_client},     {"client_add", add_client},
      {"authority_show", show_authority},   {"authority_create", create_authority},
      {"authority_rotate", begin_rotation}, {"authority_finish", finish_rotation},
  };
  return table;
}

Status check_issuer(const std::string& question, dht::Issuer issuer) {
  const bool adds = question == "client_add";
  if (issuer == dht::Issuer::ring) {
    if (!adds) return {};
    return fail(ErrorCode::not_supported,
                "clients of this ring get in with a token: `ringfs token create`, `ringfs clients join`");
  }
  if (!question.starts_with("authority_") && question != "token_create") return {};
  return fail(ErrorCode::not_supported,
              "the certificates of this ring come from its operator's own authority: there are no tokens; `ringfs "
              "clients add` names a client");
}

}  // namespace

Task<Result<std::string>> TrustDesk::answer(std::string question, AccessRole role, TimePoint deadline) {
  if (role < AccessRole::admin)
    co_return fail(ErrorCode::access_denied, "this wants the role admin; yours is " + std::string(to_string(role)));
  const Json json = Json::parse(question, nullptr, false);
  const Result<std::string> name = json.is_object() ? text_field(json, "do") : Result<std::string>(wrong("do"));
  if (!name) co_return tl::unexpected<Error>(name.error());
  const auto handler = handlers().find(*name);
  if (handler == handlers().end()) co_return wrong("do");
  if (Status fits = check_issuer(*name, issuer_); !fits) co_return tl::unexpected<Error>(fits.error());
  const Answer answer = co_await handler->second(&admin_, ring_, json, deadline);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  co_return answer->dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ringfs::nodes
