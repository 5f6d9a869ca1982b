// The kinds of faults, and how each of them strikes.
#include "tests/sim/faults/nemesis.hpp"

#include <algorithm>

namespace ringfs::sim {

namespace {
using std::chrono::milliseconds;
using std::chrono::seconds;

// Two nodes may differ by twice as much, which is within the lease's margin of a tenth.
constexpr std::int64_t most_drift = 49'000;  // parts per million
constexpr unsigned steps_until_kill = 40;

// Faults that strike later, or perhaps not at all.
std::function<bool()> counted_where_it_happens(std::function<void()> order) {
  return [order = std::move(order)] {
    order();
    return false;
  };
}
// The node sends a snapshot, or it is a learner that has some of its chunks.
bool in_a_snapshot(SimNode& node, dht::Role role) {
  const dht::NodeStatus status = node.status();
  return std::any_of(status.groups.begin(), status.groups.end(),
                     [&](const dht::GroupStatus& group) { return group.snapshotting && group.role == role; });
}

// The newest configuration of some log is joint.
bool in_a_joint_configuration(SimNode& node) {
  const auto& groups = node.live_disk().groups;
  return std::any_of(groups.begin(), groups.end(),
                     [](const auto& group) { return !group.second.newest_configuration().old_voters.empty(); });
}
}  // namespace

Nemesis::Nemesis(Cluster& cluster, NemesisOptions options, unsigned endpoints, std::function<void()> kill_client)
    : cluster_(cluster),
      world_(cluster.world()),
      options_(options),
      endpoints_(endpoints),
      kill_client_(std::move(kill_client)),
      good_network_(cluster.network().quality()),
      shuffle_(cluster) {
  unsigned nodes = static_cast<unsigned>(cluster.size());
  std::vector<Fault> optional{
      {"kill between effects", counted_where_it_happens([this] { kill_between_effects(); })},
      {"power loss of one", [this] { return power(1); }},
      {"power loss of a majority", [this, nodes] { return power(nodes / 2 + 1); }},
      {"power loss of all", [this, nodes] { return power(nodes); }},
      {"sync error", [this] { return fail_sync(); }},
      {"freeze", [this] { return freeze(); }},
      {"freeze in a read", counted_where_it_happens([this] { freeze_in_a_read(); })},
      {"partition", [this] { return partition(); }},
      {"one-way partition", [this] { return one_way(); }},
      {"partial partition", [this] { return partial(); }},
      {"isolated leader", [this] { return isolate_leader(); }},
      {"leader shuffle", [this] { return shuffle_.start(); }},
      {"restart under a lease", [this] { return restart_under_a_lease(); }},
      {"slow disk", [this] { return slow_disk(); }},
      {"unreadable disk", counted_where_it_happens([this] { any_node().disk().set_unreadable(true); })},
      {"disk full", [this] { return disk_full(); }},
      {"bad network", [this] { return bad_network(); }},
      {"wall clock jump", [this] { return jump_wall_clock(); }},
      {"minutes pass", [this] { return minutes_pass(); }},
      {"wrong clock", [this] { return wrong_clock(); }},
      {"clock drift", [this] { return drift(); }},
      {"learner killed in a snapshot", counted_where_it_happens([this] {
         kill_when("fault: learner killed in a snapshot",
                   [](SimNode& node) { return in_a_snapshot(node, dht::Role::learner); });
       })},
      {"leader killed in a snapshot", counted_where_it_happens([this] {
         kill_when("fault: leader killed in a snapshot",
                   [](SimNode& node) { return in_a_snapshot(node, dht::Role::leader); });
       })},
      {"kill in a joint configuration", counted_where_it_happens([this] {
         kill_when("fault: kill in a joint configuration", in_a_joint_configuration);
       })},
      {"damaged replica", [this] { return damage_a_replica(); }},
      {"client death", counted_where_it_happens(kill_client_)},
      {"forged message", counted_where_it_happens([this] { cluster_.send_forged_message(); })},
  };
  for (Fault& fault : optional) {
    bool wanted = options_.only.empty()
                      ? world_.chance(options_.share_of_faults)
                      : std::find(options_.only.begin(), options_.only.end(), fault.name) != options_.only.end();
    if (wanted) faults_.push_back(std::move(fault));
  }
}

void Nemesis::start() {
  stopped_ = false;
  next();
}

void Nemesis::next() {
  Duration pause = world_.between(options_.pause_low, options_.pause_high);
  if (world_.chance(options_.calm)) {
    cluster_.network().heal();
    pause += world_.between(options_.calm_low, options_.calm_high);
  }
  world_.after(pause, [this] {
    if (stopped_) return;
    world_.trace("nemesis");
    if (faults_.empty() || struck_++ < 2 || world_.chance(options_.kills)) {
      if (kill() && members_move()) world_.count("members move: fault: kill");
    } else {
      const Fault& fault = faults_[static_cast<std::size_t>(world_.between(0, faults_.size() - 1))];
      const bool moving = members_move();
      if (fault.strike()) {
        world_.count("fault: " + fault.name);
        if (moving) world_.count("members move: fault: " + fault.name);
      }
    }
    next();
  });
}

void Nemesis::stop() {
  stopped_ = true;
  shuffle_.stop();
  world_.trace("faults stop");
  cluster_.network().heal();
  cluster_.network().set_quality(good_network_);
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    SimNode& node = cluster_.node(i);
    node.set_disk_speed(cluster_.options().disk);
    node.disk().set_unreadable(false);
    if (!full_.contains(i)) node.set_room(dht::Room::ample);
    node.ambush() = {};
    if (world_.chance(options_.clocks_right_at_the_end)) node.clock().set_wall_right();
    bring_back(i, Duration(1), milliseconds(200));
  }
}

SimNode& Nemesis::any_node() { return cluster_.node(static_cast<std::size_t>(world_.between(0, cluster_.size() - 1))); }

SimNode* Nemesis::leader_of_something() {
  std::vector<SimNode*> leaders;
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    SimNode& node = cluster_.node(i);
    if (!node.running()) continue;
    dht::NodeStatus status = node.status();
    bool leads = std::any_of(status.groups.begin(), status.groups.end(),
                             [](const dht::GroupStatus& group) { return group.role == dht::Role::leader; });
    if (leads) leaders.push_back(&node);
  }
  if (leaders.empty()) return nullptr;
  return leaders[static_cast<std::size_t>(world_.between(0, leaders.size() - 1))];
}

void Nemesis::bring_back(unsigned index, Duration low, Duration high) {
  world_.after(world_.between(low, high), [this, index] {
    SimNode& node = cluster_.node(index);
    if (node.running()) return;
    if (node.disk().hangs())
      bring_back(index, seconds(1), seconds(2));  // earlier, the start would hang, too
    else
      node.start();
  });
}

bool Nemesis::kill() {
  SimNode* node = world_.chance(0.7) ? leader_of_something() : &any_node();
  if (node == nullptr || !node->running()) return false;
  node->kill();
  bring_back(node->index(), milliseconds(10), seconds(4));
  return true;
}

void Nemesis::kill_between_effects() {
  SimNode& node = any_node();
  if (!node.running()) return;
  node.ambush().kill_after_steps = static_cast<unsigned>(world_.between(0, steps_until_kill));
  bring_back(node.index(), milliseconds(300), seconds(3));
}

bool Nemesis::power(unsigned nodes) {
  std::vector<unsigned> order(cluster_.size());
  for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(world_.between(0, i - 1))]);
  bool any_ran = false;
  for (unsigned i = 0; i < nodes && i < order.size(); ++i) {
    any_ran = any_ran || cluster_.node(order[i]).running();
    cluster_.node(order[i]).lose_power();
    bring_back(order[i], milliseconds(100), seconds(3));
  }
  return any_ran;
}

bool Nemesis::fail_sync() {
  SimNode& node = any_node();
  if (!node.running()) return false;
  node.fail_sync();
  bring_back(node.index(), milliseconds(50), seconds(3));
  return true;
}

void Nemesis::disturb_creation() {
  for (int i = 0; i < 3; ++i) {
    world_.after(world_.between(Duration(1), milliseconds(800)), [this] {
      const bool crashed = world_.chance(0.5) ? kill() : power(1);
      if (crashed) world_.count("fault: crash while the ring is created");
    });
  }
}

bool Nemesis::freeze() {
  SimNode* node = world_.chance(0.6) ? leader_of_something() : &any_node();
  return node != nullptr && node->freeze(world_.between(milliseconds(50), seconds(5)));
}

void Nemesis::freeze_in_a_read() {
  SimNode* node = leader_of_something();
  if (node != nullptr) node->ambush().freeze_in_read = world_.between(seconds(1), seconds(4));
}

bool Nemesis::partition() {
  std::vector<bool> side(endpoints_);
  for (unsigned i = 0; i < endpoints_; ++i) side[i] = world_.chance(0.5);
  for (unsigned a = 0; a < endpoints_; ++a) {
    for (unsigned b = 0; b < endpoints_; ++b) {
      if (side[a] != side[b]) cluster_.network().block(a, b);
    }
  }
  world_.after(world_.between(milliseconds(100), seconds(5)), [this] { cluster_.network().heal(); });
  return std::count(side.begin(), side.end(), true) % endpoints_ != 0;
}

bool Nemesis::one_way() {
  bool any = false;
  for (int i = 0; i < 3; ++i) {
    unsigned from = static_cast<unsigned>(world_.between(0, endpoints_ - 1));
    unsigned to = static_cast<unsigned>(world_.between(0, endpoints_ - 1));
    if (from == to) continue;
    cluster_.network().block(from, to);
    any = any || !cluster_.network().blocked(to, from);
  }
  world_.after(world_.between(milliseconds(100), seconds(4)), [this] { cluster_.network().heal(); });
  return any;
}

// Two nodes do not hear each other, and both reach everybody else.
bool Nemesis::partial() {
  if (cluster_.size() < 3) return false;
  SimNode* one = world_.chance(0.7) ? leader_of_something() : &any_node();
  SimNode& other = any_node();
  if (one == nullptr || one == &other) return false;
  cut(one->index(), other.index());
  world_.after(world_.between(milliseconds(300), seconds(8)), [this] { cluster_.network().heal(); });
  return true;
}

// Clients still reach it. It must not serve reads when its lease has ended.
bool Nemesis::isolate_leader() {
  SimNode* leader = leader_of_something();
  if (leader == nullptr || cluster_.size() < 2) return false;
  const dht::NodeStatus status = leader->status();
  if (std::any_of(status.groups.begin(), status.groups.end(),
                  [](const dht::GroupStatus& group) { return group.lease; })) {
    world_.count("fault: leader isolated under a lease");
  }
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    if (i == leader->index()) continue;
    cluster_.network().block(i, leader->index());
    if (world_.chance(0.7)) cluster_.network().block(leader->index(), i);
  }
  world_.after(world_.between(milliseconds(300), seconds(5)), [this] { cluster_.network().heal(); });
  return true;
}

void Nemesis::cut(unsigned a, unsigned b) {
  cluster_.network().block(a, b);
  cluster_.network().block(b, a);
}

void Nemesis::kill_when(const char* name, std::function<bool(SimNode&)> found, unsigned looks) {
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    SimNode& node = cluster_.node(i);
    if (!node.running() || !found(node)) continue;
    world_.count(name);
    node.kill();
    bring_back(node.index(), milliseconds(10), seconds(3));
    return;
  }
  if (looks == 0) return;
  world_.after(milliseconds(5), [this, name, found = std::move(found), looks] {
    if (!stopped_) kill_when(name, found, looks - 1);
  });
}

// A replica that its group can spare: all of the group are well, and a majority is left.
bool Nemesis::damage_a_replica() {
  SimNode* leader = leader_of_something();
  if (leader == nullptr) return false;
  const dht::NodeStatus status = leader->status();
  std::vector<std::pair<SimNode*, PartitionId>> found;
  for (const dht::GroupStatus& group : status.groups) {
    const bool well = group.role == dht::Role::leader && group.lease && group.settled && group.behind == 0;
    auto stored = leader->live_disk().groups.find(group.partition);
    if (!well || stored == leader->live_disk().groups.end()) continue;
    const std::vector<dht::ReplicaId>& voters = stored->second.configuration.voters;
    if (voters.size() < 3) continue;
    // The leader's more often than the others': the leader reads.
    const bool leads = world_.chance(0.3);
    const Uuid& damaged =
        leads ? leader->id() : voters[static_cast<std::size_t>(world_.between(0, voters.size() - 1))].node;
    if (!cluster_.can_spare(group.partition, damaged)) continue;
    found.emplace_back(cluster_.find(damaged), group.partition);
  }
  if (found.empty()) return false;
  const auto& [node, partition] = found[static_cast<std::size_t>(world_.between(0, found.size() - 1))];
  damage(*node, partition);
  return true;
}

void Nemesis::damage(SimNode& node, PartitionId partition) {
  const auto& rows = node.live_disk().groups.at(partition).rows.all();
  const std::uint64_t die = world_.between(0, rows.empty() ? 2 : 5);
  world_.trace("damaged replica", index_of(partition), die);
  if (die == 0) {
    node.mark_damaged(partition, dht::Damage::log);
  } else if (die > 2) {
    LostRows lost{partition, {}};
    std::uint64_t until_one = world_.between(0, rows.size() - 1);  // at least one row is lost
    for (const auto& [address, stored] : rows) {
      const bool is_the_one = until_one-- == 0;
      if (world_.chance(0.3) || is_the_one) lost.rows.push_back(address);
    }
    world_.count("fault: rows lost");
    node.lose_rows(std::move(lost));
  } else {
    const LostGroup lost{partition, die == 2};
    world_.count(lost.hard_state ? "fault: term and vote lost" : "fault: end of a log lost");
    node.kill();
    node.lose_group(lost);
    bring_back(node.index(), milliseconds(1), seconds(2));
  }
}

bool Nemesis::members_move() {
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    SimNode& node = cluster_.node(i);
    if (!node.running()) continue;
    const dht::NodeStatus status = node.status();
    const bool moving = std::any_of(status.groups.begin(), status.groups.end(), [](const dht::GroupStatus& group) {
      return group.role == dht::Role::leader && !group.settled;
    });
    if (moving) return true;
  }
  return false;
}

// A node that does not hear the leader asks a follower for its vote just after that follower has restarted, and the
// leader cannot reach it any more. The lease that the follower granted before it restarted must still hold.
bool Nemesis::restart_under_a_lease() {
  auto partition = static_cast<PartitionId>(world_.between(0, (1u << cluster_.options().partition_bits) - 1));
  SimNode* leader = cluster_.find(cluster_.invariants().newest_leader(partition).second);
  if (leader == nullptr || !leader->running()) return false;
  std::vector<unsigned> others;
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    if (i != leader->index() && cluster_.node(i).running()) others.push_back(i);
  }
  if (others.size() < 2) return false;
  std::swap(others[0], others[static_cast<std::size_t>(world_.between(0, others.size() - 1))]);
  unsigned restarted = others[0], from = leader->index();
  for (std::size_t i = 1; i < others.size(); ++i) cut(from, others[i]);
  world_.after(world_.between(milliseconds(500), milliseconds(1500)), [=, this] {
    if (stopped_) return;
    cut(from, restarted);
    cluster_.node(restarted).kill();
    bring_back(restarted, milliseconds(1), milliseconds(30));
  });
  world_.after(milliseconds(2500), [this] { cluster_.network().heal(); });
  return true;
}

bool Nemesis::slow_disk() {
  SimNode& node = any_node();
  DiskSpeed slow = cluster_.options().disk;
  slow.stall_probability = 0.3;
  node.set_disk_speed(slow);
  world_.after(world_.between(milliseconds(200), seconds(4)),
               [this, &node] { node.set_disk_speed(cluster_.options().disk); });
  return true;
}

bool Nemesis::disk_full() {
  SimNode& node = any_node();
  if (full_.contains(node.index())) return false;
  node.set_room(static_cast<dht::Room>(world_.between(0, static_cast<std::uint64_t>(dht::Room::low))));
  world_.after(world_.between(milliseconds(200), seconds(4)), [this, &node] {
    if (!full_.contains(node.index())) node.set_room(dht::Room::ample);
  });
  return true;
}

void Nemesis::fill_for_good(unsigned nodes) {
  const auto all = static_cast<unsigned>(cluster_.size());
  for (auto next = static_cast<unsigned>(world_.between(0, all - 1)); full_.size() < std::min(nodes, all); ++next)
    full_.insert(next % all);
  world_.trace("full for good", nodes);
  for (unsigned index : full_) cluster_.node(index).set_room(dht::Room::reserve);
}

bool Nemesis::bad_network() {
  NetworkQuality bad = good_network_;
  bad.drop = 0.01 * static_cast<double>(world_.between(0, 20));
  bad.duplicate = 0.01 * static_cast<double>(world_.between(0, 20));
  bad.late = 0.01 * static_cast<double>(world_.between(0, 20));
  bad.high = world_.between(bad.low, milliseconds(60));
  if (world_.chance(0.3)) {  // acknowledgements that come when the lease has ended
    bad.late = 0.5;
    bad.late_low = milliseconds(100);
    bad.late_high = milliseconds(800);
  }
  cluster_.network().set_quality(bad);
  world_.after(world_.between(milliseconds(300), seconds(6)),
               [this] { cluster_.network().set_quality(good_network_); });
  return true;
}

bool Nemesis::jump_wall_clock() {
  Duration jump = world_.between(Duration(0), 2 * options_.wall_jump) - options_.wall_jump;
  any_node().clock().jump_wall(jump);
  return true;
}

// The clock of one of a minority of nodes is wrong by minutes to hours, or by decades, until it is set again.
bool Nemesis::wrong_clock() {
  const unsigned minority = (static_cast<unsigned>(cluster_.size()) - 1) / 2;
  if (minority == 0) return false;
  SimClock& clock = cluster_.node(static_cast<std::size_t>(world_.between(0, minority - 1))).clock();
  const std::uint64_t die = world_.between(0, 9);
  if (die < 2) {
    clock.set_wall_right();
    return false;
  }
  const Duration off = world_.between(seconds(20), std::chrono::hours(6));
  if (die < 4) {
    clock.set_wall_error(Stamp{1} - true_time(world_.now()));
    world_.count("fault: clock at 1970");
  } else {
    clock.set_wall_error(die < 7 ? off : -off);
  }
  return true;
}

// The results of a client that is gone are forgotten while copies of its batches are still under way.
bool Nemesis::minutes_pass() {
  kill_client_();
  world_.after(world_.between(milliseconds(10), seconds(2)), [this] {
    // A log's time runs at nine tenths of the true time at least.
    Duration jump = (dedup_life + world_.between(seconds(1), dedup_life)) * 10 / 9;
    world_.trace("minutes pass", static_cast<std::uint64_t>(jump.count()));
    cluster_.suspend(jump);
  });
  return true;
}

bool Nemesis::drift() {
  std::int64_t drift = static_cast<std::int64_t>(world_.between(0, 2 * most_drift)) - most_drift;
  any_node().clock().set_drift(world_.now(), drift);
  return true;
}

}  // namespace ringfs::sim
