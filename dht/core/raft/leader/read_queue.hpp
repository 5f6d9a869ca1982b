// Reads on their way through a leader: under its lease, and by ReadIndex where the lease does not hold (dissertation,
// sections 6.4 and 6.4.1).
//
//   waiting   for the leader's own no-op to be applied: only then all that earlier leaders committed is in the rows
//   running   the store reads the rows
//   held      the lease did not hold when they were read: a heartbeat round that left afterwards must be acknowledged
//
// The rows are read first and the lease is checked afterwards: a lease that holds now held when they were read.
// Threads: none. Errors: overloaded beyond the limits; not_leader when leadership ends. Limits: ReadLimits and
// NodeLimits.
#pragma once

#include <deque>
#include <map>

#include "dht/core/raft/leader/leases.hpp"

namespace ringfs::dht {

struct ReadLimits {
  // Of one group: reads that wait for its leader's no-op.
  static constexpr std::size_t waiting = 4096;
};

class ReadQueue {
 public:
  struct Running {
    OperationId operation = 0;
    Duration lease{};                 // granted when it began
    std::vector<std::uint64_t> rows;  // for these
    RowLease wanted;                  // for what the scans find
    std::uint64_t mark = 0;           // when it began: Leases::mark()
  };

  ReadQueue(ReplicaState& state, GroupServices& services, const Followers& followers, Leases& leases)
      : state_(state), services_(services), followers_(followers), leases_(leases) {}

  // `no_op_applied`: rows may be read now.
  void begin(OperationId operation, ReadRequest request, const RowLease& lease, bool no_op_applied);
  void start_waiting();
  // The store has answered. No value: nobody waits for it.
  std::optional<Running> take(EffectId id);
  void answer(const Running& read, ReadAnswer answer);
  void release_held();  // those whose round a quorum has acknowledged
  void fail_all();      // leadership ended

 private:
  struct Waiting {
    OperationId operation = 0;
    ReadRequest request;
  };
  struct Held {
    OperationId operation = 0;
    ReadAnswer answer;
    std::uint64_t round = 0;  // this one or a later one must be acknowledged by a quorum
  };

  void run(Running read, ReadRequest request);

  ReplicaState& state_;
  GroupServices& services_;
  const Followers& followers_;
  Leases& leases_;
  std::deque<Waiting> waiting_;
  std::map<EffectId, Running> running_;
  std::deque<Held> held_;
};

}  // namespace ringfs::dht
