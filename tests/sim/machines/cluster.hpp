// All node processes of one simulated ring, their network and what is watched about them.
//
// Threads: one, virtual.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "dht/net/client/partitioned_store.hpp"
#include "tests/sim/checks/invariants.hpp"
#include "tests/sim/machines/sim_network.hpp"
#include "tests/sim/machines/sim_node.hpp"

namespace ringfs::sim {

class SimTransport;

struct ClusterOptions {
  unsigned nodes = 3;   // first nodes of the ring
  unsigned spares = 0;  // processes that wait to be added
  unsigned partition_bits = 2;
  unsigned replication = 3;
  unsigned tokens = 1;
  unsigned replace_after_seconds = 0;  // ring-wide setting; 0: its default
  dht::LogIndex log_keep_entries = 16;
  std::size_t log_budget_bytes = 0;  // NodeOptions
  std::size_t append_bytes = 0;
  Duration quiet_after = std::chrono::seconds(5);
  bool former_lives_echo = false;  // what a removed replica acknowledged arrives again when its node is a member again
  NetworkQuality network;
  DiskSpeed disk;
  dht::NodeOptions::Faults faults;
  DiskFaults disk_faults;
  dht::TransactionFaults transaction_faults;
  bool unclaimed_garbage = false;  // JanitorFaults
};

class Cluster {
 public:
  Cluster(World& world, const ClusterOptions& options);
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  World& world() { return world_; }
  SimNetwork& network() { return network_; }
  Invariants& invariants() { return invariants_; }
  const dht::Genesis& genesis() const { return genesis_; }
  const ClusterOptions& options() const { return options_; }

  std::size_t size() const { return nodes_.size(); }  // with those that wait, or are not members any more
  // The newest members table on a disk.
  const dht::MembersTable& table() const;
  SimNode& node(std::size_t index) { return *nodes_[index]; }
  SimNode* find(const Uuid& id);
  SimNode* find_address(const std::string& address);
  // Whether the others of the group run, are sound, have room for what they may lack, and are a majority without this
  // node's replica; and three copies stay.
  bool can_spare(PartitionId partition, const Uuid& node);
  bool any_damaged() const;  // also when a process is frozen, which may have to hear of it yet
  // By this table each partition has three copies or more: others can replace a damaged one.
  bool has_spare_copies(const dht::MembersTable& table) const;
  // The operator begins to take copies away, by a change of this version of the table, until fewer than three are left.
  // No replica is damaged from now on until the newest table has three copies and is another one: it could be the one
  // that stays, and nobody would notice in time.
  void begin_to_take_copies(std::uint64_t table_version) { taken_from_ = table_version; }
  unsigned running() const;
  // All machines, the clients' included, were suspended for so long: their boot clocks went on, what was under way in
  // the network did not.
  void suspend(Duration length);
  Duration suspended() const { return suspended_; }

  // Gives every first node the genesis record, again and again until each took it (creation is idempotent).
  void create();
  bool created() const;

  void send(unsigned from, std::shared_ptr<const dht::Envelope> envelope);
  // Recalls for the client go there.
  void take_recalls(const Uuid& client, std::weak_ptr<SimTransport> transport) {
    clients_[client] = std::move(transport);
  }
  void recall(unsigned from, const dht::Recall& recall);
  // A process died: its peers notice, mostly.
  void connections_closed(unsigned index);
  // A message of another ring, of a wrong destination or of an old incarnation: must be ignored.
  void send_forged_message();

 private:
  void add_node(unsigned index, Uuid id);
  void create_on(unsigned index);
  bool copies_stay() const;
  bool knows_newest_table(const SimNode& node) const;

  World& world_;
  const ClusterOptions options_;
  SimNetwork network_;
  dht::Genesis genesis_;
  Invariants invariants_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::map<Uuid, std::weak_ptr<SimTransport>> clients_;
  Duration suspended_{0};
  std::optional<std::uint64_t> taken_from_;  // the version of begin_to_take_copies
};

}  // namespace ringfs::sim
