// The program ringfs-node: one node of a ring. It reads the command line and prepares the process;
// nodes/daemon/daemon.hpp does the rest.
#include <malloc.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "dht/net/client/ring_creation.hpp"
#include "dht/net/runtime/rotating_log.hpp"
#include "dht/net/trust/token.hpp"
#include "nodes/daemon/daemon.hpp"
#include "nodes/daemon/node_credentials.hpp"

namespace {

constexpr char footer[] =
    "On standard output: one line `ready node=<uuid> rpc=<host:port> rest=<host:port>` when it listens. Logs go to "
    "standard\n"
    "error, or to the file of --log-file. SIGTERM and SIGINT end it in an orderly way; kill -9 loses nothing that was\n"
    "acknowledged.\n"
    "Exit codes: 0 stopped or removed from the ring, 1 storage failed, 2 usage, 3 address in use or not allowed,\n"
    "4 directory in use by another process, 5 disk full at start, 6 not a RingFS database or damaged, 7 database of a "
    "newer\n"
    "version, 8 another process has run with this node's identity since: the directory is a copy, or an older state,\n"
    "9 its certificate cannot be used, or the ring does not let it in,\n"
    "10 no node of --join answered in a minute, or the ring has no quorum.";

// For one database in the life of a process: a disk that damages it again and again needs its operator.
constexpr int max_rebuilds = 3;

// For tests/chaos/power.sh, which must notice when nothing is synced. Not an option, because nobody else needs it.
bool synchronous_off() {
  const char* value = std::getenv("RINGFS_TEST_SYNCHRONOUS");
  if (value == nullptr || std::string_view(value) != "off") return false;
  spdlog::warn("event=synchronous_off reason=\"RINGFS_TEST_SYNCHRONOUS: a power failure loses acknowledged data\"");
  return true;
}

// For tests/chaos/damage.sh, which damages the files of running nodes. Not an option, because the pace has its reasons
// (nodes/store/repair/scrub_options.hpp).
bool scrub_without_pause() {
  const char* value = std::getenv("RINGFS_TEST_SCRUB");
  if (value == nullptr || std::string_view(value) != "without-pause") return false;
  spdlog::warn("event=scrub_without_pause reason=\"RINGFS_TEST_SCRUB\"");
  return true;
}

// What is wrong with the options, with the file that some of them may come from.
std::string what_is_wrong(const CLI::App* app, const CLI::Error& error) {
  constexpr std::string_view unknown = "INI was not able to parse ";
  std::string text = error.what();
  if (text.starts_with(unknown)) text = "unknown key '" + text.substr(unknown.size()) + "'";
  const std::vector<std::string> files = app->get_config_ptr()->results();
  const bool named = !files.empty() && text.find(files.front()) == std::string::npos;
  return "ringfs-node: " + (named ? files.front() + ": " : std::string()) + text + "\n  try: ringfs-node --help\n";
}

void prepare_process() {
  // If a peer closes a connection, the write fails; it must not end the process.
  std::signal(SIGPIPE, SIG_IGN);
  // The database has everybody's files, whatever modes they have in a mount.
  umask(0077);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    // If this fails, the node serves fewer connections, and says so when they run out.
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) spdlog::warn("event=file_limit_not_raised");
  }
  // Buffers of 1 MiB are allocated all the time: keep them in the heap instead of mapping new pages for each.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

struct Arguments {
  ringfs::nodes::DaemonOptions options;
  std::string data;
  std::string level = "info";
  std::string log_file;
  std::string token_file;
  unsigned partitions = 256;
  bool init = false;
  std::string ring;  // of --init
};

void add_operator_options(CLI::App& app, Arguments& arguments) {
  ringfs::dht::OperatorFiles& files = arguments.options.operator_files;
  app.add_option("--tls-ca", files.authorities,
                 "A file with the authority that issued this node's certificate, if it is not the ring's own");
  app.add_option("--tls-certificate", files.certificate, "A file with this node's certificate from that authority");
  app.add_option("--tls-key", files.key, "A file with its private key, which nobody else may read");
  auto* init =
      app.add_flag("--init", arguments.init,
                   "Make the directory, print the ring and the node that such a certificate has to name, and end")
          ->configurable(false);
  app.add_option("--ring", arguments.ring, "The uuid of the ring that the node is for, if there is one already")
      ->needs(init)
      ->configurable(false);
}

void add_ring_options(CLI::App& app, Arguments& arguments) {
  ringfs::nodes::DaemonOptions& options = arguments.options;
  auto* join =
      app.add_option("--join", options.join, "host:port[,host:port] of nodes of a ring that this node adds itself to")
          ->delimiter(',');
  app.add_option("--token-file", arguments.token_file,
                 "A file with the token that lets this node in, for --join from another machine; - is standard input. "
                 "Without it: RINGFS_TOKEN")
      ->needs(join);
  auto* create = app.add_flag("--create", options.create,
                              "Found a ring of this node alone, unless it belongs to one; others join with a token")
                     ->excludes(join);
  app.add_option("--partitions", arguments.partitions,
                 "Partitions of the ring that is founded, a power of two, fixed for ever")
      ->check(CLI::Range(1U, 65536U))
      ->capture_default_str()
      ->needs(create);
  app.add_option("--replication", options.replication, "Copies of everything in the ring that is founded")
      ->check(CLI::Range(1U, ringfs::dht::max_replication))
      ->capture_default_str()
      ->needs(create);
}

void add_options(CLI::App& app, Arguments& arguments) {
  ringfs::nodes::DaemonOptions& options = arguments.options;
  app.add_option("--data", arguments.data, "The node's directory; made when it is missing")->required();
  app.add_option("--listen", options.listen, "host:port for nodes and clients; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--advertise", options.advertise,
                 "host or host:port that others reach this node at (default: the address of --listen)");
  app.add_option("--rest", options.rest, "host:port of the REST gateway; port 0 takes a free one")
      ->capture_default_str();
  app.add_flag("--open-loopback", options.open_loopback,
               "Serve every user of this machine; otherwise root and the user of this process only");
  add_ring_options(app, arguments);
  add_operator_options(app, arguments);
  app.add_option("--ready-fd", options.ready_descriptor, "Also write the ready line to this descriptor, then close it")
      ->configurable(false)
      ->check(CLI::Range(3, 1 << 20));
  app.add_option("--log-level", arguments.level, "debug, info, warn, error or off")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
  app.add_option("--log-file", arguments.log_file,
                 "Log to this file instead; at 16 MiB it becomes FILE.1, and that one goes");
  app.set_config("--config", "", "Also take options from this file, as lines `listen = 127.0.0.1:4000`")
      ->type_name("TEXT")
      ->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.failure_message(what_is_wrong);
  app.set_version_flag("--version", std::string("ringfs-node ") + RINGFS_VERSION);
  app.footer(footer);
}

// What the options together say. Errors: invalid_argument and those of the token's file.
ringfs::Status complete(Arguments& arguments) {
  ringfs::nodes::DaemonOptions& options = arguments.options;
  options.data = arguments.data;
  if (!std::has_single_bit(arguments.partitions)) {
    return ringfs::fail(ringfs::ErrorCode::invalid_argument,
                        "--partitions takes a power of two, not " + std::to_string(arguments.partitions));
  }
  options.partition_bits = static_cast<unsigned>(std::countr_zero(arguments.partitions));
  if (ringfs::Status files = options.operator_files.check("--tls-"); !files) return files;
  // Who is in needs no token any more; its file may be gone.
  if (options.join.empty() || ringfs::nodes::NodeCredentials::are_in(options.data)) return {};
  ringfs::Result<std::string> token = ringfs::dht::read_token(arguments.token_file);
  if (!token) return tl::unexpected(token.error());
  options.token = std::move(*token);
  return {};
}

ringfs::Status start_logging(const Arguments& arguments) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("ringfs-node"));
  if (!arguments.log_file.empty()) {
    if (ringfs::Status opened = ringfs::dht::log_to_file("ringfs-node", arguments.log_file); !opened) return opened;
  }
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
  spdlog::set_level(spdlog::level::from_str(arguments.level));
  spdlog::flush_on(spdlog::level::warn);
  return {};
}

int report(const ringfs::nodes::DaemonFailure& failure) {
  std::cerr << "ringfs-node: " << failure.message << "\n  " << failure.advice << "\n";
  return static_cast<int>(failure.code);
}

int init(const Arguments& arguments) {
  std::optional<ringfs::Uuid> ring;
  if (!arguments.ring.empty()) {
    const ringfs::Result<ringfs::Uuid> parsed = ringfs::parse_uuid(arguments.ring);
    if (!parsed) {
      std::cerr << "ringfs-node: --ring takes a uuid, not '" << arguments.ring << "'\n";
      return static_cast<int>(ringfs::nodes::ExitCode::usage);
    }
    ring = *parsed;
  }
  const auto prepared = ringfs::nodes::prepare_node(arguments.options.data, ring);
  if (!prepared) return report(prepared.error());
  std::cout << "ring " << prepared->ring.text() << "\nnode " << prepared->node.text() << "\nuri "
            << ringfs::dht::node_identity(prepared->ring, prepared->node).uri() << "\n";
  return static_cast<int>(ringfs::nodes::ExitCode::stopped);
}

int run(const ringfs::nodes::DaemonOptions& options) {
  auto outcome = ringfs::nodes::run_daemon(options);
  for (int rebuilds = 0; !outcome && outcome.error().rebuild && rebuilds < max_rebuilds; ++rebuilds) {
    spdlog::error("event=restarting_to_rebuild reason=\"{}\"", outcome.error().message);
    outcome = ringfs::nodes::run_daemon(*outcome.error().rebuild);
  }
  if (outcome) return static_cast<int>(ringfs::nodes::ExitCode::stopped);
  return report(outcome.error());
}

}  // namespace

int main(int count, char** words) {
  CLI::App app{"One node of a RingFS ring", "ringfs-node"};
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);  // prints help, the version, or what is wrong
    return code == 0 ? 0 : static_cast<int>(ringfs::nodes::ExitCode::usage);
  }
  ringfs::Status good = complete(arguments);
  if (good) good = start_logging(arguments);
  if (!good) {
    std::cerr << "ringfs-node: " << good.error().context << "\n";
    return static_cast<int>(ringfs::nodes::ExitCode::usage);
  }
  prepare_process();
  arguments.options.synchronous_off = synchronous_off();
  arguments.options.scrub_without_pause = scrub_without_pause();
  try {
    return arguments.init ? init(arguments) : run(arguments.options);
  } catch (const std::exception& error) {
    std::cerr << "ringfs-node: " << error.what() << "\n";
    return static_cast<int>(ringfs::nodes::ExitCode::storage_failed);
  }
}
