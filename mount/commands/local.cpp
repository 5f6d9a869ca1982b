// ringfs up, ringfs down: a ring of local processes and its mount.
#include <unistd.h>

#include <iostream>

#include "dht/net/client/ring_creation.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/local_replace.hpp"
#include "mount/commands/local_ring.hpp"
#include "mount/commands/mount_process.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

constexpr auto up_timeout = std::chrono::seconds(30);
constexpr unsigned default_nodes = 5;
constexpr unsigned default_rpc_port = 4000;
constexpr unsigned default_rest_port = 3000;

struct UpArguments {
  std::optional<unsigned> nodes, rpc_port, rest_port, replace;
  std::string state, mount_point, options;
};

std::string down_command(const StateDirectory& state) { return "ringfs down" + state.option(); }

std::string local_address(unsigned first_port, unsigned number) {
  return "127.0.0.1:" + std::to_string(first_port == 0 ? 0 : first_port + number - 1);
}

LocalRing new_ring(const UpArguments& arguments) {
  LocalRing ring;
  SystemRandom random;
  ring.ring = random_uuid(random);
  for (unsigned number = 1; number <= arguments.nodes.value_or(default_nodes); ++number) {
    LocalNode node;
    node.number = number;
    node.rpc = local_address(arguments.rpc_port.value_or(default_rpc_port), number);
    node.rest = local_address(arguments.rest_port.value_or(default_rest_port), number);
    ring.nodes.push_back(std::move(node));
  }
  return ring;
}

// The arguments must agree with the existing ring: `up` does not change it.
Status agrees(const UpArguments& arguments, const LocalRing& ring, const StateDirectory& state) {
  const auto differs = [&](const std::string& what) {
    return fail(ErrorCode::exists, "the ring in " + state.path().string() + " " + what +
                                       "; leave the option away, or name another directory with --state");
  };
  if (arguments.nodes && *arguments.nodes != ring.nodes.size())
    return differs("has " + std::to_string(ring.nodes.size()) + " nodes");
  const auto port_differs = [](const std::optional<unsigned>& port, const std::string& address) {
    return port && *port != 0 && address != local_address(*port, 1);
  };
  if (ring.created && port_differs(arguments.rpc_port, ring.nodes.front().rpc))
    return differs("has node 1 at " + ring.nodes.front().rpc);
  if (ring.created && port_differs(arguments.rest_port, ring.nodes.front().rest)) {
    return differs("has the REST server of node 1 at " + ring.nodes.front().rest);
  }
  return {};
}

Status create(const StateDirectory& state, LocalRing& ring, std::chrono::steady_clock::time_point deadline) {
  std::vector<dht::FirstNode> nodes;
  for (const LocalNode& node : ring.nodes) nodes.push_back(dht::FirstNode{node.rpc, node.rest});
  dht::CreationOptions options;
  options.partition_bits = ring.partition_bits;
  options.replication = ring.replication;
  options.ring = ring.ring;
  RingSession session(ring.addresses());
  const Result<dht::CreationReport> report =
      session.run(dht::create_ring(session.transport(), std::move(nodes), options, session.at(deadline)));
  session.finish();
  if (!report) return tl::unexpected<Error>(report.error());
  ring.created = true;
  return state.save(ring);
}

// True: our mount is there already, and stays. A mount process that was unmounted is ended.
Result<bool> mounted_already(const StateDirectory& state, const LocalRing& ring, const std::string& mount_point) {
  if (const std::optional<ProcessMark> last = read_pid_file(state.mount_pid());
      last && life_of(*last) == ProcessLife::ending && !wait_until_gone({*last}, stop_grace).empty()) {
    return fail(ErrorCode::timeout,
                "the mount's process " + std::to_string(last->pid) + " was killed but has not ended");
  }
  const std::optional<ProcessMark> process = running_from(state.mount_pid());
  if (!process) return false;
  const Result<bool> mounted = is_mounted(ring.mount_point);
  if (!mounted) return tl::unexpected(mounted.error());
  if (*mounted) {
    if (ring.mount_point == mount_point) return true;
    return fail(ErrorCode::exists, "the ring in " + state.path().string() + " is mounted on " + ring.mount_point +
                                       "; unmount it first: " + down_command(state));
  }
  stop_mount_process(*process);  // it was unmounted and is about to end
  return false;
}

void print_ring(const StateDirectory& state, const LocalRing& ring, const std::vector<unsigned>& started,
                bool mounted_before) {
  const std::size_t copies = std::min<std::size_t>(ring.replication, ring.nodes.size());
  std::cout << "RingFS is up on " << ring.mount_point << (started.empty() && mounted_before ? " (it was already)" : "")
            << "\n";
  std::cout << "ring   " << ring.ring.text() << ", " << ring.nodes.size() << " nodes, " << copies
            << (copies == 1 ? " copy" : " copies") << " of everything\n";
  std::cout << "state  " << state.path().string() << "\n";
  std::vector<std::vector<std::string>> rows = {{"node", "rpc", "rest", "pid", "id"}};
  for (const LocalNode& node : ring.nodes) {
    const std::optional<ProcessMark> mark = running_from(state.node_pid(node.number));
    rows.push_back({std::to_string(node.number), node.rpc, "http://" + node.rest,
                    mark ? std::to_string(mark->pid) : "-", node.id ? node.id->text() : "-"});
  }
  print_table(rows);
  std::cout << "Stop it with: " << down_command(state) << "\n";
}

void print_problems(const StartReport& report) {
  for (const NodeProblem& problem : report.problems) {
    const std::string& text = problem.error.context;
    std::cerr << "ringfs: node " << problem.number << ": " << (text.empty() ? problem.error.text() : text) << "\n";
    if (!problem.next.empty()) std::cerr << "  try: " << problem.next << "\n";
  }
}

int up(const UpArguments& arguments) {
  MountOptions mount_options;
  const Status good_options = apply_mount_options(arguments.options, mount_options);
  if (!good_options) {
    std::cerr << "ringfs: " << good_options.error().context << "\n";
    return exit_usage;
  }
  const Status permitted = check_privileged_options(mount_options, ::geteuid() == 0);
  if (!permitted) return report(permitted.error());
  const std::string mount_point = absolute_mount_point(arguments.mount_point);
  StateDirectory state(state_path(arguments.state));
  std::error_code ignored;
  if (!std::filesystem::exists(state.ring_file(), ignored)) {
    // Checks the mount point before anything is made.
    const Status good = check_mount_point(mount_point);
    if (!good) return report(good.error());
  }
  Status status = state.lock();
  if (!status) return report(status.error());
  Result<LocalRing> loaded = state.load();
  if (!loaded && loaded.error().code != ErrorCode::not_found) return report(loaded.error());
  LocalRing ring = loaded ? std::move(*loaded) : new_ring(arguments);
  status = agrees(arguments, ring, state);
  if (!status) return report(status.error());
  const Result<bool> mounted = mounted_already(state, ring, mount_point);
  if (!mounted) return report(mounted.error());
  if (!*mounted) {
    status = check_mount_point(mount_point);
    if (!status) return report(status.error());
  }

  const auto deadline = std::chrono::steady_clock::now() + up_timeout;
  // The ring's uuid is on disk before any node gets it, so the next `up` finishes a creation that was cut short.
  if (!loaded) status = state.save(ring);
  if (!status) return report(status.error());
  ring.mount_point = mount_point;
  if (arguments.replace) status = prepare_replacement(state, ring, *arguments.replace);
  if (!status) return report(status.error());
  Result<StartReport> started = start_nodes(state, ring, deadline);
  if (!started) return report(started.error(), "ringfs doctor --state " + state.path().string());
  // A ring is created by all its nodes, or not at all.
  const bool none_runs = started->problems.size() >= ring.nodes.size();
  if (!started->problems.empty() && (!ring.created || none_runs)) {
    print_problems(*started);
    return exit_failed;
  }
  status = state.save(ring);
  if (status && !ring.created) status = create(state, ring, deadline);
  if (!status) return report(status.error(), "ringfs doctor --state " + state.path().string());
  finish_replacements(state, ring, *started, deadline);
  print_problems(*started);

  if (!*mounted) {
    MountStart start;
    start.addresses = ring.addresses();
    start.mount_point = mount_point;
    // One address tells local rings apart, and fits the column of df.
    start.options = "fsname=" + ring.nodes.front().rpc + (arguments.options.empty() ? "" : "," + arguments.options);
    start.pid_file = state.mount_pid();
    start.log = state.mount_log();
    const Result<ProcessMark> process = start_mount_process(start);
    if (!process) return report(process.error(), "ringfs doctor --state " + state.path().string());
  }
  print_ring(state, ring, started->started, *mounted);
  return started->problems.empty() ? exit_ok : exit_degraded;
}

int down(const std::string& state_text) {
  StateDirectory state(state_path(state_text));
  std::error_code error;
  if (!std::filesystem::exists(state.path(), error))
    return report(Error{ErrorCode::not_found, "there is no ring in " + state.path().string()});
  const Status locked = state.lock();
  if (!locked) return report(locked.error());
  const Result<LocalRing> ring = state.load();
  std::size_t stopped = 0;
  bool killed = false;
  const auto stop = [&](const std::vector<ProcessMark>& marks, const std::string& what) {
    stopped += marks.size();
    for (const pid_t pid : stop_processes(marks, stop_grace)) {
      killed = true;
      std::cerr << "ringfs: " << what << " process " << pid << " did not end within " << stop_grace.count()
                << " s and was killed\n";
    }
  };
  // The mount ends first: it writes its dirty bytes to the nodes.
  if (const std::optional<ProcessMark> mount = running_from(state.mount_pid())) {
    ++stopped;
    if (stop_mount_process(*mount)) {
      killed = true;
      std::cerr << "ringfs: the mount process " << mount->pid << " did not end within " << mount_end_timeout.count()
                << " s and was killed; what it had not written is lost\n";
    }
  }
  const Result<bool> mounted = ring && !ring->mount_point.empty() ? is_mounted(ring->mount_point) : false;
  if (!mounted) std::cerr << "ringfs: " << mounted.error().context << "\n";
  if (mounted && *mounted) {
    // Unmounts only what a dead process left: a living mount on that path is not ours.
    const Status clear = check_mount_point(ring->mount_point);
    if (!clear && clear.error().code != ErrorCode::exists) std::cerr << "ringfs: " << clear.error().context << "\n";
  }
  // Nodes are found by the directory, not by ring.json: it may be damaged.
  std::vector<ProcessMark> nodes;
  for (const std::filesystem::directory_entry& entry :
       std::filesystem::directory_iterator(state.path() / "nodes", error)) {
    if (const std::optional<ProcessMark> mark = running_from(entry.path() / "node.pid")) nodes.push_back(*mark);
  }
  stop(nodes, "the node");
  std::filesystem::remove(state.mount_pid(), error);
  for (const std::filesystem::directory_entry& entry :
       std::filesystem::directory_iterator(state.path() / "nodes", error)) {
    std::error_code ignored;
    if (!running_from(entry.path() / "node.pid")) std::filesystem::remove(entry.path() / "node.pid", ignored);
  }
  if (!ring) return report(ring.error());
  if (stopped == 0)
    std::cout << "nothing was running; ";
  else
    std::cout << "stopped " << stopped << (stopped == 1 ? " process; " : " processes; ");
  std::cout << "the data stays in " << state.path().string() << "\n";
  return killed ? exit_failed : exit_ok;
}

}  // namespace

void add_local_commands(CLI::App& app, Commands& commands) {
  CLI::App* command =
      app.add_subcommand("up", "Create or restart a local ring and mount it; returns when it is usable");
  auto arguments = std::make_shared<UpArguments>();
  command->add_option("MOUNTPOINT", arguments->mount_point, "An empty directory")->required();
  command->add_option("--nodes", arguments->nodes, "Node processes of a new ring (default 5)")
      ->check(CLI::Range(1U, max_local_nodes));
  command->add_option("--state", arguments->state, "Where the ring lives (default ~/.local/state/ringfs/default)");
  command
      ->add_option("--rpc-port", arguments->rpc_port,
                   "Port of node 1, the others follow (default 4000); 0: any free ones")
      ->check(CLI::Range(0, 65000));
  command
      ->add_option("--rest-port", arguments->rest_port,
                   "REST port of node 1, the others follow (default 3000); 0: any free ones")
      ->check(CLI::Range(0, 65000));
  command
      ->add_option("--replace", arguments->replace,
                   "Number of a node whose data is gone or damaged: a new node takes its place, and gets its data from "
                   "the others")
      ->check(CLI::Range(1U, 1000000U));
  command->add_option("-o", arguments->options, "Mount options, as for `ringfs mount`");
  command->callback([arguments, &commands] { commands.action = [arguments] { return up(*arguments); }; });

  CLI::App* stop = app.add_subcommand("down", "Unmount and stop a local ring; its data stays");
  auto state = std::make_shared<std::string>();
  stop->add_option("--state", *state, "Where the ring lives (default ~/.local/state/ringfs/default)");
  stop->callback([state, &commands] { commands.action = [state] { return down(*state); }; });
}

}  // namespace ringfs::mount
