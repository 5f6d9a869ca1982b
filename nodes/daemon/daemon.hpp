// One node as a process: store, driver, RPC server, REST gateway, and the background tasks that a node does as a client
// of its own ring.
//
// BackgroundTasks: the janitor over the partitions that this node leads (docs/design.md#the-janitor), and announcing
// its address when the members table has another one (docs/design.md#members-table). Both go through an object client
// like any mount's, to whoever leads. Threads: run_daemon() runs the loop on the calling thread; the store has its own
// threads. Errors: DaemonFailure with the exit code and words for an operator. Limits: drain_limit to end open requests
// after a signal.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"

namespace ringfs::nodes {

// Exit codes of ringfs-node, documented in its --help.
enum class ExitCode : int {
  stopped = 0,         // a signal, or the node was removed from its ring
  storage_failed = 1,  // the disk failed while running
  usage = 2,
  address_unusable = 3,  // in use, not permitted, not to be resolved
  directory_in_use = 4,
  disk_full = 5,          // at start: later the node waits for space
  database_unusable = 6,  // not ours, or damaged, at start or while running
  database_newer = 7,
  identity_refused = 8,  // another process has run with this node's identity since
};

struct DaemonOptions {
  std::filesystem::path data;
  std::string listen = "127.0.0.1:0";  // host:port of the RPC server; port 0: a free one
  std::string rest = "127.0.0.1:0";    // of the REST gateway; empty: none
  std::vector<std::string> join;  // host:port of nodes of a ring that this node is to join; empty: it waits to be added
  int ready_descriptor = -1;      // gets the ready line too, then is closed; -1: none
  Duration drain_limit = std::chrono::seconds(2);       // half of it for REST requests: until then all are served
  Duration janitor_interval = std::chrono::seconds(7);  // one pass over each led partition
  bool rebuild = false;                                 // the store copies its database, verified, before it uses it
  bool synchronous_off = false;                         // tests only: power failures lose what was acknowledged
  bool scrub_without_pause = false;  // tests only: passes follow each other, each as fast as the first
};

struct DaemonFailure {
  ExitCode code{};
  std::string message;  // what is wrong
  std::string advice;   // what to do about it
  // Damage was met in what all partitions share: a node that runs with these options, on the same addresses, mends it.
  std::optional<DaemonOptions> rebuild = std::nullopt;
};

// Opens the store, listens, and prints `ready node=<uuid> rpc=<host:port> rest=<host:port>` on standard output; then
// serves until SIGTERM, SIGINT or a failure of the disk. All is closed when it returns.
tl::expected<void, DaemonFailure> run_daemon(DaemonOptions options);

}  // namespace ringfs::nodes
