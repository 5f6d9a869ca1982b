// An operator who adds and removes nodes during the faults: it commits rows of the members table as the commands `add`
// and `remove` do, through a simulated client.
//
// Threads: one, virtual.
#pragma once

#include <vector>

#include "dht/core/members/change.hpp"
#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

struct MembersOptions {
  bool active = false;
  Duration pause_low = std::chrono::milliseconds(300), pause_high = std::chrono::seconds(4);
  double back_again = 0.25;      // share of nodes that come back at once, while late messages are under way
  bool grow_and_shrink = false;  // first 1, 2, 3, 2, 1 nodes, then at random
  Duration operation_timeout = std::chrono::seconds(5);
};

class MembersOperator {
 public:
  MembersOperator(Cluster& cluster, MembersOptions options)
      : cluster_(cluster), world_(cluster.world()), options_(options) {}
  MembersOperator(const MembersOperator&) = delete;
  MembersOperator& operator=(const MembersOperator&) = delete;

  // Makes changes until stop(). May be destroyed at any suspension.
  Task<void> work(ObjectStore* store);
  void stop() { stopped_ = true; }

 private:
  Task<void> change(ObjectStore* store);
  Task<void> grow_and_shrink(ObjectStore* store);
  Task<Result<dht::MembersTable>> read_table(ObjectStore* store);
  Task<bool> commit(ObjectStore* store, dht::MembersChange change);
  // Before the table `after` takes the place of version `from`. True at once where three copies stay; otherwise when no
  // copy is damaged any more. False: not in time.
  Task<bool> copies_are_sound(ObjectStore* store, std::uint64_t from, dht::MembersTable after);
  Task<void> join(ObjectStore* store, dht::MembersTable table);
  Task<void> leave(ObjectStore* store, dht::MembersTable table);
  Task<void> come_back(ObjectStore* store, dht::MembersTable table);
  Task<void> replicate(ObjectStore* store, dht::MembersTable table);
  dht::Member joining(const dht::MembersTable& table, const SimNode& node) const;
  // Gives the node the ring's genesis and table until it has taken them.
  void affiliate(unsigned index);

  Cluster& cluster_;
  World& world_;
  const MembersOptions options_;
  bool stopped_ = false;
};

}  // namespace ringfs::sim
