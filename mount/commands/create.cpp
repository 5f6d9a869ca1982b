// ringfs create: makes a ring of waiting ringfs-node processes.
#include <bit>
#include <iostream>

#include "dht/net/client/ring_creation.hpp"
#include "dht/net/sockets/dial.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

struct CreateArguments {
  std::vector<std::string> nodes;
  unsigned partitions = 256;
  unsigned replication = 3;
  int timeout_seconds = 20;
  std::string output = "table";
};

int create(const CreateArguments& arguments) {
  if (!std::has_single_bit(arguments.partitions)) {
    std::cerr << "ringfs: --partitions takes a power of two, not " << arguments.partitions << "\n";
    return exit_usage;
  }
  std::vector<dht::FirstNode> nodes;
  std::vector<std::string> addresses;
  for (const std::string& text : arguments.nodes) {
    for (const std::string& address : split_list(text)) {
      if (!dht::split_address(address)) {
        std::cerr << "ringfs: " << address << " is not host:port\n";
        return exit_usage;
      }
      nodes.push_back(dht::FirstNode{address, ""});
      addresses.push_back(address);
    }
  }
  dht::CreationOptions options;
  options.partition_bits = static_cast<unsigned>(std::countr_zero(arguments.partitions));
  options.replication = arguments.replication;
  RingSession session(addresses);
  const TimePoint deadline = session.in(std::chrono::seconds(arguments.timeout_seconds));
  const Result<dht::CreationReport> report_or =
      session.run(dht::create_ring(session.transport(), std::move(nodes), options, deadline));
  session.finish();
  if (!report_or) {
    const bool taken = report_or.error().code == ErrorCode::already_member;
    return report(report_or.error(),
                  taken ? "ringfs status --node " + addresses.front()
                        : "start the nodes, then create again: ringfs-node --data DIR --listen HOST:PORT");
  }
  const dht::Genesis& genesis = report_or->genesis;
  if (arguments.output == "json") {
    nlohmann::ordered_json json;
    json["ring"] = genesis.ring.text();
    json["nodes"] = genesis.first_table.members.size();
    json["partitions"] = 1U << genesis.partition_bits;
    json["existed"] = report_or->existed;
    print_json(json);
  } else {
    std::cout << genesis.ring.text() << "\n";
  }
  return exit_ok;
}

}  // namespace

void add_create_command(CLI::App& app, Commands& commands) {
  CLI::App* command = app.add_subcommand("create", "Make a ring of waiting ringfs-node processes; prints its uuid");
  auto arguments = std::make_shared<CreateArguments>();
  command->add_option("NODE", arguments->nodes, "host:port of each first node")->required();
  command->add_option("--partitions", arguments->partitions, "Partitions, a power of two, fixed for ever")
      ->check(CLI::Range(1U, 65536U))
      ->capture_default_str();
  command->add_option("--replication", arguments->replication, "Copies of everything")
      ->check(CLI::Range(1U, dht::max_replication))
      ->capture_default_str();
  add_timeout_option(*command, arguments->timeout_seconds, 3600);
  add_output_option(*command, arguments->output);
  command->callback([arguments, &commands] { commands.action = [arguments] { return create(*arguments); }; });
}

}  // namespace ringfs::mount
