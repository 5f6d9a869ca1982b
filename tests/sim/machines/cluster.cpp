// The nodes of a simulated ring, its creation, and forged messages.
#include "tests/sim/machines/cluster.hpp"

#include <algorithm>

#include "dht/core/members/placement.hpp"
#include "tests/sim/machines/sim_transport.hpp"

namespace ringfs::sim {

namespace {
constexpr Duration create_interval = std::chrono::milliseconds(300);
constexpr std::size_t least_copies = 3;  // with so many, the others can replace a damaged one
}  // namespace

Cluster::Cluster(World& world, const ClusterOptions& options)
    : world_(world),
      options_(options),
      network_(world, options.network),
      invariants_(world, [this](const std::function<void(const Uuid&, const DiskState&)>& visit) {
        for (const auto& node : nodes_) visit(node->id(), node->durable_disk());
      }) {
  std::vector<Uuid> ids;
  for (unsigned i = 0; i < options.nodes; ++i) ids.push_back(random_uuid(world.random()));
  std::map<Uuid, std::vector<Position>> tokens =
      dht::allocate_first_tokens(ids, options.partition_bits, options.replication, options.tokens);
  genesis_.ring = random_uuid(world.random());
  genesis_.partition_bits = options.partition_bits;
  genesis_.first_table.version = 1;
  genesis_.first_table.settings["replication"] = std::to_string(options.replication);
  if (options.replace_after_seconds > 0) {
    genesis_.first_table.settings["replace_after"] = std::to_string(options.replace_after_seconds);
  }
  for (unsigned i = 0; i < options.nodes; ++i) {
    add_node(i, ids[i]);
    dht::Member member;
    member.id = ids[i];
    member.address = nodes_[i]->address();
    member.state = MemberState::up;
    member.tokens = tokens[ids[i]];
    genesis_.first_table.members.push_back(std::move(member));
  }
  for (unsigned i = 0; i < options.spares; ++i) add_node(options.nodes + i, random_uuid(world.random()));
  std::sort(genesis_.first_table.members.begin(), genesis_.first_table.members.end(),
            [](const dht::Member& left, const dht::Member& right) { return left.id < right.id; });
}

void Cluster::add_node(unsigned index, Uuid id) {
  dht::NodeOptions options;
  options.address = "n" + std::to_string(index) + ":1";
  options.rest_address = "n" + std::to_string(index) + ":2";
  options.faults = options_.faults;
  options.log_keep_entries = options_.log_keep_entries;
  options.log_budget_bytes = options_.log_budget_bytes;
  options.quiet_after = options_.quiet_after;
  options.append_bytes = options_.append_bytes;
  nodes_.push_back(
      std::make_unique<SimNode>(*this, index, id, std::move(options), options_.disk, options_.disk_faults));
}

const dht::MembersTable& Cluster::table() const {
  const dht::MembersTable* newest = &genesis_.first_table;
  for (const auto& node : nodes_) {
    const std::optional<dht::MembersTable>& table = node->durable_disk().table;
    if (table && table->version > newest->version) newest = &*table;
  }
  return *newest;
}

SimNode* Cluster::find(const Uuid& id) {
  for (const auto& node : nodes_) {
    if (node->id() == id) return node.get();
  }
  return nullptr;
}

SimNode* Cluster::find_address(const std::string& address) {
  for (const auto& node : nodes_) {
    if (node->address() == address) return node.get();
  }
  return nullptr;
}

bool Cluster::any_damaged() const {
  return std::any_of(nodes_.begin(), nodes_.end(), [](const auto& node) {
    if (node->frozen()) return true;
    const auto& groups = node->live_disk().groups;
    return std::any_of(groups.begin(), groups.end(), [&](const auto& group) { return node->is_damaged(group.first); });
  });
}

bool Cluster::has_spare_copies(const dht::MembersTable& table) const {
  return dht::Placement(table, options_.partition_bits).preference_list(PartitionId{0}).size() >= least_copies;
}

bool Cluster::copies_stay() const {
  const dht::MembersTable& newest = table();
  return has_spare_copies(newest) && (!taken_from_ || newest.version > *taken_from_);
}

bool Cluster::knows_newest_table(const SimNode& node) const {
  const std::optional<dht::MembersTable>& stored = node.durable_disk().table;
  const std::uint64_t known = node.running() ? node.status().table_version : stored ? stored->version : 0;
  return known >= table().version;
}

bool Cluster::can_spare(PartitionId partition, const Uuid& node) {
  if (!copies_stay()) return false;
  const auto& groups = find(node)->live_disk().groups;
  auto group = groups.find(partition);
  if (group == groups.end() || !group->second.holds_data || find(node)->is_damaged(partition)) return false;
  const dht::Configuration newest = group->second.newest_configuration();
  if (newest.voters.size() < 3 || !newest.old_voters.empty()) return false;
  return std::all_of(newest.voters.begin(), newest.voters.end(), [&](const dht::ReplicaId& voter) {
    SimNode& other = *find(voter.node);
    if (!knows_newest_table(other)) return false;  // as the leader it could still take copies away
    if (voter.node == node) return voter.added == group->second.replica.added;
    auto theirs = other.live_disk().groups.find(partition);
    return other.running() && other.room() == dht::Room::ample && !other.is_damaged(partition) &&
           theirs != other.live_disk().groups.end() && theirs->second.replica.added == voter.added &&
           theirs->second.newest_configuration() == newest;
  });
}

void Cluster::suspend(Duration length) {
  suspended_ += length;
  invariants_.on_suspended(length);
  for (const auto& node : nodes_) node->clock().suspend(length);
}

unsigned Cluster::running() const {
  unsigned count = 0;
  for (const auto& node : nodes_) count += node->running() ? 1 : 0;
  return count;
}

void Cluster::create() {
  for (unsigned i = 0; i < options_.nodes; ++i) create_on(i);
}

void Cluster::create_on(unsigned index) {
  SimNode& node = *nodes_[index];
  if (node.durable_disk().genesis) return;
  if (node.running()) node.submit(dht::CreateOperation{genesis_}, [](const dht::OperationResult&, Stamp) {});
  world_.after(create_interval, [this, index] { create_on(index); });
}

bool Cluster::created() const {
  return std::all_of(nodes_.begin(), nodes_.begin() + options_.nodes,
                     [](const auto& node) { return node->durable_disk().genesis.has_value(); });
}

void Cluster::send(unsigned from, std::shared_ptr<const dht::Envelope> envelope) {
  SimNode* to = find(envelope->header.destination);
  if (to == nullptr) {
    world_.violate("messages go to members", "a message to an unknown node " + envelope->header.destination.text());
    return;
  }
  world_.count("messages");
  network_.carry(from, to->index(), [to, envelope = std::move(envelope)] { to->receive(envelope); });
}

void Cluster::recall(unsigned from, const dht::Recall& recall) {
  auto client = clients_.find(recall.client);
  const std::shared_ptr<SimTransport> transport = client == clients_.end() ? nullptr : client->second.lock();
  if (!transport) return;  // its process has ended
  network_.carry(from, transport->endpoint(), [from, recall, to = client->second] {
    if (auto alive = to.lock()) alive->recalled(from, recall);
  });
}

void Cluster::connections_closed(unsigned index) {
  const Uuid& gone = nodes_[index]->id();
  for (unsigned i = 0; i < nodes_.size(); ++i) {
    if (i == index || !world_.chance(0.8)) continue;
    network_.carry_reliably(index, i, [this, i, gone] { nodes_[i]->peer_disconnected(gone); });
  }
}

void Cluster::send_forged_message() {
  SimNode& source = *nodes_[world_.between(0, nodes_.size() - 1)];
  SimNode& target = *nodes_[world_.between(0, nodes_.size() - 1)];
  if (&source == &target || !target.running()) return;
  auto partition = static_cast<PartitionId>(world_.between(0, (1u << options_.partition_bits) - 1));
  dht::Header header{genesis_.ring, source.id(), {source.live_disk().incarnation}, target.id(), 1};
  switch (world_.between(0, 3)) {
    case 0: header.ring = random_uuid(world_.random()); break;
    case 1: header.destination = random_uuid(world_.random()); break;
    case 2:
      // An older process of the same node, provided that the target has heard the present one.
      if (header.incarnation.counter < 2 || !target.live_disk().peer_incarnations.contains(source.id()) ||
          target.live_disk().peer_incarnations.at(source.id()).counter < 2) {
        return;
      }
      header.incarnation = {1, world_.random().next()};
      break;
    default:  // a cloned database: the same counter, another nonce
      if (!target.live_disk().peer_incarnations.contains(source.id()) ||
          target.live_disk().peer_incarnations.at(source.id()) != header.incarnation) {
        return;
      }
      header.incarnation.nonce ^= 1;
      break;
  }
  world_.count("fault: forged message");
  dht::RaftHeader raft{partition, foreign_term, 0, 0};
  auto forged = std::make_shared<dht::Envelope>();
  forged->header = header;
  if (world_.chance(0.5)) {
    forged->message = dht::RequestVote{raft, false, true, 1'000'000, foreign_term};
  } else {
    dht::Entry entry;
    entry.index = 1;
    entry.term = foreign_term;
    dht::Append append{raft, 0, 0, 1, {}};
    append.entries.push_back(std::move(entry));
    forged->message = std::move(append);
  }
  world_.after(Duration(200), [&target, forged] { target.receive(forged); });
}

}  // namespace ringfs::sim
