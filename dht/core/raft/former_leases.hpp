// Row leases that earlier leaders of a group granted and that may still hold (docs/design.md#row-leases).
//
// A row lease is much longer than the leader lease, so that a client need not ask all the time. Therefore the next
// leader must know who may hold one. A leader names the clients in its heartbeats before it grants them such leases
// (leader/leases.hpp); a quorum has acknowledged that. Every voter remembers it, and says it with its vote. So whoever
// is elected has heard of each holder from one of its voters: two quorums meet. A batch waits until all of them but its
// own client have released what they hold, or until the last lease has ended.
//
//   who                       what it knows
//   follower                  the clients that its leader named last; they may hold leases for `longest` from then on
//   process that starts anew  nothing: anybody may hold a lease until `longest` has passed
//   replica that becomes a    likewise, or until its leader names them; what was named before the entry that made it a
//   voter                     voter does not count (Append::lease_version)
//   leader that ends          those to whom it granted leases itself
//   new leader                all that, and what its voters say (VoteReply)
//
// Threads: none. Errors: none. Limits: max_lease_holders; with more of them anybody may hold a lease.
#pragma once

#include <map>
#include <vector>

#include "dht/core/protocol/messages.hpp"
#include "dht/core/rows/row_leases.hpp"

namespace ringfs::dht {

class FormerLeases {
 public:
  // `longest`: from when a follower hears its leader to the end of the last lease that this leader may have granted
  // then. `created`: there was no earlier leader.
  FormerLeases(bool created, Duration longest, TimePoint now);

  // As a follower: its leader's heartbeat and appends, in this term.
  void heard(Term term, const LeaseHolders& holders, TimePoint now);
  void appended(Term term, std::uint64_t lease_version);
  void became_voter(TimePoint now);

  // As a leader that ends.
  void granted(const std::vector<RowLeases::Holder>& holders);
  // As a candidate: what a voter says.
  void learn(const std::vector<LeaseHolder>& holders, Duration unknown, TimePoint now);

  // What is left now: for a vote, and for the heartbeats of a leader.
  std::vector<LeaseHolder> left(TimePoint now) const;
  Duration unknown(TimePoint now) const;

  // When a batch of this client may enter the log if nobody releases anything; `now` or earlier: at once.
  TimePoint free_at(const Uuid& client, TimePoint now) const;
  void released(const Uuid& client) { until_.erase(client); }

 private:
  void follow(Term term);
  void bound();

  const Duration longest_;
  std::map<Uuid, TimePoint> until_;
  TimePoint started_until_ = TimePoint::min();  // nothing is known of what was granted before this process
  TimePoint unknown_until_ = TimePoint::min();  // of what was granted before this replica was a voter, or by others
  Term term_ = 0;                               // in which the following was heard
  std::uint64_t least_version_ = 0;             // what the leader names counts from this version on
  bool no_version_ = false;                     // none is known yet
};

}  // namespace ringfs::dht
