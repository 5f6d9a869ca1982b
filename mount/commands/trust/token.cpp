// ringfs token: what lets newcomers in.
#include <iostream>

#include "mount/commands/trust/trust_command.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

constexpr int longest_minutes = 60 * 24 * 365;

struct TokenArguments {
  RingOptions ring;
  std::string role;
  std::string note;
  std::string id;
  bool rest = false;
  unsigned uses = 1;
  int minutes = 60;
};

int create_token(const TokenArguments& arguments) {
  const Result<AccessRole> role = parse_access_role(arguments.role);
  if (!role) return report(role.error());
  if (arguments.rest && *role == AccessRole::node)
    return report(Error{ErrorCode::invalid_argument, "a token for REST has the role reader, writer or admin"});
  dht::NewToken token;
  token.rest = arguments.rest;
  token.role = *role;
  token.life = std::chrono::minutes(arguments.minutes);
  token.uses = arguments.uses;
  token.note = arguments.note;
  const TrustQuestion<std::string> question = [&token](dht::TrustAdmin* admin, TimePoint deadline) {
    return admin->create_token(token, deadline);
  };
  const Result<std::string> text = run_question(arguments.ring, question);
  if (!text) return report_asking(arguments.ring, text.error());
  std::cout << *text << "\n";
  return exit_ok;
}

std::string uses_text(const dht::TokenView& token) {
  return token.uses_left ? std::to_string(*token.uses_left) : std::string("any");
}

int list_tokens(const TokenArguments& arguments) {
  const TrustQuestion<std::vector<dht::TokenView>> question = [](dht::TrustAdmin* admin, TimePoint deadline) {
    return admin->tokens(deadline);
  };
  const Result<std::vector<dht::TokenView>> tokens = run_question(arguments.ring, question);
  if (!tokens) return report_asking(arguments.ring, tokens.error());
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows{{"ID", "FOR", "ROLE", "EXPIRES", "USES", "NOTE"}};
  for (const dht::TokenView& token : *tokens) {
    const std::string kind = token.rest ? "rest" : "join";
    const std::string role(to_string(token.role));
    json.push_back(Json{{"id", token.id},
                        {"for", kind},
                        {"role", role},
                        {"created", time_text(token.created)},
                        {"expires", time_text(token.expires)},
                        {"uses_left", token.uses_left ? Json(*token.uses_left) : Json()},
                        {"note", token.note}});
    rows.push_back({token.id, kind, role, time_text(token.expires), uses_text(token), token.note});
  }
  if (arguments.ring.json())
    print_json(json);
  else
    print_table(rows);
  return exit_ok;
}

int revoke_token(const TokenArguments& arguments) {
  const TrustQuestion<bool> question = [&arguments](dht::TrustAdmin* admin, TimePoint deadline) -> Task<Result<bool>> {
    const Status revoked = co_await admin->revoke_token(arguments.id, deadline);
    if (!revoked) co_return tl::unexpected<Error>(revoked.error());
    co_return true;
  };
  const Result<bool> revoked = run_question(arguments.ring, question);
  if (!revoked) return report_asking(arguments.ring, revoked.error());
  return exit_ok;
}

}  // namespace

void add_token_commands(CLI::App& app, Commands& commands) {
  CLI::App* token = app.add_subcommand("token", "Tokens, which let nodes, mounts and REST clients in");
  token->require_subcommand(1);
  auto arguments = std::make_shared<TokenArguments>();

  CLI::App* create = token->add_subcommand("create", "Make a token and print it; the ring keeps only its hash");
  create->add_option("--role", arguments->role, "reader, writer, admin or node")
      ->required()
      ->check(CLI::IsMember({"reader", "writer", "admin", "node"}));
  create->add_option("--uses", arguments->uses, "How many may get in with it")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  create->add_option("--minutes", arguments->minutes, "How long it counts")
      ->check(CLI::Range(1, longest_minutes))
      ->capture_default_str();
  create->add_flag("--rest", arguments->rest, "For the REST interface, as a bearer token: any number of times");
  create->add_option("--note", arguments->note, "Said in the list of tokens");
  arguments->ring.add_to(*create);
  create->callback([arguments, &commands] { commands.action = [arguments] { return create_token(*arguments); }; });

  CLI::App* list = token->add_subcommand("list", "The tokens that still count");
  arguments->ring.add_to(*list);
  list->callback([arguments, &commands] { commands.action = [arguments] { return list_tokens(*arguments); }; });

  CLI::App* revoke = token->add_subcommand("revoke", "A token counts no more; who is in stays in");
  revoke->add_option("ID", arguments->id, "Its first eight digits, as the list has them")->required();
  arguments->ring.add_to(*revoke);
  revoke->callback([arguments, &commands] { commands.action = [arguments] { return revoke_token(*arguments); }; });
}

}  // namespace ringfs::mount
