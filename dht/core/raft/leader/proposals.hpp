// Batches on their way into the leader's log: which are admitted, and which wait for row leases that are recalled
// (docs/design.md#row-leases, docs/design.md#full-disks).
//
// Threads: none. Errors: a batch that is refused never enters the log; the code says why. Limits: ProposalLimits,
// max_group_pending_bytes and NodeLimits.
#pragma once

#include <map>

#include "dht/core/raft/leader/transfer.hpp"

namespace ringfs::dht {

struct ProposalLimits {
  // Of one group: batches that wait for row leases.
  static constexpr std::size_t delayed = 4096;
};

struct Proposal {
  OperationId operation = 0;
  EncodedBatch batch;
  RowChanges changes;
  bool touches_members = false;  // it may change the members table
  bool needs_room = true;        // room_need.hpp
  TimePoint delayed_at{};        // when it began to wait for row leases
};

class Proposals {
 public:
  Proposals(ReplicaState& state, GroupServices& services, const Followers& followers, const Transfer& transfer,
            Commitments& commitments, TimePoint led_since)
      : state_(state),
        services_(services),
        followers_(followers),
        transfer_(transfer),
        commitments_(commitments),
        led_since_(led_since) {}
  Proposals(const Proposals&) = delete;
  Proposals& operator=(const Proposals&) = delete;
  ~Proposals();

  void propose(Proposal proposal);
  // A client holds no more what was recalled: what waited for that enters the log.
  void released(const Release& release);
  // What is still wanted back, from clients that may not have heard of it; once every heartbeat interval.
  void recall_again();
  bool any_delayed() const { return !delayed_.empty(); }
  TimePoint deadline() const { return delayed_.empty() ? never : delayed_.begin()->first; }
  void append_delayed();  // those whose row leases have ended
  void fail_all();        // leadership ended
  // For a client that needs what is damaged here: another replica will serve it, or all voters are known to be damaged.
  Error damage_error(std::string context) const;

 private:
  using Delayed = std::multimap<TimePoint, Proposal>;

  std::optional<Error> refusal(const Proposal& proposal) const;
  std::optional<Error> room_refusal(bool needs_room) const;
  void append(Proposal proposal);
  void append_free();
  TimePoint free_at(const RowChanges& changes) const;
  void recall(const RowChanges& changes);
  void recall_former(const Uuid& except);
  void send(const Uuid& client, RowLeases::Wanted wanted);
  bool may_delay(std::size_t bytes) const;
  void delay(TimePoint until, Proposal proposal);
  Proposal take(Delayed::iterator place);

  ReplicaState& state_;
  GroupServices& services_;
  const Followers& followers_;
  const Transfer& transfer_;
  Commitments& commitments_;
  const TimePoint led_since_;
  Delayed delayed_;
  std::size_t delayed_bytes_ = 0;
};

}  // namespace ringfs::dht
