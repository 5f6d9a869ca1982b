// ringfs clients: who has a certificate of the ring and is no node.
#include <iostream>

#include "dht/base/bytes.hpp"
#include "mount/commands/trust/client_credentials.hpp"
#include "mount/commands/trust/trust_command.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

struct ClientArguments {
  RingOptions ring;
  std::string name;
  std::string nodes;
  std::string token_file;
};

int list_clients(const ClientArguments& arguments) {
  const TrustQuestion<std::vector<dht::Client>> question = [](dht::TrustAdmin* admin, TimePoint deadline) {
    return admin->clients(deadline);
  };
  const Result<std::vector<dht::Client>> clients = run_question(arguments.ring, question);
  if (!clients) return report_asking(arguments.ring, clients.error());
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows{{"NAME", "ROLE", "STATE"}};
  for (const dht::Client& client : *clients) {
    const std::string role(to_string(client.role));
    const std::string state = client.revoked ? "revoked" : "in";
    json.push_back(Json{{"name", client.name}, {"role", role}, {"state", state}});
    rows.push_back({client.name, role, state});
  }
  if (arguments.ring.json())
    print_json(json);
  else
    print_table(rows);
  return exit_ok;
}

int revoke_client(const ClientArguments& arguments) {
  const TrustQuestion<bool> question = [&arguments](dht::TrustAdmin* admin, TimePoint deadline) -> Task<Result<bool>> {
    const Status revoked = co_await admin->revoke_client(arguments.name, deadline);
    if (!revoked) co_return tl::unexpected<Error>(revoked.error());
    co_return true;
  };
  const Result<bool> revoked = run_question(arguments.ring, question);
  if (!revoked) return report_asking(arguments.ring, revoked.error());
  return exit_ok;
}

int join(const ClientArguments& arguments) {
  Result<std::string> token = read_token(arguments.token_file);
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
