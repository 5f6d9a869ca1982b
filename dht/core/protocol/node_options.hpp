// How one node behaves, and the switches that turn its guards off one by one.
//
// Threads: none. Units: bytes and entries as named.
#pragma once

#include <cstddef>
#include <string>

#include "dht/base/time.hpp"
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_pending_operations = 20000;  // of one node: beyond it, overloaded
// Proposals of one group that are not applied: beyond it, overloaded.
inline constexpr std::size_t max_group_pending_bytes = 64 << 20;

struct NodeOptions {
  std::string address;  // of its own RPC server; announced when the table says otherwise
  std::string rest_address;
  // Test-only switches that turn a guard off, so that the simulator can show that it would notice
  // (docs/design.md#proof-by-simulation).
  struct Faults {
    bool send_vote_before_write = false;
    bool commit_earlier_terms = false;
    bool ignore_previous_term = false;
    bool ignore_lease = false;
    bool read_before_own_no_op = false;
    bool ignore_row_leases = false;
    bool prepare_ignores_row_leases = false;  // a transaction's parts wait for nobody, other batches do
    bool grant_unnamed = false;            // row leases that outlive the leader lease, to clients that no quorum knows
    bool forget_former_leases = false;     // a new leader does not ask who holds row leases of earlier ones
    bool lease_held_rows = false;          // that a batch changed, although a pending transaction changes them, too
    bool count_learners = false;           // as voters
    bool overlapping_changes = false;      // of the members of one group
    bool skip_joint = false;               // from the old voters to the new ones in one step
    bool ignore_replica_identity = false;  // what a node's former lives acknowledged counts
    bool place_voters = false;             // a node makes itself a voter where the placement wants it
    bool ignore_rooms = false;             // a leader admits what the others have no room for
    bool refuse_frees = false;             // on full disks nothing is admitted, not even what gives room back
    bool drop_early = false;               // a replica's data goes before the configuration without it is committed
    bool lead_with_hung_disk = false;      // a leader whose disk hangs or is slow goes on
    bool vote_with_hung_disk = false;  // a node whose disk hangs asks for votes, gives them and takes leadership over
    bool hand_over_blindly = false;    // to whoever keeps up, whatever its disk does
    bool believe_own_clock = false;    // a leader stamps what its own wall clock says
    bool believe_last_node = false;    // the ring's time is that of whoever was heard last
  } faults;
  // Entries of a group that stay in the log behind the applied index, so that a follower that was away for a moment
  // needs no snapshot. 0: compacted by size alone. The simulator makes it small, so that snapshots happen.
  LogIndex log_keep_entries = 0;
  // Of all groups' logs behind what they applied (log_budget.hpp). 0: max_node_log_bytes. The simulator makes it small,
  // too.
  std::size_t log_budget_bytes = 0;
  // Of one append message, or one entry if that is larger. 0: max_append_bytes (progress.hpp). The simulator makes it
  // small, so that followers stop at every place of a leader's log.
  std::size_t append_bytes = 0;
  // With nothing to replicate for so long, a leader beats less often. The simulator makes it small, so that both
  // happen.
  Duration quiet_after = std::chrono::seconds(5);
};

}  // namespace ringfs::dht
