// A few nodes, their disks and the network between them in one thread and virtual time, for tests that read as scripts.
//
// A test submits operations to nodes, lets messages arrive (settle) and time pass (run), and looks at what became of
// the groups. The parts: Machine (a node and its disk), Network, TestClient (what clients ask for), TestMembers (what
// an operator does to the members table).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "dht/core/members/change.hpp"
#include "dht/core/node/node.hpp"
#include "tests/unit/core/raft/machine.hpp"
#include "tests/unit/core/raft/network.hpp"
#include "tests/unit/core/raft/small_ring.hpp"
#include "tests/unit/core/raft/test_client.hpp"

namespace ringfs::dht::test {

class Cluster;

// Changes of the members table, tried again as an operator's client would.
class TestMembers {
 public:
  explicit TestMembers(Cluster& cluster) : cluster_(cluster) {}

  void change(const std::function<MembersChange(const MembersTable&)>& change);
  void set(const std::string& setting, const std::string& value) {
    change([&](const MembersTable& table) { return change_setting(table, setting, value); });
  }
  void set_state(unsigned i, MemberState state);
  // What `add` does: the row, then the node itself.
  void join(unsigned i, unsigned tokens = 1);

 private:
  Cluster& cluster_;
};

class Cluster {
 public:
  explicit Cluster(unsigned nodes, unsigned partition_bits = 2, bool create = true, NodeOptions options = {})
      : Cluster(small_genesis(nodes, partition_bits), create, std::move(options)) {}
  explicit Cluster(Genesis ring, bool create = true, const NodeOptions& options = {}) : genesis(std::move(ring)) {
    for (unsigned i = 0; i < genesis.first_table.members.size(); ++i) {
      machines.emplace_back(i, options);
      start(i);
    }
    if (!create) return;
    for (unsigned i = 0; i < machines.size(); ++i) submit(i, CreateOperation{genesis});
  }
  Cluster(const Cluster&) = delete;  // its parts refer to it
  Cluster& operator=(const Cluster&) = delete;

  Genesis genesis;
  std::vector<Machine> machines;
  Network network;
  Clock clock{TimePoint(std::chrono::seconds(100)), Stamp{1'700'000'000'000'000}};
  TestClient client{clock, genesis.partition_bits};
  TestMembers members{*this};
  std::function<void(unsigned)> watch;  // sees every node that may have changed

  Node& node(unsigned i) { return *machines[i].node; }
  Clock clock_of(unsigned i) const { return machines[i].clock(clock); }

  void start(unsigned i) {
    machines[i].start(1000 + i, clock);
    pump(i);
  }
  // A process that waits for a ring.
  unsigned add_machine() {
    auto i = static_cast<unsigned>(machines.size());
    machines.emplace_back(i, machines[0].options);
    start(i);
    return i;
  }
  void mark_damaged(unsigned i, PartitionId partition, Damage damage = Damage::log) {
    node(i).mark_damaged(partition, damage, clock_of(i));
    pump(i);
  }
  void crash(unsigned i) { machines[i].crash(); }
  // The others see their connections to it close, as they do at once when a process ends.
  void disconnect(unsigned gone) {
    for (unsigned i = 0; i < machines.size(); ++i) {
      if (i == gone || !machines[i].node) continue;
      node(i).peer_disconnected(node_id(gone), clock);
      pump(i);
    }
  }

  OperationId submit(unsigned i, Operation operation) {
    OperationId id = ++last_operation_;
    node(i).submit(id, std::move(operation), clock_of(i));
    pump(i);
    return id;
  }

  OperationId put(unsigned i, const std::string& key, const std::string& value) {
    return submit(i, client.put(key, value));
  }
  OperationId get(unsigned i, const std::string& key) { return submit(i, client.get(key)); }

  std::optional<OperationResult> reply(unsigned i, OperationId id) const {
    auto found = machines[i].replies.find(id);
    return found == machines[i].replies.end() ? std::nullopt : std::optional<OperationResult>(found->second);
  }

  void pump(unsigned i) {
    machines[i].pump(network, clock);
    if (watch) watch(i);
  }
  void release_disk(unsigned i) {
    machines[i].hold_disk = false;
    pump(i);
  }

  // Whether it succeeds without time passing.
  bool executes(unsigned i, Operation operation) {
    const OperationId id = submit(i, std::move(operation));
    settle();
    return succeeded(reply(i, id));
  }

  // All messages that are under way, and those they cause.
  void settle() {
    for (unsigned steps = 0; std::optional<Envelope> envelope = network.next(); ++steps) {
      ASSERT_LT(steps, 200000U) << "messages without end";
      receive(*envelope);
    }
  }
  // One message, unless it gets lost or nobody is there.
  void receive(const Envelope& envelope) {
    const unsigned to = number_of(envelope.header.destination);
    if (!network.arrives(envelope) || to >= machines.size() || !machines[to].node) return;
    if (network.record) network.delivered.push_back(envelope);
    node(to).receive(envelope, clock_of(to));
    pump(to);
  }

  // Virtual time passes. Every node ticks when it asked to.
  void run(Duration duration) {
    run_until([] { return false; }, duration);
  }
  bool run_until(const std::function<bool()>& done, Duration limit = std::chrono::seconds(20)) {
    TimePoint end = clock.now + limit;
    settle();
    while (!done()) {
      TimePoint next = end;
      for (const Machine& machine : machines) {
        if (machine.node && !machine.frozen) next = std::min(next, machine.deadline);
      }
      advance_to(std::max(next, clock.now + Duration(1)));
      if (clock.now > end) return done();
      for (unsigned i = 0; i < machines.size(); ++i) {
        if (!machines[i].node || machines[i].frozen || machines[i].deadline > clock.now) continue;
        machines[i].node->tick(clock_of(i));
        pump(i);
      }
      settle();
    }
    return true;
  }

  void advance_to(TimePoint time) {
    clock.stamp = clock.stamp + (time - clock.now);
    clock.now = time;
  }

  GroupStatus group(unsigned i, PartitionId partition) {
    for (const GroupStatus& group : node(i).status(clock_of(i)).groups) {
      if (group.partition == partition) return group;
    }
    return {};
  }
  std::optional<unsigned> leader(PartitionId partition) {
    std::optional<unsigned> found;
    Term term = 0;
    for (unsigned i = 0; i < machines.size(); ++i) {
      if (!machines[i].node) continue;
      GroupStatus status = group(i, partition);
      if (status.role != Role::leader || status.term <= term) continue;
      found = i;
      term = status.term;
    }
    return found;
  }
  // Somebody leads under a lease.
  bool ready(PartitionId partition) {
    std::optional<unsigned> led = leader(partition);
    return led && group(*led, partition).lease;
  }
  void wait_ready(PartitionId partition) {
    ASSERT_TRUE(run_until([&] { return ready(partition); })) << "no leader";
  }

  unsigned preferred(PartitionId partition) const {
    return number_of(Placement(genesis.first_table, genesis.partition_bits).preference_list(partition).front());
  }
  PartitionId partition_of_key(const std::string& key) const { return client.partition_of_key(key); }
  PartitionId table_partition() const { return partition_of_key(std::string(members_key)); }
  // The newest table that a running node knows.
  const MembersTable& table() {
    const MembersTable* newest = &genesis.first_table;
    for (Machine& machine : machines) {
      if (machine.node && machine.node->table().version > newest->version) newest = &machine.node->table();
    }
    return *newest;
  }
  // The leader's view; empty: nobody leads.
  Configuration configuration(PartitionId partition) {
    std::optional<unsigned> led = leader(partition);
    return led ? machines[*led].store.groups.at(partition).configuration : Configuration{};
  }
  // Every group is led under a lease, if `at_primary` by the preferred primary, and has the members that the placement
  // wants.
  bool settled(bool at_primary = false) {
    Placement placement(table(), genesis.partition_bits);
    for (std::uint32_t index = 0; index < placement.partitions(); ++index) {
      PartitionId partition{index};
      std::optional<unsigned> led = leader(partition);
      if (!led || !ready(partition) || node(*led).table().version != table().version) return false;
      if (!group(*led, partition).settled) return false;
      if (at_primary && node_id(*led) != placement.preference_list(partition).front()) return false;
    }
    return true;
  }
  bool holds(unsigned i, PartitionId partition) const {
    auto found = machines[i].store.groups.find(partition);
    return found != machines[i].store.groups.end() && found->second.holds_data;
  }
  std::string stored(unsigned i, const std::string& key) {
    std::optional<Row> row = machines[i].store.groups.at(partition_of_key(key)).rows.get({key, "v"});
    return row ? row->value.str() : "";
  }

  // A message as if `from` had sent it.
  Envelope envelope(unsigned from, unsigned to, Message message) {
    return {{genesis.ring, node_id(from), {machines[from].store.starts, 1000 + from}, node_id(to), 1},
            std::move(message)};
  }
  void inject(unsigned from, unsigned to, Message message) {
    node(to).receive(envelope(from, to, std::move(message)), clock_of(to));
    pump(to);
  }

 private:
  OperationId last_operation_ = 0;
};

inline void TestMembers::change(const std::function<MembersChange(const MembersTable&)>& change) {
  for (int attempt = 0; attempt < 40; ++attempt) {
    ASSERT_TRUE(cluster_.run_until([&] { return cluster_.ready(cluster_.table_partition()); }))
        << "nobody leads the table's partition";
    const unsigned at = *cluster_.leader(cluster_.table_partition());
    MembersChange wanted = change(cluster_.node(at).table());
    const OperationId id = cluster_.submit(
        at, cluster_.client.commit(std::string(members_key), wanted.conditions, std::move(wanted.mutations)));
    cluster_.run_until([&] { return cluster_.reply(at, id).has_value(); }, std::chrono::seconds(3));
    std::optional<OperationResult> answer = cluster_.reply(at, id);
    if (answer && *answer && std::get<BatchResult>(**answer).outcome == BatchResult::Outcome::applied) return;
    cluster_.run(std::chrono::milliseconds(200));
  }
  FAIL() << "the members table could not be changed";
}

inline void TestMembers::set_state(unsigned i, MemberState state) {
  change([&](const MembersTable& table) {
    Member member = *table.find(node_id(i));
    member.state = state;
    return change_members(table, {member});
  });
}

inline void TestMembers::join(unsigned i, unsigned tokens) {
  change([&](const MembersTable& table) {
    Member member;
    member.id = node_id(i);
    member.address = address_of(i);
    member.state = MemberState::joining;
    member.tokens = allocate_tokens(table, member.id, cluster_.genesis.partition_bits, tokens);
    return change_members(table, {member});
  });
  cluster_.run_until([&] { return cluster_.table().find(node_id(i)) != nullptr; });
  cluster_.submit(i, JoinOperation{cluster_.genesis, cluster_.table()});
}

// Three nodes, and a leader with a lease of the partition of `key`: where most tests of a group begin.
class ReadyGroup : public ::testing::Test {
 protected:
  explicit ReadyGroup(const std::string& key) : partition(cluster.partition_of_key(key)) {
    cluster.wait_ready(partition);
    leader = cluster.leader(partition).value_or(0);
  }

  Cluster cluster{3};
  const PartitionId partition;
  unsigned leader = 0;
};

}  // namespace ringfs::dht::test
