// A few nodes, their disks and the network between them in one thread and virtual time, for tests that read as scripts.
//
// Messages arrive at once, in order, unless `deliver` says no. Disks work at once unless a machine's `hold_disk` is
// set; then writes and applies queue up, with the messages that must wait for them.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dht/core/members/change.hpp"
#include "dht/core/members/placement.hpp"
#include "dht/core/node/node.hpp"
#include "tests/support/mutations.hpp"
#include "tests/unit/core/raft/memory_store.hpp"

namespace ringfs::dht::test {

inline Uuid node_id(unsigned number) {
  Uuid id;
  id.bytes[15] = static_cast<std::uint8_t>(number + 1);
  return id;
}

inline unsigned number_of(const Uuid& id) { return id.bytes[15] - 1U; }

inline Genesis small_genesis(unsigned nodes, unsigned partition_bits = 2) {
  Genesis genesis;
  genesis.ring.bytes[0] = 0xaa;
  genesis.partition_bits = partition_bits;
  genesis.first_table.version = 1;
  genesis.first_table.settings["replication"] = std::to_string(std::min(nodes, 5U));
  std::vector<Uuid> ids;
  for (unsigned i = 0; i < nodes; ++i) ids.push_back(node_id(i));
  std::map<Uuid, std::vector<Position>> tokens = allocate_first_tokens(ids, partition_bits, 3, 1);
  for (unsigned i = 0; i < nodes; ++i) {
    Member member;
    member.id = node_id(i);
    member.address = "node" + std::to_string(i) + ":1";
    member.tokens = tokens[member.id];
    genesis.first_table.members.push_back(member);
  }
  return genesis;
}

struct Machine {
  struct Task {
    std::optional<Write> write;
    std::optional<Apply> apply;
    std::vector<Envelope> after;
  };
  MemoryStore store;
  std::unique_ptr<SeededRandom> random;
  std::unique_ptr<Node> node;  // null: crashed
  std::deque<Task> disk;
  bool hold_disk = false;
  bool hold_reads = false;
  bool frozen = false;  // gets no time; whoever uses it keeps messages away, too
  Duration wall_error{0};
  std::deque<ReadEffect> held_reads;
  TimePoint deadline = never;
  NodeOptions options;
  std::map<OperationId, OperationResult> replies;
  std::map<std::string, unsigned> events;
};

inline bool succeeded(const std::optional<OperationResult>& result) { return result && result->has_value(); }

class Cluster {
 public:
  explicit Cluster(unsigned nodes, unsigned partition_bits = 2, bool create = true, NodeOptions options = {})
      : genesis(small_genesis(nodes, partition_bits)), machines(nodes) {
    for (unsigned i = 0; i < nodes; ++i) {
      machines[i].store.id = node_id(i);
      machines[i].random = std::make_unique<SeededRandom>(i + 1);
      machines[i].options = options;
      start(i);
    }
    if (!create) return;
    for (unsigned i = 0; i < nodes; ++i) submit(i, CreateOperation{genesis});
  }

  Genesis genesis;
  std::vector<Machine> machines;
  std::function<bool(const Envelope&)> deliver = [](const Envelope&) { return true; };
  std::deque<Envelope> network;
  std::vector<Envelope> delivered;  // when record is set
  bool record = false;
  Clock clock{TimePoint(std::chrono::seconds(100)), Stamp{1'700'000'000'000'000}};

  Node& node(unsigned i) { return *machines[i].node; }
  Clock clock_of(unsigned i) const { return {clock.now, clock.stamp + machines[i].wall_error}; }

  void start(unsigned i) {
    Machine& machine = machines[i];
    machine.node = std::make_unique<Node>(machine.options, machine.store.start(1000 + i), *machine.random, clock_of(i));
    pump(i);
  }
  // A process that waits for a ring.
  unsigned add_machine() {
    auto i = static_cast<unsigned>(machines.size());
    machines.emplace_back();
    machines[i].store.id = node_id(i);
    machines[i].random = std::make_unique<SeededRandom>(i + 1);
    machines[i].options = machines[0].options;
    start(i);
    return i;
  }
  void mark_damaged(unsigned i, PartitionId partition, Damage damage = Damage::log) {
    node(i).mark_damaged(partition, damage, clock_of(i));
    pump(i);
  }
  // What is not on the disk is gone.
  void crash(unsigned i) {
    Machine& machine = machines[i];
    machine.node.reset();
    machine.disk.clear();
    machine.held_reads.clear();
    machine.hold_disk = false;
    machine.frozen = false;
    machine.deadline = never;
  }
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

  std::optional<OperationResult> reply(unsigned i, OperationId id) const {
    auto found = machines[i].replies.find(id);
    return found == machines[i].replies.end() ? std::nullopt : std::optional<OperationResult>(found->second);
  }

  // Effects of a node, then everything that its disk may do.
  void pump(unsigned i) {
    Machine& machine = machines[i];
    for (;;) {
      take(i);
      if (!machine.hold_disk && !machine.disk.empty()) {
        disk_step(i);
      } else if (!machine.hold_reads && !machine.held_reads.empty()) {
        ReadEffect read = std::move(machine.held_reads.front());
        machine.held_reads.pop_front();
        machine.node->read_done(read.id, machine.store.read(read), clock_of(i));
      } else {
        return;
      }
    }
  }

  void disk_step(unsigned i) {
    Machine& machine = machines[i];
    Machine::Task task = std::move(machine.disk.front());
    machine.disk.pop_front();
    if (task.write) {
      machine.store.write(*task.write);
      for (Envelope& envelope : task.after) network.push_back(std::move(envelope));
      machine.node->written(task.write->id, clock_of(i));
    } else if (machine.store.unreadable_rows.contains(task.apply->partition)) {
      machine.node->apply_failed(task.apply->partition, task.apply->through, Damage::rows, clock_of(i));
    } else {
      machine.node->applied(task.apply->partition, task.apply->through, machine.store.apply(*task.apply), clock_of(i));
    }
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
    for (unsigned steps = 0; !network.empty(); ++steps) {
      ASSERT_LT(steps, 200000U) << "messages without end";
      Envelope envelope = std::move(network.front());
      network.pop_front();
      unsigned to = number_of(envelope.header.destination);
      if (to >= machines.size() || !machines[to].node || !deliver(envelope)) continue;
      if (record) delivered.push_back(envelope);
      machines[to].node->receive(envelope, clock_of(to));
      pump(to);
    }
  }

  // Virtual time passes; every node ticks when it asked to.
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
  // A leader with a lease, of whom all running nodes know.
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
  PartitionId partition_of_key(const std::string& key) const {
    return partition_of(key_position(key), genesis.partition_bits);
  }

  CommitOperation put(const std::string& key, const std::string& value) {
    return commit(key, {ringfs::put(key, "v", value)});
  }
  CommitOperation erase(const std::string& key) {
    Mutation mutation;
    mutation.kind = Mutation::Kind::erase;
    mutation.row = {key, "v"};
    return commit(key, {mutation});
  }
  CommitOperation commit(const std::string& key, std::vector<Mutation> mutations) {
    Batch batch;
    batch.client.bytes[0] = 7;
    batch.sequence = ++last_sequence_;
    batch.first_incomplete = batch.sequence;  // nothing is tried again in these tests
    batch.expires = clock.stamp + std::chrono::seconds(30);
    batch.mutations = std::move(mutations);
    return {partition_of_key(key), encode(batch)};
  }
  PartitionId table_partition() const { return partition_of_key(std::string(members_key)); }
  // The newest table that a running node knows.
  const MembersTable& table() {
    const MembersTable* newest = &genesis.first_table;
    for (Machine& machine : machines) {
      if (machine.node && machine.node->table().version > newest->version) newest = &machine.node->table();
    }
    return *newest;
  }
  // Commits a change of the members table, trying again as a client would.
  void commit_members(const std::function<MembersChange(const MembersTable&)>& change) {
    for (int attempt = 0; attempt < 40; ++attempt) {
      ASSERT_TRUE(run_until([&] { return ready(table_partition()); })) << "nobody leads the table's partition";
      unsigned at = *leader(table_partition());
      MembersChange wanted = change(node(at).table());
      Batch batch;
      batch.client.bytes[0] = 8;
      batch.sequence = batch.first_incomplete = ++last_sequence_;
      batch.expires = clock.stamp + std::chrono::seconds(30);
      batch.conditions = std::move(wanted.conditions);
      batch.mutations = std::move(wanted.mutations);
      OperationId id = submit(at, CommitOperation{table_partition(), encode(batch)});
      run_until([&] { return reply(at, id).has_value(); }, std::chrono::seconds(3));
      std::optional<OperationResult> answer = reply(at, id);
      if (answer && *answer && std::get<BatchResult>(**answer).outcome == BatchResult::Outcome::applied) return;
      run(std::chrono::milliseconds(200));
    }
    FAIL() << "the members table could not be changed";
  }
  void set_state(unsigned i, MemberState state) {
    commit_members([&](const MembersTable& table) {
      Member member = *table.find(node_id(i));
      member.state = state;
      return change_members(table, {member});
    });
  }
  // What `add` does: the row, then the node itself.
  void join(unsigned i, unsigned tokens = 1) {
    commit_members([&](const MembersTable& table) {
      Member member;
      member.id = node_id(i);
      member.address = "node" + std::to_string(i) + ":1";
      member.state = MemberState::joining;
      member.tokens = allocate_tokens(table, member.id, genesis.partition_bits, tokens);
      return change_members(table, {member});
    });
    run_until([&] { return table().find(node_id(i)) != nullptr; });
    submit(i, JoinOperation{genesis, table()});
  }
  // The leader's view; empty: nobody leads.
  Configuration configuration(PartitionId partition) {
    std::optional<unsigned> led = leader(partition);
    return led ? machines[*led].store.groups.at(partition).configuration : Configuration{};
  }
  // Every group is led under a lease, by the preferred primary if `preferred`, and has the members that the placement
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
  ReadOperation get(const std::string& key) const {
    ReadOperation operation;
    operation.partition = partition_of_key(key);
    operation.request.gets.push_back({key, "v"});
    return operation;
  }
  std::string stored(unsigned i, const std::string& key) {
    std::optional<Row> row = machines[i].store.groups.at(partition_of_key(key)).rows.get({key, "v"});
    return row ? row->value.str() : "";
  }

  void isolate(unsigned alone) {
    deliver = [alone](const Envelope& envelope) {
      return number_of(envelope.header.source) != alone && number_of(envelope.header.destination) != alone;
    };
  }
  void heal() {
    deliver = [](const Envelope&) { return true; };
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
  // The messages of type M to `to` that are under way, taken out.
  template <class M>
  std::vector<M> taken(unsigned to) {
    std::vector<M> found;
    for (auto it = network.begin(); it != network.end();) {
      if (std::holds_alternative<M>(it->message) && number_of(it->header.destination) == to) {
        found.push_back(std::get<M>(it->message));
        it = network.erase(it);
      } else {
        ++it;
      }
    }
    return found;
  }

 private:
  void take(unsigned i) {
    Machine& machine = machines[i];
    Effects effects = machine.node->take_effects();
    for (Envelope& one : effects.messages) network.push_back(std::move(one));
    if (effects.write.id != 0) {
      ASSERT_FALSE(effects.write.empty());
      machine.disk.push_back({std::move(effects.write), std::nullopt, std::move(effects.messages_after_write)});
    } else if (!effects.messages_after_write.empty()) {
      Machine::Task* behind = nullptr;
      for (Machine::Task& task : machine.disk) {
        if (task.write) behind = &task;
      }
      for (Envelope& one : effects.messages_after_write) {
        if (behind != nullptr)
          behind->after.push_back(std::move(one));
        else
          network.push_back(std::move(one));
      }
    }
    for (const Apply& apply : effects.applies) machine.disk.push_back({std::nullopt, apply, {}});
    for (ReadEffect& read : effects.reads) machine.held_reads.push_back(std::move(read));
    for (const LoadEntries& load : effects.loads) machine.node->loaded(load.id, machine.store.load(load), clock_of(i));
    for (const SnapshotRead& read : effects.snapshot_reads) {
      Result<SnapshotData> data = machine.store.snapshot_read(read);
      if (!read.close) machine.node->snapshot_read(read.id, std::move(data), clock_of(i));
    }
    for (Reply& one : effects.replies) machine.replies.insert_or_assign(one.operation, std::move(one.result));
    for (const Event& event : effects.events) ++machine.events[event.name];
    machine.deadline = effects.deadline;
    if (!effects.loads.empty() || !effects.snapshot_reads.empty()) take(i);
  }

  OperationId last_operation_ = 0;
  std::uint64_t last_sequence_ = 0;
};

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

inline std::optional<ErrorCode> error_of(const std::optional<OperationResult>& result) {
  if (!result || result->has_value()) return std::nullopt;
  return result->error().error.code;
}
inline std::string value_of(const std::optional<OperationResult>& result) {
  if (!succeeded(result)) return "<no answer>";
  const auto& answer = std::get<ReadAnswer>(**result);
  Result<ReadReply> reply = decode_read_reply(answer.head, answer.blobs);
  return reply && reply->gets.at(0).found ? reply->gets[0].row.value.str() : "<absent>";
}

}  // namespace ringfs::dht::test
