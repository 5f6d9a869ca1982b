// Draws the parameters of a seed, and switches a guard off.
#include "tests/sim/faults/draw.hpp"

#include <algorithm>
#include <bit>

namespace ringfs::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double share_of_moving_rings = 0.35;
constexpr unsigned least_nodes_with_a_majority = 3;  // while one of them has a fault
constexpr double share_of_full_rings = 0.12;
constexpr unsigned most_nodes_that_move = 10;  // at the beginning; with more a seed takes long

unsigned draw_nodes(World& world) {
  std::uint64_t die = world.between(0, 99);
  if (die < 3) return 1;
  if (die < 7) return 2;
  if (die < 50) return 3;
  if (die < 97) return static_cast<unsigned>(world.between(4, 7));
  if (die < 99) return static_cast<unsigned>(world.between(8, 16));
  return static_cast<unsigned>(world.between(17, 50));
}

void switch_off(const std::string& guard, ClusterOptions& options) {
  if (guard == "send_vote_before_write") options.faults.send_vote_before_write = true;
  if (guard == "commit_earlier_terms") options.faults.commit_earlier_terms = true;
  if (guard == "ignore_previous_term") options.faults.ignore_previous_term = true;
  if (guard == "ignore_lease") options.faults.ignore_lease = true;
  if (guard == "read_before_own_no_op") options.faults.read_before_own_no_op = true;
  if (guard == "ignore_row_leases") options.faults.ignore_row_leases = true;
  if (guard == "prepare_ignores_row_leases") options.faults.prepare_ignores_row_leases = true;
  if (guard == "grant_unnamed") options.faults.grant_unnamed = true;
  if (guard == "forget_former_leases") options.faults.forget_former_leases = true;
  if (guard == "count_learners") options.faults.count_learners = true;
  if (guard == "overlapping_changes") options.faults.overlapping_changes = true;
  if (guard == "skip_joint") options.faults.skip_joint = true;
  if (guard == "ignore_replica_identity") options.faults.ignore_replica_identity = true;
  if (guard == "place_voters") options.faults.place_voters = true;
  if (guard == "drop_early") options.faults.drop_early = true;
  if (guard == "lead_with_hung_disk") options.faults.lead_with_hung_disk = true;
  if (guard == "vote_with_hung_disk") options.faults.vote_with_hung_disk = true;
  if (guard == "hand_over_blindly") options.faults.hand_over_blindly = true;
  if (guard == "ignore_rooms") options.faults.ignore_rooms = true;
  if (guard == "refuse_frees") options.faults.refuse_frees = true;
  if (guard == "believe_own_clock") options.faults.believe_own_clock = true;
  if (guard == "believe_last_node") options.faults.believe_last_node = true;
  if (guard == "unclaimed_garbage") options.unclaimed_garbage = true;
  if (guard == "no_dedup") options.disk_faults.evaluate.no_dedup = true;
  if (guard == "no_expiry") options.disk_faults.evaluate.no_expiry = true;
  if (guard == "no_add_locks") options.disk_faults.evaluate.no_add_locks = true;
  if (guard == "patch_shared_payloads") options.disk_faults.patch_shared_payloads = true;
  if (guard == "serve_damage") options.disk_faults.serve_damage = true;
  if (guard == "drop_without_tombstone") options.transaction_faults.drop_without_tombstone = true;
  if (guard == "release_without_forgetting") options.transaction_faults.release_without_forgetting = true;
  if (guard == "lease_from_answer") options.transaction_faults.lease_from_answer = true;
  if (guard == "remember_held_rows") options.transaction_faults.remember_held_rows = true;
}

// Some seeds have one theme, because it needs several rare events close together.
void draw_focus(World& world, Draw& drawn) {
  std::uint64_t die = world.between(0, 99);
  if (die < 12) {
    // Logs diverge under changing leaders; followers may have any prefix of a leader's log.
    drawn.nemesis.only = {"leader shuffle"};
    drawn.nemesis.kills = 0.1;
    drawn.nemesis.calm = 0.05;
    drawn.cluster.append_bytes = 1;
    drawn.workload.registers = 4;
  } else if (die < 18) {
    drawn.nemesis.only = {"restart under a lease", "freeze in a read", "clock drift"};
    drawn.nemesis.kills = 0.05;
  } else if (die < 26) {
    // Copies of batches arrive after their results were forgotten.
    drawn.nemesis.only = {"minutes pass", "wall clock jump"};
    drawn.nemesis.wall_jump = seconds(400);
    drawn.cluster.network.duplicate = 0.2;
    drawn.cluster.network.late = 0.02;
    drawn.cluster.network.late_copies = true;
    drawn.cluster.network.late_high = seconds(6);
  } else if (die < 34) {
    // Coordinators die at each of their steps, and others end their transactions.
    drawn.nemesis.only = {"client death", "wall clock jump"};
    drawn.nemesis.pause_high = seconds(1);
    drawn.workload.transfers = 0.6;
    drawn.workload.accounts = 4;
    drawn.workload.three_parties = 0.6;
    drawn.coordinators_pause = 0.3;
  } else if (die < 38) {
    // Transactions are so rare that others, who read all the time, have leases on their rows.
    drawn.workload.transfers = 0.006;
    drawn.workload.accounts = 4;
    drawn.workload.account_reads = 0.6;
    drawn.workload.count_reads = 0.9;
  } else if (die < 43 && drawn.cluster.nodes >= least_nodes_with_a_majority &&
             drawn.cluster.nodes <= most_nodes_that_move) {
    // Faults that last for minutes, and few others: groups must be served meanwhile.
    drawn.long_faults.active = true;
    drawn.nemesis.only = {"client death"};
    drawn.nemesis.kills = 0.3;
    drawn.nemesis.pause_low = seconds(5);
    drawn.nemesis.pause_high = seconds(25);
    drawn.cluster.network = NetworkQuality{};
  } else if (die < 50) {
    // Clocks of a minority are wrong for long, and stay wrong at the end. Files depend on the age of rows.
    drawn.nemesis.only = {"wrong clock", "isolated leader", "power loss of one"};
    drawn.nemesis.clocks_right_at_the_end = 0.2;
    drawn.nemesis.pause_high = seconds(3);
    drawn.clocks_agree = true;
    drawn.files = true;
  } else if (die < 55 && drawn.cluster.nodes >= least_nodes_with_a_majority) {
    // Leaders change while readers hold row leases that they granted.
    drawn.nemesis.only = {"isolated leader", "freeze"};
    drawn.nemesis.kills = 0.2;
    drawn.nemesis.pause_low = milliseconds(300);
    drawn.nemesis.pause_high = seconds(2);
    drawn.workload.transfers = 0.02;
    drawn.workload.accounts = 8;
    drawn.workload.account_reads = 0.6;
    drawn.workload.count_reads = 0.9;
  }
}

// Nodes join and leave while clients work: in every third seed, and in each one that begins with one node.
void draw_members(World& world, Draw& drawn) {
  const bool single = drawn.cluster.nodes == 1;
  if (drawn.long_faults.active || drawn.cluster.nodes > most_nodes_that_move ||
      (!single && !world.chance(share_of_moving_rings)))
    return;
  drawn.members.active = true;
  drawn.cluster.spares = static_cast<unsigned>(world.between(single ? 2 : 1, 3));
  drawn.members.grow_and_shrink = single;
  unsigned nodes = drawn.cluster.nodes + drawn.cluster.spares;
  drawn.cluster.partition_bits =
      std::max(drawn.cluster.partition_bits, static_cast<unsigned>(std::bit_width(2 * nodes - 1)));
  drawn.members.pause_high = world.between(milliseconds(500), seconds(5));
  // So short that a crash or a partition counts as a death.
  if (world.chance(0.4)) drawn.cluster.replace_after_seconds = static_cast<unsigned>(world.between(2, 6));
  if (!world.chance(0.3)) return;
  // A node is taken away and added again while messages of its former life are under way.
  drawn.members.back_again = 0.8;
  drawn.cluster.former_lives_echo = true;
  drawn.members.pause_high = seconds(1);
  drawn.cluster.network.late = 0.1;
  drawn.cluster.network.late_low = milliseconds(200);
  drawn.cluster.network.late_high = seconds(6);
}

}  // namespace

Draw draw(World& world, const ScenarioOptions& options) {
  Draw drawn;
  ClusterOptions& cluster = drawn.cluster;
  cluster.nodes = draw_nodes(world);
  if (options.nodes) cluster.nodes = *options.nodes;
  unsigned least_bits = static_cast<unsigned>(std::bit_width(cluster.nodes - 1));
  cluster.partition_bits = std::max(least_bits, static_cast<unsigned>(world.between(2, 3)));
  cluster.replication = cluster.nodes >= 5 && world.chance(0.3) ? 5 : 3;
  unsigned most_tokens = std::max(1u, (1u << cluster.partition_bits) / cluster.nodes);
  cluster.tokens = static_cast<unsigned>(world.between(1, std::min(8u, most_tokens)));
  cluster.log_keep_entries = world.between(4, 32);
  if (world.chance(0.3)) cluster.log_budget_bytes = static_cast<std::size_t>(world.between(1000, 30000));
  if (world.chance(0.2)) cluster.append_bytes = static_cast<std::size_t>(world.between(1, 2000));
  if (world.chance(0.5)) cluster.quiet_after = world.between(Duration(0), milliseconds(300));
  cluster.network.high = world.between(Duration(300), milliseconds(3));
  cluster.disk.sync_high = world.between(milliseconds(1), milliseconds(10));
  if (world.chance(0.4)) {
    cluster.network.drop = 0.005;
    cluster.network.duplicate = 0.01;
    cluster.network.late = 0.005;
  }
  switch_off(options.fault, cluster);
  drawn.clients = static_cast<unsigned>(world.between(2, 4));
  drawn.workers = static_cast<unsigned>(world.between(1, 3));
  drawn.workload.registers = static_cast<unsigned>(world.between(2, 5));
  drawn.workload.accounts = static_cast<unsigned>(world.between(2, 4));
  if (world.chance(0.25)) drawn.workload.large_values = 0.3;
  drawn.workload.transfers = 0.05 * static_cast<double>(world.between(2, 8));
  drawn.nemesis.share_of_faults = 0.1 * static_cast<double>(world.between(2, 9));
  drawn.nemesis.pause_high = world.between(milliseconds(500), seconds(4));
  if (world.chance(0.3)) drawn.nemesis.wall_jump = seconds(200);  // longer than batches and their results live
  draw_focus(world, drawn);
  if (cluster.nodes < least_nodes_for_a_snapshot) drawn.nemesis.kills = 0.5;
  draw_members(world, drawn);
  const bool may_be_full = !drawn.members.active && !drawn.files && !drawn.long_faults.active && cluster.nodes >= 3 &&
                           cluster.nodes <= most_nodes_that_move;
  if (may_be_full && world.chance(share_of_full_rings)) {
    drawn.full = world.chance(0.5) ? Draw::Full::minority : Draw::Full::majority;
  }
  // With members that come and go the minority is another one.
  if (drawn.members.active || cluster.nodes < 3) drawn.clocks_agree = false;
  return drawn;
}

const std::vector<std::string>& guard_names() {
  static const std::vector<std::string> names{"send_vote_before_write",
                                              "commit_earlier_terms",
                                              "ignore_previous_term",
                                              "ignore_lease",
                                              "read_before_own_no_op",
                                              "no_dedup",
                                              "no_expiry",
                                              "drop_without_tombstone",
                                              "patch_shared_payloads",
                                              "ignore_row_leases",
                                              "prepare_ignores_row_leases",
                                              "remember_held_rows",
                                              "grant_unnamed",
                                              "forget_former_leases",
                                              "release_without_forgetting",
                                              "lease_from_answer",
                                              "no_add_locks",
                                              "count_learners",
                                              "overlapping_changes",
                                              "skip_joint",
                                              "ignore_replica_identity",
                                              "place_voters",
                                              "drop_early",
                                              "lead_with_hung_disk",
                                              "vote_with_hung_disk",
                                              "hand_over_blindly",
                                              "serve_damage",
                                              "ignore_rooms",
                                              "refuse_frees",
                                              "believe_own_clock",
                                              "believe_last_node",
                                              "unclaimed_garbage"};
  return names;
}

}  // namespace ringfs::sim
