// The transfer of leadership (dissertation, section 3.10): when this leader hands over, to whom, and what it does until
// somebody has taken over.
//
// Leadership drifts to the first of the preference list, where Chord lookups end, once that node has kept up for a
// while. From a leader that is being removed, is damaged, has a full disk or is not fit to lead it goes to anybody who
// can take it. Three steps: no new row leases are granted until the brief ones have ended (handing_over); nothing is
// proposed until the target has the whole log (under_way); TimeoutNow, after which this leader takes no lease any more
// in its term (lease_void).
//
// A leader whose disk hangs cannot enter another term, for a vote must be written first. It hands over to a voter whose
// disk is known to answer; if none takes it, it stops leading, so that the others elect one of themselves. If they
// could not, it stays: where all nodes share one disk, another leader is no better. A hung write has not failed, so
// nothing that depends on it is sent, and a node whose disk hangs neither asks for votes nor gives any.
//
// Threads: none. Errors: none. Limits: TransferLimits.
#pragma once

#include "dht/core/raft/leader/commitments.hpp"
#include "dht/core/raft/leader/transfer_targets.hpp"

namespace ringfs::dht {

struct TransferLimits {
  // The preferred primary must answer and keep up for so long before it gets leadership.
  static constexpr Duration steady = std::chrono::seconds(2);
  // At most as much more, at random: it spreads the transfers of a node that came back.
  static constexpr Duration spread = std::chrono::seconds(1);
  // After an attempt that failed, until the next one.
  static constexpr Duration pause = std::chrono::seconds(10);
};

// What becomes of the leader.
enum class Verdict : std::uint8_t {
  lead_on,
  step_down,  // it becomes a follower
  give_way,   // likewise, and the others stand first
  stand,      // it enters another term, for which nobody need wait out its lease
};

class Transfer {
 public:
  Transfer(ReplicaState& state, GroupServices& services, const Followers& followers, const TransferTargets& targets,
           Commitments& commitments)
      : state_(state), services_(services), followers_(followers), targets_(targets), commitments_(commitments) {}

  // Begins one, goes on with one or gives one up. `leaving`: this leader is no voter of the configuration that follows
  // the joint one. `batches_wait`: for the ends of row leases, in this term.
  [[nodiscard]] Verdict step(bool leaving, bool batches_wait);
  // TimeoutNow, when the target has the whole log and no brief row lease is left.
  void send_if_ready(bool batches_wait);
  void peer_restarted() { preferred_since_.reset(); }

  bool under_way() const { return target_.has_value(); }
  bool handing_over() const { return handing_over_; }
  bool lease_void() const { return lease_void_; }  // TimeoutNow was sent in this term
  // When step() should come again, beside every interval: brief row leases end.
  TimePoint deadline() const { return handing_over_ && !target_ ? commitments_.brief_leases_until : never; }

 private:
  struct Target {
    ReplicaId replica;
    TimePoint deadline{};
    bool sent = false;
  };

  TimePoint now() const { return services_.now(); }
  Verdict wait_for_target();
  std::optional<ReplicaId> choose(bool leaving);
  std::optional<ReplicaId> steady_primary();
  void ask_about_disks();
  Verdict give_up_leading();
  void send_timeout_now();

  ReplicaState& state_;
  GroupServices& services_;
  const Followers& followers_;
  const TransferTargets& targets_;
  Commitments& commitments_;

  std::optional<Target> target_;
  std::optional<TimePoint> preferred_since_;  // the preferred primary is caught up and answers
  bool handing_over_ = false;
  bool lease_void_ = false;
};

}  // namespace ringfs::dht
