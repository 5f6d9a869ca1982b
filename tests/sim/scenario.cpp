// The phases of a seed: creation, faults while clients work, and the rest within bounds.
#include "tests/sim/scenario.hpp"

#include <algorithm>
#include <bit>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <set>

#include "dht/core/members/placement.hpp"
#include "dht/net/client/lock_resolver.hpp"
#include "tests/sim/checks/availability.hpp"
#include "tests/sim/faults/draw.hpp"
#include "tests/sim/machines/sim_client.hpp"
#include "tests/sim/workload/workload_files.hpp"

namespace ringfs::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Bounds of the liveness phase, in virtual time: generous multiples of the sum of the protocol's timeouts.
constexpr Duration creation_bound = seconds(30);
constexpr Duration set_up_bound = seconds(60);
constexpr Duration workers_bound = seconds(40);
constexpr Duration reading_bound = seconds(120);
constexpr Duration rest_bound = seconds(60);
constexpr Duration moving_bound = seconds(180);
// One round of all accounts sees the record, another one ends it. Where a tenth of the messages is later than an
// operation may take (draw.cpp), some meet nothing.
constexpr int settling_rounds = 6;
constexpr Duration lookup_bound = seconds(60);  // a few rounds of merging after a split
constexpr Duration safety_shortest = seconds(8);
constexpr Duration safety_shortest_with_files = seconds(100);  // longer than an orphan without a hold is kept
constexpr Duration worst_ring_time = seconds(3);
constexpr Duration safety_longest = seconds(150);
constexpr Duration safety_shortest_long_faults = seconds(120);  // time for about two of them
constexpr Duration safety_longest_growing = seconds(400);       // a ring of two stands still while one is down
constexpr Duration full_disk_timeout = seconds(10);
constexpr unsigned full_disk_attempts = 40;  // each may find a group without a leader
constexpr Duration full_disks_bound = seconds(900);
constexpr unsigned lookups = 12;
constexpr Duration longest_pause = seconds(10);  // of a coordinator: longer than the age at which it counts as dead
constexpr std::size_t trace_lines_reported = 60;

// What a seed must have done to count (docs/design.md#proof-by-simulation).
constexpr std::uint64_t least_acknowledged = 500;
constexpr std::uint64_t least_elections = 3;
constexpr std::uint64_t least_crashes = 2;
constexpr std::uint64_t least_crashes_of_a_small_ring = 2 * least_crashes;

const World* world_in_use = nullptr;

class Scenario {
 public:
  Scenario(World& world, const Draw& drawn)
      : world_(world),
        loop_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE),
        drawn_(drawn),
        cluster_(world, drawn.cluster),
        workload_(world, drawn.workload, drawn.cluster.partition_bits),
        members_(cluster_, drawn.members),
        files_(world, drawn.cluster.partition_bits, drawn.cluster.unclaimed_garbage),
        nemesis_(cluster_, drawn.nemesis, static_cast<unsigned>(cluster_.size()) + drawn.clients + 1,
                 [this] { kill_some_client(); }),
        long_faults_(cluster_, drawn.long_faults),
        availability_(cluster_) {
    world.set_after_event([this] { poll(); });
    for (unsigned i = 0; i <= drawn.clients; ++i) {
      clients_.push_back(std::make_unique<SimClient>(cluster_, loop_, static_cast<unsigned>(cluster_.size()) + i));
    }
  }

  ~Scenario() {
    for (auto& client : clients_) client->die();
    poll();
  }

  void run() {
    create() && set_up() && work() && come_to_rest() && look_up();
    if (!world_.violation()) workload_.check();
  }

  // What the seed lacks to count; empty: nothing.
  std::string lacks() const {
    if (world_.counted("acknowledged operations") < least_acknowledged) return "acknowledged operations";
    if (elections() < least_elections) return "elections";
    const std::uint64_t crashes = world_.counted("fault: kill") + world_.counted("fault: power loss");
    if (crashes < least_crashes) return "crashes";
    if (world_.counted("batch: met a lock") + world_.counted("transfers that lost to a rival") == 0)
      return "a contested transaction";
    if (cluster_.size() >= least_nodes_for_a_snapshot) {
      if (world_.counted("raft: snapshot installed") == 0) return "a snapshot";
    } else if (crashes < least_crashes_of_a_small_ring) {
      return "crashes";
    }
    return {};
  }

 private:
  // Elections beyond the first one of each partition.
  std::uint64_t elections() const {
    std::uint64_t all = world_.counted("event: leader_elected");
    return all > partitions() ? all - partitions() : 0;
  }

  void poll() {
    loop_.restart();
    while (loop_.poll() > 0) {
    }
  }

  bool must(const char* what, Duration bound, const std::function<bool()>& done) {
    if (world_.run(bound, done)) return true;
    world_.violate("liveness", std::string(what) + " did not happen in time\n" + describe());
    return false;
  }

  SimClient& careful_client() { return *clients_.back(); }  // never killed

  bool create() {
    for (unsigned i = 0; i < cluster_.size(); ++i) cluster_.node(i).start();
    cluster_.create();
    if (world_.chance(0.2)) nemesis_.disturb_creation();
    return must("creation of the ring", creation_bound, [this] { return cluster_.created() && leaders_everywhere(); });
  }

  bool set_up() {
    for (auto& client : clients_) client->start();
    bool ended = false, right = false;
    careful_client().spawn(set_up_accounts(&ended, &right));
    return must("the first writes", set_up_bound, [&] { return ended && right; });
  }

  Task<void> set_up_accounts(bool* ended, bool* right) {
    *right = co_await workload_.set_up(careful_client().store());
    *ended = true;
  }

  bool work() {
    for (std::size_t i = 0; i + 1 < clients_.size(); ++i) start_workers(*clients_[i]);
    start_workers(careful_client());
    careful_client().spawn(workload_.clean_up(careful_client().store()));
    if (drawn_.files) {
      careful_client().spawn(files_.work(careful_client().store()));
      careful_client().spawn(files_.look(careful_client().store()));
      careful_client().spawn(files_.clean(careful_client().store()));
    }
    if (drawn_.members.active) careful_client().spawn(members_.work(careful_client().store()));
    nemesis_.start();
    long_faults_.start();
    if (drawn_.long_faults.active) availability_.start();
    if (drawn_.full == Draw::Full::minority)
      fill((static_cast<unsigned>(cluster_.size()) - 1) / 2, "fault: a minority is full for good");
    TimePoint start = world_.now();
    const Duration shortest = drawn_.long_faults.active ? safety_shortest_long_faults
                              : drawn_.files            ? safety_shortest_with_files
                                                        : safety_shortest;
    const bool long_one = drawn_.members.grow_and_shrink || drawn_.long_faults.active;
    // Long enough for the seed to count.
    world_.run(long_one ? safety_longest_growing : safety_longest, [&] {
      if (world_.now() - start < shortest || workload_.acknowledged() < least_acknowledged) return false;
      return lacks().empty() || workload_.acknowledged() > 6 * least_acknowledged;
    });
    availability_.stop();
    long_faults_.stop();
    nemesis_.stop();
    if (drawn_.full == Draw::Full::majority) {  // batches are under way meanwhile
      fill(static_cast<unsigned>(cluster_.size()) / 2 + 1, "fault: a majority is full for good");
      world_.run(world_.between(seconds(1), seconds(6)));
    }
    workload_.stop();
    members_.stop();
    files_.stop();
    if (world_.violation()) return false;
    return must("the end of all operations", workers_bound, [this] {
      return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->tasks() == 0; });
    });
  }

  void fill(unsigned nodes, const char* what) {
    nemesis_.fill_for_good(nodes);
    world_.count(what);
  }

  bool is_full(unsigned node) { return cluster_.node(node).room() != dht::Room::ample; }

  void start_workers(SimClient& client) {
    for (unsigned i = 0; i < drawn_.workers; ++i) client.spawn(workload_.work(client.store()));
  }

  void kill_some_client() {
    SimClient& client = *clients_[static_cast<std::size_t>(world_.between(0, clients_.size() - 2))];
    if (!client.running()) return;
    if (drawn_.coordinators_pause > 0 && world_.chance(drawn_.coordinators_pause)) {
      // Long enough that others end its transaction; then it goes on where it was.
      client.transport().pause_before(TransactionStep::flip,
                                      dht::max_transaction_age + world_.between(Duration::zero(), longest_pause));
      return;
    }
    auto die = [this, &client] {
      world_.count("fault: client death");
      client.die();
      world_.after(world_.between(milliseconds(10), seconds(1)), [this, &client] {
        client.start();
        start_workers(client);
      });
    };
    if (world_.chance(0.2)) {
      client.transport().die_after_calls(static_cast<unsigned>(world_.between(0, 30)), die);
    } else {
      TransactionStep step = coordinator_steps[world_.between(0, std::size(coordinator_steps) - 1)];
      client.transport().die_at({step, world_.chance(0.5)}, die);
    }
  }

  bool come_to_rest() {
    if (!must("a leader with a lease everywhere", rest_bound, [this] { return leaders_everywhere(); })) return false;
    if (drawn_.members.active && !must("the moves that the placement wants", moving_bound, [this] { return moved(); }))
      return false;
    if (!settle_locks()) return false;
    if (drawn_.clocks_agree && !agree_about_time()) return false;
    bool ended = false, right = false;
    careful_client().spawn(read_everything(&ended, &right));
    if (!must("reading everything", reading_bound, [&] { return ended; })) return false;
    if (!right) {
      world_.violate("liveness", "not everything could be read after the faults stopped\n" + describe());
      return false;
    }
    if (drawn_.full != Draw::Full::none && !full_disks_are_bearable()) return false;
    if (!must("equal replicas", rest_bound, [this] { return replicas_equal(); })) return false;
    if (drawn_.members.active &&
        !must("the data where the members are", rest_bound, [this] { return data_in_place(); }))
      return false;
    return !world_.violation();
  }

  bool agree_about_time() {
    if (!must("agreement about the time", rest_bound, [this] { return time_agreed(); })) return false;
    const bool wandered = world_.run(seconds(5), [this] { return !time_agreed(); });
    if (wandered)
      world_.violate("ring time", "it was agreed upon, and moved away while a majority's clocks were right");
    return !wandered;
  }

  // The ring's time is right, whatever a minority's clocks show.
  bool time_agreed() {
    for (unsigned i = 0; i < cluster_.size(); ++i) {
      if (!cluster_.node(i).running()) return false;
      const Duration error = cluster_.node(i).ring_time_error();
      if (error > worst_ring_time || error < -worst_ring_time) return false;
    }
    return true;
  }

  // A transaction whose coordinator died stays pending until somebody has watched its record for long enough; then
  // whoever meets its locks ends it.
  bool settle_locks() {
    const Duration round = drawn_.workload.accounts * drawn_.workload.operation_timeout + seconds(1);
    TimePoint end = world_.now() + dht::max_transaction_age + settling_rounds * round;
    std::string lock;
    while (world_.now() < end && !world_.violation()) {
      bool ended = false;
      careful_client().spawn(meet_locks(&ended));
      if (!must("reading the accounts", reading_bound, [&] { return ended; })) return false;
      world_.run(seconds(1));
      lock = lock_left();
      if (lock.empty()) return true;
    }
    world_.violate("no lock is left", lock + "\n" + describe());
    return false;
  }

  // Every partition takes a write or says soon that disks are full, and removing works everywhere.
  bool full_disks_are_bearable() {
    bool ended = false;
    std::string wrong;
    careful_client().spawn(write_and_erase(&ended, &wrong));
    if (!must("writing and erasing on full disks", full_disks_bound, [&] { return ended; })) return false;
    if (wrong.empty()) return true;
    world_.violate("full disks", wrong + "\n" + describe());
    return false;
  }

  // Of the nodes that the placement wants a majority has room.
  bool has_room(PartitionId partition) {
    dht::Placement placement(cluster_.table(), drawn_.cluster.partition_bits);
    const std::vector<Uuid>& nodes = placement.preference_list(partition);
    const auto with_room = std::count_if(
        nodes.begin(), nodes.end(), [&](const Uuid& node) { return cluster_.find(node)->room() == dht::Room::ample; });
    return 2 * static_cast<std::size_t>(with_room) > nodes.size();
  }

  // A batch may find no leader in time while groups recover: then it is tried again.
  Task<Result<CommitReply>> commit_one(Mutation mutation) {
    dht::PartitionedStore* store = careful_client().store();
    Result<CommitReply> reply = fail(ErrorCode::timeout, {});
    for (unsigned i = 0; i < full_disk_attempts && !reply && reply.error().code == ErrorCode::timeout; ++i) {
      CommitRequest request;
      request.mutations.push_back(mutation);
      reply = co_await store->commit(std::move(request), store->clock().now + full_disk_timeout);
    }
    co_return reply;
  }

  Task<void> write_and_erase(bool* ended, std::string* wrong) {
    for (unsigned number = 0; number < 2 * partitions() && wrong->empty(); ++number) {
      const std::string key = "kv/full" + std::to_string(number);
      const PartitionId partition = partition_of(key_position(key), drawn_.cluster.partition_bits);
      const std::string where = "partition " + std::to_string(index_of(partition)) + ": ";
      Mutation mutation;
      mutation.kind = Mutation::Kind::put;
      mutation.row = {key, "v"};
      mutation.value = SharedBytes(std::string(100, 'x'));
      const bool room = has_room(partition);
      // While copies are under way a client does not believe a refusal (sim_transport.hpp) and asks until its deadline.
      const bool heard = room || drawn_.cluster.network.duplicate == 0;
      Result<CommitReply> written = fail(ErrorCode::no_space, {});
      if (heard) written = co_await commit_one(mutation);
      if (room && !written) *wrong = where + "a majority has room, a put ends in " + written.error().text();
      if (!room && written) *wrong = where + "a majority is full, and a put is applied";
      if (!room && !written && written.error().code != ErrorCode::no_space)
        *wrong = where + "a put ends in " + written.error().text();
      mutation.kind = Mutation::Kind::erase_prefix;
      mutation.row = {key, ""};
      mutation.value = {};
      Result<CommitReply> erased = co_await commit_one(mutation);
      if (!erased) *wrong = where + "an erasure ends in " + erased.error().text();
    }
    *ended = true;
  }

  Task<void> meet_locks(bool* ended) {
    co_await workload_.meet_locks(careful_client().store());
    *ended = true;
  }

  Task<void> read_everything(bool* ended, bool* right) {
    *right = co_await workload_.read_everything(careful_client().store());
    *ended = true;
  }

  unsigned partitions() const { return 1u << drawn_.cluster.partition_bits; }

  bool leaders_everywhere() {
    // Asked rarely: the status of every node costs more than an event.
    if (world_.now() < next_look_) return false;
    next_look_ = world_.now() + milliseconds(50);
    std::map<PartitionId, unsigned> leases;
    for (unsigned i = 0; i < cluster_.size(); ++i) {
      if (!cluster_.node(i).running()) return false;
      for (const dht::GroupStatus& group : cluster_.node(i).status().groups) {
        if (group.role == dht::Role::leader && group.lease) ++leases[group.partition];
      }
    }
    return leases.size() == partitions();
  }

  // Every group has the members that the newest table wants, and its preferred primary leads it.
  bool moved() {
    if (world_.now() < next_look_) return false;
    next_look_ = world_.now() + milliseconds(50);
    dht::Placement placement(cluster_.table(), drawn_.cluster.partition_bits);
    unsigned in_place = 0;
    for (unsigned i = 0; i < cluster_.size(); ++i) {
      SimNode& node = cluster_.node(i);
      if (!node.running()) return false;
      const dht::NodeStatus status = node.status();
      for (const dht::GroupStatus& group : status.groups) {
        const bool leads =
            group.role == dht::Role::leader && group.lease && status.table_version == cluster_.table().version;
        if (leads && group.settled && placement.preference_list(group.partition).front() == node.id()) ++in_place;
      }
    }
    return in_place == partitions();
  }

  // Each group's rows lie on its members and nowhere else.
  bool data_in_place() {
    if (world_.now() < next_look_) return false;
    next_look_ = world_.now() + milliseconds(50);
    dht::Placement placement(cluster_.table(), drawn_.cluster.partition_bits);
    for (std::uint32_t index = 0; index < partitions(); ++index) {
      std::set<Uuid> holders;
      for (unsigned i = 0; i < cluster_.size(); ++i) {
        const auto& groups = cluster_.node(i).live_disk().groups;
        auto group = groups.find(PartitionId{index});
        if (group != groups.end() && group->second.holds_data) holders.insert(cluster_.node(i).id());
      }
      const std::vector<Uuid>& wanted = placement.preference_list(PartitionId{index});
      if (holders != std::set<Uuid>(wanted.begin(), wanted.end())) return false;
    }
    return true;
  }

  bool replicas_equal() {
    if (world_.now() < next_look_) return false;
    next_look_ = world_.now() + milliseconds(50);
    std::map<PartitionId, std::pair<dht::LogIndex, std::uint64_t>> states;
    for (unsigned i = 0; i < cluster_.size(); ++i) {
      if (is_full(i)) continue;  // it may lag until the end
      for (const auto& [partition, group] : cluster_.node(i).live_disk().groups) {
        if (!group.holds_data) continue;
        auto [known, first] = states.try_emplace(partition, group.applied, group.rows.hash());
        if (!first && known->second != std::pair(group.applied, group.rows.hash())) return false;
        if (group.last_index() != group.applied) return false;
      }
    }
    return states.size() == partitions() || drawn_.full != Draw::Full::none;
  }

  std::string lock_left() {
    for (unsigned i = 0; i < cluster_.size(); ++i) {
      if (is_full(i)) continue;
      for (const auto& [partition, group] : cluster_.node(i).live_disk().groups) {
        for (const auto& [row, stored] : group.rows.all()) {
          if (row.key != dht::lock_key && row.key != dht::part_key) continue;
          Reader reader(row.key == dht::lock_key ? stored.value.view() : std::string_view(row.sort));
          RecordRef record = read_record_ref(reader);
          return "partition " + std::to_string(index_of(partition)) + " at node " + std::to_string(i) +
                 ", laid by entry " + std::to_string(stored.version) + " of " + std::to_string(group.applied) +
                 ", record in partition " + std::to_string(index_of(record.partition)) + ", started " +
                 std::to_string(record.id.started);
        }
      }
    }
    return {};
  }

  // Lookups from any node find the owner in at most log2(tokens) + 2 hops, the logarithm rounded down.
  bool look_up() {
    const dht::MembersTable& table = cluster_.table();
    dht::Placement placement(table, drawn_.cluster.partition_bits);
    std::size_t tokens = 0;
    for (const dht::Member& member : table.members) tokens += member.tokens.size();
    // A node that leaves stays in Chord's ring until it is removed, and one that was declared dead by mistake answers.
    const bool all_in = std::all_of(table.members.begin(), table.members.end(), [](const dht::Member& member) {
      return member.state == MemberState::up || member.state == MemberState::joining;
    });
    if (!all_in) return true;
    std::vector<SimNode*> askable;  // a node without a token does not route
    for (const dht::Member& member : table.members) {
      if (!member.tokens.empty()) askable.push_back(cluster_.find(member.id));
    }
    most_hops_ = static_cast<unsigned>(std::bit_width(tokens)) - 1 + 2;
    // Stabilization repairs pointers round by round after the last fault: try again until the bound.
    for (unsigned i = 0; i < lookups; ++i) {
      auto partition = static_cast<PartitionId>(world_.between(0, partitions() - 1));
      SimNode& asked = *askable[static_cast<std::size_t>(world_.between(0, askable.size() - 1))];
      Uuid owner = placement.preference_list(partition).front();
      Position position = anchor_of(partition, drawn_.cluster.partition_bits);
      TimePoint end = world_.now() + lookup_bound;
      LookUp found;
      do {
        found = look_up_once(position, asked);
        if (found.owner == owner && found.hops <= most_hops_) break;
        world_.run(milliseconds(500));
      } while (world_.now() < end && !world_.violation());
      if (found.owner != owner) {
        world_.violate("ideal ring", "a lookup ends at " + (found.owner ? found.owner->text() : std::string("nobody")) +
                                         " instead of " + owner.text());
        return false;
      }
      if (found.hops > most_hops_) {
        world_.violate("ideal ring", std::to_string(found.hops) + " hops among " + std::to_string(tokens) + " tokens");
        return false;
      }
    }
    return !world_.violation();
  }

  struct LookUp {
    std::optional<Uuid> owner;
    unsigned hops = 0;
  };

  LookUp look_up_once(const Position& position, SimNode& first) {
    LookUp found;
    SimNode* node = &first;
    while (node != nullptr && node->running() && ++found.hops <= most_hops_) {
      struct Answered {
        bool done = false;
        std::optional<dht::FindReply> reply;
      };
      auto answered = std::make_shared<Answered>();
      node->submit(dht::FindOperation{position}, [answered](const dht::OperationResult& result, Stamp) {
        answered->done = true;
        if (!result) return;
        if (const auto* reply = std::get_if<dht::FindReply>(&*result)) answered->reply = *reply;
      });
      world_.run(seconds(1), [&] { return answered->done; });
      if (!answered->reply) return found;
      if (answered->reply->final) {
        found.owner = answered->reply->node;
        return found;
      }
      node = cluster_.find(answered->reply->node);
    }
    return found;
  }

  std::string describe() {
    std::string text = "  table " + std::to_string(cluster_.table().version) + ", primaries:";
    dht::Placement placement(cluster_.table(), drawn_.cluster.partition_bits);
    for (std::uint32_t index = 0; index < partitions(); ++index) {
      const std::vector<Uuid>& list = placement.preference_list(PartitionId{index});
      text += " " + (list.empty() ? std::string("-") : std::to_string(cluster_.find(list.front())->index()));
    }
    text += "\n";
    for (unsigned i = 0; i < cluster_.size(); ++i) {
      SimNode& node = cluster_.node(i);
      text += "  node " + std::to_string(i) + (node.running() ? "" : " is down") + (node.frozen() ? " is frozen" : "") +
              "\n";
      if (!node.running()) continue;
      if (!node.durable_disk().genesis) text += "    waits for a ring\n";
      for (const dht::GroupStatus& group : node.status().groups) {
        text += "    partition " + std::to_string(index_of(group.partition)) + " role " +
                std::to_string(static_cast<int>(group.role)) + " term " + std::to_string(group.term) + " log " +
                std::to_string(group.first_index) + ".." + std::to_string(group.last_index) + " commit " +
                std::to_string(group.commit) + " applied " + std::to_string(group.applied) +
                (group.lease ? " lease" : "") + (group.snapshotting ? " snapshotting" : "") +
                (group.settled ? " settled" : "") +
                (group.learners > 0 ? " learners " + std::to_string(group.learners) : "") + "\n";
      }
    }
    return text;
  }

  World& world_;
  boost::asio::io_context loop_;
  const Draw drawn_;
  Cluster cluster_;
  Workload workload_;
  MembersOperator members_;
  FilesWorkload files_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  Nemesis nemesis_;
  LongFaults long_faults_;
  Availability availability_;
  TimePoint next_look_{};
  unsigned most_hops_ = 0;
};

}  // namespace

const World* running_world() { return world_in_use; }

bool has_long_faults(std::uint64_t seed, const ScenarioOptions& options) {
  World world(seed, false);
  return draw(world, options).long_faults.active;
}

SeedResult run_seed(std::uint64_t seed, const ScenarioOptions& options) {
  World world(seed, options.verbose);
  world_in_use = &world;
  Draw drawn = draw(world, options);
  SeedResult result;
  result.nodes = drawn.cluster.nodes;
  result.parameters =
      std::to_string(drawn.cluster.nodes) + " nodes, " + std::to_string(1u << drawn.cluster.partition_bits) +
      " partitions, replication " + std::to_string(drawn.cluster.replication) + ", " +
      std::to_string(drawn.clients + 1) + " clients of " + std::to_string(drawn.workers) +
      (drawn.members.active ? ", members change, " + std::to_string(drawn.cluster.spares) + " wait" : "");
  {
    Scenario scenario(world, drawn);
    scenario.run();
    result.lacks = scenario.lacks();
  }
  result.violation = world.violation();
  result.hash = world.trace_hash();
  result.events = world.events();
  result.coverage = world.coverage();
  if (result.violation) result.trace = world.trace_tail(trace_lines_reported);
  world_in_use = nullptr;
  return result;
}

}  // namespace ringfs::sim
