// ringfs token: what lets newcomers in.
#include <iostream>

#include "dht/net/trust/authority_rows.hpp"
#include "dht/net/trust/token.hpp"
#include "mount/commands/trust/trust_command.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

constexpr unsigned longest_minutes = 60 * 24 * 365;
constexpr unsigned seconds_of_minute = 60;

struct TokenArguments {
  RingOptions ring;
  std::string role;
  std::string note;
  std::string id;
  bool rest = false;
  unsigned uses = 1;
  unsigned minutes = 60;
};

int create_token(const TokenArguments& arguments) {
  if (arguments.rest && arguments.role == "node")
    return report(Error{ErrorCode::invalid_argument, "a token for REST has the role reader, writer or admin"});
  Result<dht::Token> token = dht::make_token({});
  if (!token) return report(token.error());
  const Result<Json> answer = ask_trust(arguments.ring, {{"do", "token_create"},
                                                         {"secret_hash", dht::hash_text(token->secret_hash())},
                                                         {"role", arguments.role},
                                                         {"rest", arguments.rest},
                                                         {"seconds", arguments.minutes * seconds_of_minute},
                                                         {"uses", arguments.uses},
                                                         {"note", arguments.note}});
  if (!answer) return report_asking(arguments.ring, answer.error());
  const Result<KeyHash> authority = dht::parse_hash_text(answer->value("authority", std::string()));
  if (!authority) return report(Error{ErrorCode::corrupt, "the node's answer names no authority"});
  token->authority = *authority;
  std::cout << token->text() << "\n";
  return exit_ok;
}

int list_tokens(const TokenArguments& arguments) {
  const Result<Json> tokens = ask_trust(arguments.ring, {{"do", "token_list"}});
  if (!tokens) return report_asking(arguments.ring, tokens.error());
  if (arguments.ring.json()) {
    print_json(*tokens);
    return exit_ok;
  }
  std::vector<std::vector<std::string>> rows{{"ID", "FOR", "ROLE", "EXPIRES", "USES", "NOTE"}};
  for (const Json& token : *tokens) {
    const Json& uses = token.at("uses_left");
    rows.push_back({token.at("id"), token.at("for"), token.at("role"), time_text(token.at("expires")),
                    uses.is_null() ? "any" : uses.dump(), token.at("note")});
  }
  print_table(rows);
  return exit_ok;
}

int revoke_token(const TokenArguments& arguments) {
  const Result<Json> answer = ask_trust(arguments.ring, {{"do", "token_revoke"}, {"id", arguments.id}});
  return answer ? int{exit_ok} : report_asking(arguments.ring, answer.error());
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
      ->check(CLI::Range(1U, longest_minutes))
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
