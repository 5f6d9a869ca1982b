// What must hold at every moment, whatever fails: watched from outside, over all nodes at once
// (docs/design.md#proof-by-simulation).
//
//  one leader per (partition, term): every Append and Heartbeat names its sender as the leader of its term
//  log matching: (partition, index, term) names one entry with one predecessor
//  committed entries never change: what was applied or announced as committed at an index stays
//  committed means durable on a majority: at the moment it is first announced or applied
//  equal applied index, equal state: by the hash of all rows
//  votes and terms never go back: also across restarts; a vote leaves only when it is durable
//  terms and incarnations that left are durable: what a node said before a crash is not above what it starts with
//  acknowledged appends are durable: an AppendReply never runs ahead of its sender's disk, and the disk has what the
//    leader sent
//  exactly once: a (client, sequence) is executed by one entry of one partition
//  acknowledged commits are committed: a reply names a committed entry
//  leases: for a read under a lease there is no commit of a later term when it is answered, for a read without one none
//    when it arrived
//  distinct replicas: those of one configuration lie on distinct nodes
//  no two disjoint quorums: committed configurations follow each other by learners or through a joint one, one at a
//    time, and only after a commit in the leader's own term
//  voters hold what they count for: a vote or an acknowledgement comes from a replica that got its rows from genesis or
//    from a snapshot
//  data goes after the commit: of a configuration that excludes the replica
//  foreign rings: nothing that came from another ring has an effect
//  log time: stamps of a log never go back, and rise by boot clocks and a tenth at most, whatever wall clocks show
//
// Threads: one, virtual. Memory: one record per log entry of the run.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "tests/sim/machines/disk_state.hpp"
#include "tests/sim/machines/world.hpp"
#include "tests/sim/workload/transaction_steps.hpp"

namespace ringfs::sim {

// Terms and rounds that only forged messages carry.
inline constexpr dht::Term foreign_term = 1'000'000'000;

class Invariants {
 public:
  using DurableStates = std::function<void(const std::function<void(const Uuid& node, const DiskState& durable)>&)>;
  // `durable` visits the durable state of every node of the ring, running or not.
  Invariants(World& world, DurableStates durable) : world_(world), durable_(std::move(durable)) {}

  // A process has these entries in memory.
  void on_entries_made(PartitionId partition, const std::vector<dht::Entry>& entries);
  // A node hands a message to its network. `disk`: its durable state.
  void on_send(const dht::Envelope& envelope, const DiskState& disk);
  // A node answers a client. `disk`: what it handed to its operating system.
  void on_commit_reply(PartitionId partition, const BatchResult& result);
  // `committed_term`: the highest term of a commit that may have happened when the rows were read.
  void on_read_reply(const Uuid& node, PartitionId partition, const dht::ReadAnswer& answer, dht::Term committed_term,
                     const DiskState& disk);

  // A process starts from this disk.
  void on_start(const Uuid& node, const DiskState& durable);
  // The configuration of genesis (index 0), or of a snapshot that was installed.
  void on_committed_configuration(const Uuid& node, PartitionId partition, dht::LogIndex index,
                                  const dht::Configuration& configuration);
  void on_reset(const Uuid& node, PartitionId partition, std::optional<dht::LogIndex> had_data);
  void on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry);
  // The disk lost term and vote. What this replica said no longer counts against the node: it becomes another replica
  // before it speaks again.
  void on_hard_state_lost(const Uuid& node, PartitionId partition);
  // All boot clocks jumped forward by so much.
  void on_suspended(Duration length) { suspended_ += length; }
  void on_hard_state(const Uuid& node, PartitionId partition, const dht::HardState& before,
                     const dht::HardState& after);
  void on_applied(const Uuid& node, PartitionId partition, const AppliedEntry& applied);
  void on_installed(const dht::ReplicaId& replica, PartitionId partition, dht::LogIndex index, dht::Term term,
                    std::uint64_t state_hash);

  // Of a committed entry.
  dht::Term highest_term(PartitionId partition) const;
  dht::LogIndex highest_committed(PartitionId partition) const;
  // The newest leader that messages named; term 0: nobody yet.
  std::pair<dht::Term, Uuid> newest_leader(PartitionId partition) const;
  // The newest committed one; null: none yet.
  const dht::Configuration* newest_configuration(PartitionId partition) const;

 private:
  struct Known {  // one index of a partition's committed log
    dht::Term term = 0;
    std::uint64_t body = 0;   // 0: only announced
    std::uint64_t state = 0;  // 0: not applied anywhere
  };
  struct Partition {
    std::map<dht::Term, Uuid> leaders;
    std::map<std::pair<dht::LogIndex, dht::Term>, std::pair<dht::Term, std::uint64_t>>
        entries;  // -> previous term, body
    std::map<std::pair<dht::LogIndex, dht::Term>, std::pair<Stamp, TimePoint>>
        stamps;  // and when the entry was seen first
    std::map<dht::LogIndex, Known> committed;
    dht::LogIndex highest = 0;   // committed
    dht::Term highest_term = 0;  // of a committed entry
    std::map<std::pair<Uuid, std::uint64_t>, dht::LogIndex> executed;
    std::map<dht::Term, std::map<dht::LogIndex, dht::Term>>
        sent;  // by the leader of a term: the terms of the entries in its Appends
    std::map<dht::LogIndex, dht::Configuration> configurations;  // committed
    std::map<std::pair<dht::LogIndex, dht::Term>, dht::Configuration> proposed;
    std::set<dht::ReplicaId> filled;  // got their rows from genesis or a snapshot
    std::map<Uuid, dht::Term> said;   // the highest term that a node named as its own
  };

  void leader(PartitionId partition, dht::Term term, const Uuid& node);
  void committed_by_leader(PartitionId partition, dht::LogIndex index, dht::Term term, const DiskState& disk);
  void require_majority(PartitionId partition, dht::LogIndex index, dht::Term term);
  void term_sent(const dht::Envelope& envelope);
  void append_sent(const dht::Append& append);
  void acknowledged(const Uuid& source, const dht::AppendReply& reply, const DiskState& disk);
  void vote_sent(const dht::Envelope& envelope, const dht::VoteReply& reply, const DiskState& disk);
  void count_transitions(const AppliedEntry& applied);
  void violate(const char* invariant, PartitionId partition, const std::string& detail);
  void configuration_proposed(PartitionId partition, dht::LogIndex index, dht::Term term,
                              const dht::Configuration& configuration);
  void configuration_committed(PartitionId partition, dht::LogIndex index, const dht::Configuration& configuration);
  void check_stamp(PartitionId partition, dht::Term previous_term, const dht::Entry& entry);
  void check_distinct(PartitionId partition, const dht::Configuration& configuration);
  void check_filled(PartitionId partition, const dht::ReplicaId& replica, const char* what);
  std::vector<dht::Configuration> configurations_from(PartitionId partition, dht::LogIndex index) const;

  World& world_;
  Duration suspended_{0};
  DurableStates durable_;
  std::map<PartitionId, Partition> partitions_;
  std::map<std::tuple<Uuid, PartitionId, dht::Term>, Uuid> votes_;
  std::map<TransactionId, Uuid> coordinators_;
  std::map<Uuid, dht::Incarnation> incarnations_;  // that a node named last
};

}  // namespace ringfs::sim
