// ringfs add, ringfs remove: which nodes the ring consists of.
#include <unistd.h>

#include <iostream>

#include "mount/commands/command_line.hpp"
#include "mount/commands/local_ring.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;
constexpr auto start_timeout = std::chrono::seconds(30);
constexpr int default_wait_seconds = 3600;
constexpr std::size_t bar_width = 30;

struct MemberArguments {
  RingOptions ring;
  std::string member;  // host:port, or an id
  bool local = false, force = false, wait = false;
  int wait_seconds = default_wait_seconds;
};

// One line that is overwritten; only on a terminal.
class ProgressBar {
 public:
  void show(unsigned left, unsigned all) {
    if (!terminal_) return;
    most_ = std::max(most_, left);
    const std::size_t done = most_ == 0 ? bar_width : bar_width * (most_ - left) / most_;
    std::cerr << "\r[" << std::string(done, '#') << std::string(bar_width - done, '.') << "] " << left << " of " << all
              << " partitions still move " << std::flush;
    shown_ = true;
  }
  ~ProgressBar() {
    if (shown_) std::cerr << "\n";
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  unsigned most_ = 0;
  bool shown_ = false;
};

Task<Result<Uuid>> change(RingSession* session, const MemberArguments* arguments, bool add) {
  const TimePoint deadline = session->in(std::chrono::seconds(arguments->ring.timeout_seconds));
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  Result<Uuid> node = fail(ErrorCode::internal);
  if (add)
    node = co_await session->admin().add(arguments->member, deadline);
  else
    node = co_await session->admin().remove(arguments->member, arguments->force, deadline);
  if (!node || !arguments->wait) co_return node;
  ProgressBar bar;
  std::function<void(const RingStatus&)> look = [&bar](const RingStatus& status) {
    bar.show(status.unsettled, status.partitions);
  };
  const TimePoint end = session->in(std::chrono::seconds(arguments->wait_seconds));
  const Result<RingStatus> still = co_await wait_until_still(session, end, std::move(look));
  if (!still) co_return fail(still.error().code, still.error().context + "; `ringfs wait` waits for it");
  co_return node;
}

Result<Uuid> run_change(const MemberArguments& arguments, const std::vector<std::string>& addresses, bool add) {
  RingSession session(addresses, arguments.ring.tls);
  Result<Uuid> node = session.run(change(&session, &arguments, add));
  session.finish();
  return node;
}

int print_change(const MemberArguments& arguments, const Uuid& node, const std::string& state) {
  if (arguments.ring.json()) {
    print_json(Json{{"id", node.text()}, {"member", arguments.member}, {"state", state}});
  } else {
    std::cout << "node " << node.text() << " (" << arguments.member << ") is " << state << "\n";
  }
  return exit_ok;
}

std::string next_address(const std::string& first, unsigned first_number, unsigned number) {
  const std::size_t colon = first.rfind(':');
  const unsigned long port = std::stoul(first.substr(colon + 1)) + number - first_number;
  const std::string address = first.substr(0, colon + 1) + std::to_string(port);
  return port > 65535 || port_in_use(address) ? first.substr(0, colon + 1) + "0" : address;
}

// Starts one more node in the state directory of the ring, and makes it a member.
int add_local(MemberArguments arguments) {
  StateDirectory state(arguments.ring.state.empty() ? default_state_directory()
                                                    : std::filesystem::absolute(arguments.ring.state));
  Status status = state.lock();
  if (!status) return report(status.error());
  Result<LocalRing> ring = state.load();
  if (!ring) return report_asking(arguments.ring, ring.error());
  if (!ring->created)
    return report(Error{ErrorCode::unavailable, "the ring is not complete yet"}, "ringfs up MOUNTPOINT");
  const std::vector<std::string> members = ring->addresses();
  LocalNode node;
  node.number = next_number(state, *ring);
  node.rpc = next_address(ring->nodes.front().rpc, ring->nodes.front().number, node.number);
  node.rest = next_address(ring->nodes.front().rest, ring->nodes.front().number, node.number);
  if (ring->nodes.size() >= max_local_nodes)
    return report(
        Error{ErrorCode::out_of_range, "a local ring has at most " + std::to_string(max_local_nodes) + " nodes"});
  LocalRing alone = *ring;
  alone.nodes = {node};
  const Result<StartReport> started = start_nodes(state, alone, std::chrono::steady_clock::now() + start_timeout);
  if (!started) return report(started.error());
  if (!started->problems.empty()) {
    const NodeProblem& problem = started->problems.front();
    return report(Error{problem.error.code, "node " + std::to_string(problem.number) + ": " + problem.error.context},
                  problem.next);
  }
  node = alone.nodes.front();
  arguments.member = node.rpc;
  // From here on ring.json has it: after a crash `up` starts it again, and `add` with its address makes it a member.
  ring->nodes.push_back(node);
  status = state.save(*ring);
  const Result<Uuid> added = status ? run_change(arguments, members, true) : tl::unexpected<Error>(status.error());
  if (added) return print_change(arguments, *added, arguments.wait ? "up" : "joining");
  if (added.error().code == ErrorCode::timeout) return report(added.error(), "ringfs add " + node.rpc);
  // It is certainly no member.
  ring->nodes.pop_back();
  static_cast<void>(state.save(*ring));  // if this fails, too, the next `up` starts a node that waits
  if (const std::optional<ProcessMark> mark = running_from(state.node_pid(node.number)))
    stop_processes({*mark}, stop_grace);
  return report_asking(arguments.ring, added.error());
}

int add(const MemberArguments& arguments) {
  if (arguments.local) return add_local(arguments);
  if (arguments.member.empty()) {
    std::cerr << "ringfs: name the node to add, HOST:PORT, or start one with --local\n";
    return exit_usage;
  }
  const Result<std::vector<std::string>> addresses = ring_addresses(arguments.ring);
  if (!addresses) return report_asking(arguments.ring, addresses.error());
  const Result<Uuid> node = run_change(arguments, *addresses, true);
  if (!node) return report_asking(arguments.ring, node.error());
  return print_change(arguments, *node, arguments.wait ? "up" : "joining");
}

int remove(const MemberArguments& arguments) {
  const Result<std::vector<std::string>> addresses = ring_addresses(arguments.ring);
  if (!addresses) return report_asking(arguments.ring, addresses.error());
  const Result<Uuid> node = run_change(arguments, *addresses, false);
  if (!node) return report_asking(arguments.ring, node.error());
  return print_change(arguments, *node, arguments.wait ? "removed" : "leaving");
}

void add_common(CLI::App& command, MemberArguments& arguments) {
  arguments.ring.timeout_seconds = 30;
  arguments.ring.add_to(command);
  command.add_flag("--wait", arguments.wait, "Return when the data has moved");
  command.add_option("--wait-timeout", arguments.wait_seconds, "Seconds after which --wait gives up")
      ->check(CLI::Range(1, 7 * 86400));
}

}  // namespace

void add_member_commands(CLI::App& app, Commands& commands) {
  CLI::App* adding = app.add_subcommand("add", "Make a waiting node a member of the ring; data moves to it");
  auto added = std::make_shared<MemberArguments>();
  CLI::Option* address = adding->add_option("ADDRESS", added->member, "HOST:PORT where the node listens");
  adding->add_flag("--local", added->local, "Start one more node process of a local ring, and add it")
      ->excludes(address);
  add_common(*adding, *added);
  adding->callback([added, &commands] { commands.action = [added] { return add(*added); }; });

  CLI::App* removing = app.add_subcommand("remove", "Move a node's data to the others; then its process ends");
  auto removed = std::make_shared<MemberArguments>();
  removing->add_option("MEMBER", removed->member, "HOST:PORT or the node's id")->required();
  removing->add_flag("--force", removed->force, "Although fewer nodes remain than there are copies");
  add_common(*removing, *removed);
  removing->callback([removed, &commands] { commands.action = [removed] { return remove(*removed); }; });
}

}  // namespace ringfs::mount
