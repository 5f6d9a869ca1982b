// A node as a process: store, driver, RPC server, REST gateway, and the background tasks that it does as a client of
// its own ring (background_tasks.hpp).
//
// Background tasks: the janitor of the partitions that this node leads (docs/design.md#the-janitor); announcing the
// node's address when the members table has another one (docs/design.md#members-table). Both use an object client, as a
// mount does, and so reach whoever leads.
//
// Threads: run_daemon() runs the loop on the calling thread; the store has its own threads. Errors: DaemonFailure, with
// the exit code and words for an operator. Limits: drain_limit for open requests after a signal.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"
#include "dht/net/trust/operator_files.hpp"

namespace ringfs::nodes {

// The exit codes of ringfs-node; its --help lists them.
enum class ExitCode : int {
  stopped = 0,         // a signal, or the node was removed from its ring
  storage_failed = 1,  // the disk failed while running
  usage = 2,
  address_unusable = 3,  // in use, not permitted, or not resolvable
  directory_in_use = 4,
  disk_full = 5,          // at the start; later the node waits for space
  database_unusable = 6,  // not a database of RingFS, or damaged; at the start or while running
  database_newer = 7,
  identity_refused = 8,  // another process has run with this node's identity since
  not_admitted = 9,      // its certificate cannot be used, or the ring does not let it in: for good
  ring_silent = 10,      // no node of the ring that it is to join has answered, or the ring has no quorum: try again
};

struct DaemonOptions {
  std::filesystem::path data;
  std::string listen = "127.0.0.1:0";  // host:port of the RPC server; port 0: a free one
  std::string rest = "127.0.0.1:0";    // of the REST gateway; empty: no gateway
  std::string advertise;               // host or host:port that others reach it at; empty: where it listens
  std::vector<std::string> join;       // host:port of nodes of the ring to join; empty: it waits to be added
  std::string token;                  // lets it join from another machine; empty: it has its certificate, or needs none
  dht::OperatorFiles operator_files;  // of a ring whose certificates an operator's own authority issues
  bool create = false;                // founds a ring of this node alone, unless it belongs to one
  unsigned partition_bits = 8;        // of a ring that it founds
  unsigned replication = 3;
  int ready_descriptor = -1;  // also gets the ready line, then is closed; -1: none
  // REST requests have half of it, and during that all requests are served
  Duration drain_limit = std::chrono::seconds(2);
  Duration janitor_interval = std::chrono::seconds(7);  // for one pass over each partition that it leads
  bool open_loopback = false;        // whoever is on this machine is served, not only root and the user of this process
  bool rebuild = false;              // the store first copies its database, verified
  bool synchronous_off = false;      // for tests: a power failure loses acknowledged data
  bool scrub_without_pause = false;  // for tests: no pause between passes, and all are as fast as the first
};

struct DaemonFailure {
  ExitCode code{};
  std::string message;  // what is wrong
  std::string advice;   // what to do about it
  // Set if damage was found in what all partitions share: running again with these options, on the same addresses,
  // repairs it.
  std::optional<DaemonOptions> rebuild = std::nullopt;
};

struct PreparedNode {
  Uuid ring, node;
};
// Makes a node's directory, or opens it, and says for whom an operator's own authority has to issue its certificate.
// `ring`: of a ring that there is already. A node that is in a ring says that one.
tl::expected<PreparedNode, DaemonFailure> prepare_node(const std::filesystem::path& data,
                                                       const std::optional<Uuid>& ring);

// Opens the store, listens, and prints `ready node=<uuid> rpc=<host:port> rest=<host:port>` on standard output. Then it
// serves until SIGTERM, SIGINT or a failure of the disk. Everything is closed when it returns.
tl::expected<void, DaemonFailure> run_daemon(DaemonOptions options);

}  // namespace ringfs::nodes
