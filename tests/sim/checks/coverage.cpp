// The table of what a run of seeds must have met, and how it is printed.
#include "tests/sim/checks/coverage.hpp"

#include <cstdio>
#include <set>

#include "tests/sim/workload/transaction_steps.hpp"

namespace ringfs::sim {

namespace {

// Nodes that a row needs: a peer to talk to; a majority that goes on without one of them.
constexpr unsigned a_peer = 2, a_majority = 3;
// A node is declared dead only if another one can take its place.
constexpr unsigned a_substitute = 4;

std::vector<CoverageRow> coordinator_deaths() {
  std::vector<CoverageRow> rows;
  for (TransactionStep step : coordinator_steps) {
    for (bool said : {false, true}) rows.push_back({death_at({step, said})});
  }
  return rows;
}

std::vector<CoverageSection> make_required() {
  return {
      {"faults of the network",
       {{"fault: dropped message"},
        {"fault: duplicated message"},
        {"fault: reordered message"},
        {"fault: late message"},
        {"fault: bad network"},
        {"fault: partition"},
        {"fault: one-way partition"},
        {"fault: partial partition", a_majority},
        {"fault: message into a partition"},
        {"fault: isolated leader", a_peer},
        {"fault: leader isolated under a lease", a_peer},
        {"fault: leader shuffle", a_majority},
        {"fault: restart under a lease", a_majority},
        {"fault: forged message", a_peer}}},
      {"faults of processes, disks and clocks",
       {{"fault: kill"},
        {"fault: kill between effects"},
        {"fault: crash while the ring is created"},
        {"fault: power loss of one"},
        {"fault: power loss of a majority"},
        {"fault: power loss of all"},
        {"fault: unsynced writes lost"},
        {"fault: sync stall"},
        {"fault: sync error"},
        {"fault: slow disk"},
        {"fault: disk full"},
        {"fault: hung disk", a_majority},
        {"fault: several hung disks", a_majority},
        {"fault: all disks hang", a_majority},
        {"fault: slow disk for long", a_majority},
        {"fault: one-way network for long", a_majority},
        {"fault: starved process", a_majority},
        {"fault: a minority is full for good", a_majority},
        {"fault: a majority is full for good", a_majority},
        {"fault: damaged replica", a_majority},
        {"fault: rows lost", a_majority},
        {"fault: lost row met by a read", a_majority},
        {"fault: lost row met by an apply", a_majority},
        {"fault: lost rows found by the check", a_majority},
        {"fault: term and vote lost", a_majority},
        {"fault: end of a log lost", a_majority},
        {"fault: entries cannot be read", a_majority},
        {"fault: snapshot cannot be read", a_majority},
        {"fault: freeze"},
        {"fault: freeze in a read"},
        {"fault: clock drift"},
        {"fault: wall clock jump"},
        {"fault: wrong clock", a_majority},
        {"fault: clock at 1970", a_majority},
        {"event: clock_wrong", a_majority},
        {"event: clock_right", a_majority},
        {"fault: minutes pass"},
        {"fault: client death"},
        {"fault: coordinator pauses"},
        {"fault: transaction left lying"}}},
      {"a coordinator dies", coordinator_deaths()},
      {"transitions of groups",
       {{"event: ring_created"},
        {"event: leader_elected"},
        {"event: step_down", a_peer},
        {"event: quorum_lost", a_peer},
        {"event: transfer", a_peer},
        {"event: transfer_failed", a_peer},
        {"event: disk_hangs", a_majority},
        {"event: disk_slow", a_majority},
        {"event: loop_late", a_majority},
        {"event: log_truncated", a_majority},
        {"event: log_compacted"},
        {"event: log_compacted_for_budget"},
        {"event: log_tail_compacted", a_majority},
        {"event: snapshot_started", a_majority},
        {"event: snapshot_sent", a_majority},
        {"raft: snapshot installed", a_majority},
        {"event: lease_expired", a_peer},
        {"event: read_index_fallback", a_peer},
        {"raft: pre-vote asked", a_peer},
        {"raft: pre-vote refused", a_peer},
        {"raft: vote asked", a_peer},
        {"raft: vote refused", a_peer},
        {"raft: leadership handed over", a_peer},
        {"raft: entries read back from disk", a_peer},
        {"event: load_failed", a_majority},
        {"event: snapshot_failed", a_majority},
        {"raft: read under a lease"},
        {"event: batch_delayed"},
        {"reads under a row lease"},
        {"row leases: recall heard"},
        {"raft: read by ReadIndex", a_peer},
        {"event: foreign_ring_refused", a_peer},
        {"event: wrong_identity_refused", a_peer},
        {"event: old_incarnation_refused", a_peer},
        {"event: clone_refused", a_peer}}},
      {"members change",
       {{"members: one joins"},
        {"members: two join at once"},
        {"members: one leaves"},
        {"members: the leader of the table's partition leaves"},
        {"members: one is called dead"},
        {"members: one comes back"},
        {"members: another replication"},
        {"members: 1, 2, 3 and 1 nodes"},
        {"event: member_up"},
        {"event: member_removed"},
        {"event: member_dead", a_substitute},
        {"event: member_joining"},
        {"event: removed_from_ring"},
        {"event: replica_added"},
        {"event: replica_damaged", a_majority},
        {"event: replica_repaired", a_majority},
        {"event: replica_removed"},
        {"raft: configuration proposed"},
        {"raft: joint configuration committed"},
        {"raft: a replica's data dropped"},
        {"fault: former life echoes"},
        {"fault: learner killed in a snapshot"},
        {"fault: leader killed in a snapshot"},
        {"fault: kill in a joint configuration"},
        {"members move: fault: kill"},
        {"members move: fault: power loss of a majority"},
        {"members move: fault: isolated leader"},
        {"members move: fault: partition"}}},
      {"transitions of batches and transactions",
       {{"batch: answered from the record (dedup)"},
        {"batch: superseded"},
        {"batch: expired"},
        {"batch: condition failed"},
        {"batch: met a lock"},
        {"batch: wrote into a payload that the log shares"},
        {"client error: no_space"},
        {"client error: timeout"},
        {"transaction: first prepare"},
        {"transaction: next prepare"},
        {"transaction: crosses another"},
        {"transaction: committed"},
        {"transaction: part resolved"},
        {"transaction: part resolved by another"},
        {"transaction: aborted by a flip"},
        {"transaction: tombstone over nothing"},
        {"transaction: tombstone over nothing by another"},
        {"transaction: lock broken, coordinator taken for dead"},
        {"transaction: part dropped"},
        {"transaction: part dropped by another"},
        {"transaction: record forgotten"},
        {"transaction: record or part looked after"}}},
  };
}

std::uint64_t times(const Coverage& coverage, const std::string& what) {
  auto found = coverage.find(what);
  return found == coverage.end() ? 0 : found->second;
}

void print_row(const std::string& what, std::uint64_t number) {
  std::printf("  %-54s %12llu\n", what.c_str(), static_cast<unsigned long long>(number));
}

}  // namespace

const std::vector<CoverageSection>& required_coverage() {
  static const std::vector<CoverageSection> required = make_required();
  return required;
}

std::vector<std::string> missing_coverage(const Coverage& coverage, unsigned most_nodes) {
  std::vector<std::string> missing;
  for (const CoverageSection& section : required_coverage()) {
    for (const CoverageRow& row : section.rows) {
      if (row.least_nodes <= most_nodes && times(coverage, row.what) == 0) missing.push_back(row.what);
    }
  }
  return missing;
}

void print_coverage(const Coverage& coverage) {
  std::set<std::string> known;
  for (const CoverageSection& section : required_coverage()) {
    std::printf("%s\n", section.title);
    for (const CoverageRow& row : section.rows) {
      print_row(row.what, times(coverage, row.what));
      known.insert(row.what);
    }
  }
  std::printf("also counted\n");
  for (const auto& [what, number] : coverage) {
    if (!known.contains(what)) print_row(what, number);
  }
}

}  // namespace ringfs::sim
