// Compacts a log: its applied beginning goes (docs/design.md#log-compaction; Raft paper, section 7).
//
// Only below the applied index. The compaction is a write, behind which the applies before it are durable. Threads:
// none. Errors: none. Limits: LogLimits; of a node's logs together: log_budget.hpp.
#pragma once

#include "dht/core/raft/leader/followers.hpp"

namespace ringfs::dht {

// Of the applied part of one log.
struct LogLimits {
  // Beyond either of these it is compacted to half of them ...
  static constexpr std::size_t entries = 4096;
  static constexpr std::size_t bytes = 8 << 20;
  // ... but a leader keeps what a slow follower that answers still needs, up to these.
  static constexpr std::size_t tail_entries = 20000;
  static constexpr std::size_t tail_bytes = 64 << 20;
  // The node's budget spares what a follower needs that answered so lately: it restarts.
  static constexpr Duration restart = std::chrono::seconds(30);
  // For the node's budget, in one turn: a transaction that nobody notices.
  static constexpr std::size_t turn_bytes = 16 << 20;
};

// `followers`: those of a leader; null: this replica does not lead, and nobody needs entries from it.
void compact_when_large(ReplicaState& state, GroupServices& services, const Followers* followers);
void compact_for_budget(ReplicaState& state, GroupServices& services, const Followers* followers,
                        const LogBudget::Compaction& wanted);
// What is applied is in the rows: an entry of it that is damaged goes with all of them.
void compact_for_damage(ReplicaState& state);

}  // namespace ringfs::dht
