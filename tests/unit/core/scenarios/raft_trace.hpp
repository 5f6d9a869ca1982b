// What a Raft scenario shows: the messages of one partition's group and how its replicas change, a line each.
//
// Nodes are S1, S2, ... as in the figures of the paper; S1 is the preferred primary. An entry is written index/tTERM.
// Threads: none.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {

class RaftTrace {
 public:
  RaftTrace(Cluster& cluster, PartitionId partition, std::vector<unsigned> machines)
      : cluster_(cluster), partition_(partition), machines_(std::move(machines)) {}

  void line(const std::string& text) {
    if (!quiet) lines_.push_back(text);
  }
  std::vector<std::string> take() { return std::exchange(lines_, {}); }
  bool quiet = false;
  std::set<std::string> hidden;           // kinds of messages
  std::optional<unsigned> heartbeats_of;  // this node's, and the answers to them; otherwise none

  void message(const Envelope& envelope, bool arrives);
  void event(unsigned machine, const Event& event);
  // Whatever is otherwise than at the last look.
  void look(unsigned machine);

  // S1, S2, ... and machines. No value: there is no such node.
  std::optional<unsigned> machine_of(const std::string& name) const;
  std::string name_of(unsigned machine) const;
  std::string name_of(const Uuid& node) const { return name_of(number_of(node)); }
  void add(unsigned machine) { machines_.push_back(machine); }
  const std::vector<unsigned>& machines() const { return machines_; }

  std::string text_of(const Configuration& configuration) const;
  std::string text_of(const Entry& entry) const;

  // The name of a message that scenarios know; empty: it is not of the partition.
  static std::string kind_of(const Message& message, PartitionId partition);
  static bool is_kind(const std::string& name);

 private:
  struct Seen {
    Role role{};
    Term term = 0;
    std::optional<Uuid> leader;
    Uuid vote;
    Term vote_term = 0;
    LogIndex commit = 0;
    bool lease = false;
    bool replica = false;
    bool holds_data = false;
    LogIndex added = 0;
    std::string configuration;
  };
  Seen seen_of(unsigned machine);
  void role_changed(const std::string& name, const Seen& before, const Seen& now);
  std::string names_of(const std::vector<ReplicaId>& replicas) const;

  std::string describe(const RequestVote& message) const;
  std::string describe(const VoteReply& message) const;
  std::string describe(const Append& message) const;
  std::string describe(const AppendReply& message) const;
  std::string describe(const TimeoutNow& message) const;
  std::string describe(const SnapshotChunk& message) const;
  std::string describe(const SnapshotReply& message) const;
  std::string describe(const ReplicaQuery& message) const;
  std::string describe(const ReplicaRemoved& message) const;
  std::string describe(const Heartbeat& message) const;
  std::string describe(const HeartbeatReply& message) const;
  template <class Other>
  std::string describe(const Other&) const {
    return "";
  }

  Cluster& cluster_;
  const PartitionId partition_;
  std::vector<unsigned> machines_;  // of S1, S2, ...
  std::map<unsigned, Seen> seen_;
  std::vector<std::string> lines_;
};

const char* role_name(Role role);

}  // namespace ringfs::dht::test
