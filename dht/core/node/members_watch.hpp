// Who answers, what this node's groups still have to move, and what the leader of the table's partition makes of it
// (docs/design.md#members-table).
//
// Once a report_interval each node tells the replicas of the table's partition what it knows; the leader's keeper
// (dht/core/members/keeper.hpp) says which rows should change, and they are proposed as a batch. Threads: none.
#pragma once

#include <map>

#include "dht/core/members/keeper.hpp"
#include "dht/core/node/groups.hpp"
#include "dht/core/node/known_ring.hpp"

namespace ringfs::dht {

class MembersWatch {
 public:
  // `first_change`: the numbers of its batches are above it, and above those of earlier lives of this node.
  MembersWatch(GroupServices& services, const KnownRing& ring, Groups& groups, std::uint64_t first_change)
      : services_(services), ring_(ring), groups_(groups), last_change_(first_change) {}

  void start();  // the ring is known
  void set_table(const MembersTable& table);
  // `version`: of its copy of the table.
  void heard(const Uuid& node, std::uint64_t version);
  void on(const Header& header, const Ping& message);
  void on(const Header& header, const NodeReport& message);

  // When it was last certain that no newer table was committed: now, if this node leads the table's partition with a
  // lease; otherwise when a majority of those that should hold it had last said that they know none. Before anybody was
  // heard: when this node started.
  TimePoint table_confirmed_at() const;

  void report();  // at the deadline
  TimePoint deadline() const { return report_at_; }

 private:
  TimePoint now() const { return services_.clock.now; }
  struct Heard {
    TimePoint at{};
    TimePoint agreed{};  // its table was not newer than this node's
  };
  Heard last_heard(const Uuid& node) const;
  NodeReport make_report() const;
  void change_table(Group& home);

  GroupServices& services_;
  const KnownRing& ring_;
  Groups& groups_;
  MembersKeeper keeper_;
  std::map<Uuid, Heard> heard_;  // members of the table
  TimePoint started_at_{};
  TimePoint report_at_ = never;
  std::uint64_t last_change_;  // sequence of the own batches
  TimePoint next_change_ = TimePoint::min();
};

}  // namespace ringfs::dht
