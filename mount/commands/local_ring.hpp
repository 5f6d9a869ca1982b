// A ring of node processes on this machine, kept in one state directory: what `ringfs up` and `ringfs down` work on.
//
//   ring.json              what the ring is (below); written atomically
//   lock                   held while up or down works
//   nodes/<i>/data/        the data of node i = 1, 2, ... (also of removed nodes); node.pid and node.log beside it
//   mount.pid mount.log    of the mount process
//
// Threads: one (blocking; start-up code of the command line). Every wait is bounded.
// Errors: corrupt (ring.json), io_error, timeout with the tail of the log, exists (a port in use); the text is for a
// person.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/descriptor.hpp"
#include "dht/base/error.hpp"
#include "dht/base/uuid.hpp"
#include "mount/commands/process.hpp"

namespace ringfs::mount {

inline constexpr unsigned max_local_nodes = 100;  // node processes on one machine
inline constexpr auto stop_grace = std::chrono::seconds(10);

struct LocalNode {
  unsigned number = 0;
  std::string rpc;  // host:port; port 0: taken at the first start
  std::string rest;
  std::optional<Uuid> id;
  // The node that had this number before, whose data is gone: a member until this one has taken its place
  // (local_replace.hpp).
  std::optional<Uuid> replaces;
};

struct LocalRing {
  Uuid ring;
  bool created = false;     // every node has confirmed the genesis record
  std::string mount_point;  // of the last `up`
  unsigned partition_bits = 8;
  unsigned replication = 3;
  std::vector<LocalNode> nodes;

  std::vector<std::string> addresses() const;
};

std::string encode_local_ring(const LocalRing& ring);
Result<LocalRing> decode_local_ring(const std::string& text);  // corrupt

// $XDG_STATE_HOME/ringfs/default, or ~/.local/state/ringfs/default.
std::filesystem::path default_state_directory();
std::filesystem::path state_path(const std::string& option);  // of --state; empty: the default one

// What ringfs-node prints when it listens: "ready node=<uuid> rpc=host:port rest=host:port".
struct ReadyLine {
  Uuid id;
  std::string rpc, rest;
};
std::optional<ReadyLine> parse_ready_line(std::string_view line);

class StateDirectory {
 public:
  explicit StateDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;

  // Makes the directory if it is missing. Keeps every other up and down out until this object is destroyed.
  Status lock();

  const std::filesystem::path& path() const { return path_; }
  // What a command needs to find it: nothing for the default directory, else " --state DIR".
  std::string option() const;
  std::filesystem::path ring_file() const { return path_ / "ring.json"; }
  std::filesystem::path mount_pid() const { return path_ / "mount.pid"; }
  std::filesystem::path mount_log() const { return path_ / "mount.log"; }
  std::filesystem::path node(unsigned number) const { return path_ / "nodes" / std::to_string(number); }
  std::filesystem::path node_pid(unsigned number) const { return node(number) / "node.pid"; }
  std::filesystem::path node_log(unsigned number) const { return node(number) / "node.log"; }
  std::filesystem::path node_data(unsigned number) const { return node(number) / "data"; }

  Result<LocalRing> load() const;  // not_found when there is none
  Status save(const LocalRing& ring) const;

 private:
  std::filesystem::path path_;
  std::optional<Descriptor> lock_;
};

bool port_in_use(const std::string& address);

// The number of a node that is to be added. Numbers of removed nodes, whose directories may still be there, are not
// used again.
unsigned next_number(const StateDirectory& state, const LocalRing& ring);

struct NodeProblem {
  unsigned number = 0;
  Error error;
  std::string next;  // the command that repairs it
};
struct StartReport {
  std::vector<unsigned> started;
  std::vector<NodeProblem> problems;  // nodes that do not run, and why
};

// Starts the nodes that do not run, all at once, and fills in their ids and addresses. Nodes that were removed from the
// ring leave `ring`. A node that cannot be started does not stop the others. Errors: not_found (the program is missing,
// or every node was removed).
Result<StartReport> start_nodes(const StateDirectory& state, LocalRing& ring,
                                std::chrono::steady_clock::time_point deadline);

// "ringfs up --replace 1 --state DIR MOUNTPOINT"
std::string replace_command(const StateDirectory& state, const LocalRing& ring, unsigned number);

}  // namespace ringfs::mount
