// ringfs clients: who has a certificate of the ring and is no node.
#include <iostream>

#include "dht/net/trust/token.hpp"
#include "mount/commands/trust/client_credentials.hpp"
#include "mount/commands/trust/trust_command.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

struct ClientArguments {
  RingOptions ring;
  std::string name, role;
  std::string nodes;
  std::string token_file;
};

int list_clients(const ClientArguments& arguments) {
  const Result<Json> clients = ask_trust(arguments.ring, {{"do", "client_list"}});
  if (!clients) return report_asking(arguments.ring, clients.error());
  if (arguments.ring.json()) {
    print_json(*clients);
    return exit_ok;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "ROLE", "STATE"}};
  for (const Json& client : *clients)
    rows.push_back({client.at("name"), client.at("role"), client.at("revoked").get<bool>() ? "revoked" : "in"});
  print_table(rows);
  return exit_ok;
}

int add_client(const ClientArguments& arguments) {
  const Result<Json> answer =
      ask_trust(arguments.ring, {{"do", "client_add"}, {"name", arguments.name}, {"role", arguments.role}});
  return answer ? int{exit_ok} : report_asking(arguments.ring, answer.error());
}

int revoke_client(const ClientArguments& arguments) {
  const Result<Json> answer = ask_trust(arguments.ring, {{"do", "client_revoke"}, {"name", arguments.name}});
  return answer ? int{exit_ok} : report_asking(arguments.ring, answer.error());
}

int join(const ClientArguments& arguments) {
  Result<std::string> token = dht::read_token(arguments.token_file);
  if (!token) return report(token.error());
  const Result<std::string> name =
      join_as_client({.nodes = split_list(arguments.nodes), .token = *token, .name = arguments.name});
  if (!name) return report(name.error(), "ringfs token create --role writer    (on a machine with a node)");
  std::cout << *name << "\n";
  return exit_ok;
}

}  // namespace

void add_client_commands(CLI::App& app, Commands& commands) {
  CLI::App* clients = app.add_subcommand("clients", "Who has a certificate of the ring: mounts and operators");
  clients->require_subcommand(1);
  auto arguments = std::make_shared<ClientArguments>();

  CLI::App* list = clients->add_subcommand("list", "All of them, with their roles");
  arguments->ring.add_to(*list);
  list->callback([arguments, &commands] { commands.action = [arguments] { return list_clients(*arguments); }; });

  CLI::App* add = clients->add_subcommand(
      "add",
      "Give a role to a client whose certificate an operator's own authority issues; others get in with a token");
  add->add_option("NAME", arguments->name, "As its certificate has it: ringfs://RING/client/NAME")->required();
  add->add_option("--role", arguments->role, "reader, writer or admin")
      ->required()
      ->check(CLI::IsMember({"reader", "writer", "admin"}));
  arguments->ring.add_to(*add);
  add->callback([arguments, &commands] { commands.action = [arguments] { return add_client(*arguments); }; });

  CLI::App* revoke = clients->add_subcommand("revoke", "Its certificate counts no more, on open connections too");
  revoke->add_option("NAME", arguments->name, "As the list has it")->required();
  arguments->ring.add_to(*revoke);
  revoke->callback([arguments, &commands] { commands.action = [arguments] { return revoke_client(*arguments); }; });

  CLI::App* enter =
      clients->add_subcommand("join", "Get a certificate with a token, without mounting; prints the name");
  enter->add_option("NODE", arguments->nodes, "Nodes of the ring: host:port[,host:port]")->required();
  enter->add_option("--token-file", arguments->token_file,
                    "A file with the token; - is standard input. Without it: RINGFS_TOKEN");
  enter->add_option("--name", arguments->name, "The name in the ring (default: this host's, with a number)");
  enter->callback([arguments, &commands] { commands.action = [arguments] { return join(*arguments); }; });
}

}  // namespace ringfs::mount
