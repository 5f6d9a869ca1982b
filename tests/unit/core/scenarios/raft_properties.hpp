// What must hold in every Raft scenario at every step, whatever its trace says: figure 3 of the Raft paper, leases,
// reads, and that data goes only after a committed configuration excludes its replica.
//
// Threads: none. Looks at one partition, at what the nodes say of themselves and at what their disks hold.
#pragma once

#include <map>
#include <string>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {

class RaftProperties {
 public:
  RaftProperties(Cluster& cluster, PartitionId partition) : cluster_(cluster), partition_(partition) {}

  // After anything that this node did.
  void check(unsigned node);
  // A read was answered with a row of this version, when one of `acknowledged` had been acknowledged before it was
  // asked for.
  void check_read(std::uint64_t version, std::uint64_t acknowledged);
  // The first thing that broke.
  const std::string& broken() const { return broken_; }

 private:
  struct EntryContent {
    Term term = 0;
    EntryKind kind{};
    std::string head;
    friend bool operator==(const EntryContent&, const EntryContent&) = default;
  };
  static EntryContent content_of(const Entry& entry) { return {entry.term, entry.kind, entry.head.str()}; }

  void check_terms(unsigned node, const GroupStatus& status);
  void check_log_matching(const StoredGroup& stored);
  void check_data(unsigned node, const StoredGroup& stored);
  void check_rows(unsigned node, const StoredGroup& stored);
  void check_committed(const GroupStatus& status, const StoredGroup& stored);
  void check_leader_completeness(const GroupStatus& status, const StoredGroup& stored);
  void check_leases(unsigned node, const GroupStatus& status);
  void breaks(const std::string& what);

  Cluster& cluster_;
  const PartitionId partition_;
  std::map<Term, unsigned> leaders_;
  std::map<unsigned, Term> terms_;
  std::map<std::pair<unsigned, Term>, Uuid> votes_;
  std::map<std::pair<LogIndex, Term>, std::pair<EntryContent, Term>> entries_;  // and the term of the one before
  std::map<LogIndex, EntryContent> committed_;
  std::map<LogIndex, Term> committed_in_;   // the term of the leader that is the first to know
  std::map<unsigned, LogIndex> with_data_;  // nodes that hold rows, as which replica
  std::string broken_;
};

}  // namespace ringfs::dht::test
