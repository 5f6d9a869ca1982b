// Effects: everything the core wants from the world. Whoever drives a Node takes them after each call and carries
// them out in the order below; that order is the safety contract (docs/design.md#the-protocol-has-no-io).
//
//  1. `messages` may leave at once (a leader's appends go out before its own sync).
//  2. `write` is one atomic, durable (fsynced) transaction. Writes happen in the order of their ids.
//  3. `messages_after_write` leave only when every write taken up to and including this one is durable. (No write in
//     these Effects: when all earlier ones are durable; at once if none is outstanding.)
//  4. Then Node::written(id). A write that fails is never retried: the process exits (docs/design.md#failed-writes).
//  5. `applies` go to the store in order, behind the writes taken before them. An apply need not be synced on its own,
//     but it is durable no later than any write that is carried out after it.
//  6. `reads`, `loads`, `snapshot_reads` see the state of at least every apply that was reported by Node::applied.
//
// A crash may lose any suffix of what is not durable, never the middle.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dht/core/protocol/messages.hpp"
#include "dht/core/protocol/operations.hpp"
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

using OperationId = std::uint64_t;
inline constexpr OperationId no_operation = 0;  // the core's own batches: nobody waits for the answer
using EffectId = std::uint64_t;

struct HardState {
  Term term = 0;
  Uuid vote;  // nil: none in this term
};

// A snapshot chunk that waits for the others.
struct StageChunk {
  std::uint64_t snapshot = 0;  // number 0 of another snapshot throws away what was staged
  std::uint32_t number = 0;
  SharedBytes rows;
  std::vector<SharedBytes> blobs;
};

// The staged rows become the group's rows.
struct InstallSnapshot {
  std::uint64_t snapshot = 0;
  LogIndex last_index = 0;
  Term last_term = 0;
  Stamp last_stamp;
  Configuration configuration;
  LogIndex configuration_index = 0;
};

// What of this replica's data on this disk cannot be read. The worse one has the higher number.
enum class Damage : std::uint8_t {
  none = 0,
  // Some rows. What it acknowledged is there: it counts until the others can do without it.
  rows = 1,
  // Entries or votes may be lost: it counts for nothing and says nothing until it is another replica.
  log = 2,
};

// This node's replica loses its rows, log and staged chunks and gets another identity; term and vote stay. Makes the
// group when there is none. Afterwards it is a learner that waits for its first snapshot, or the stub of a removed
// replica (docs/design.md#replica-identity).
struct ReplicaReset {
  LogIndex added = 0;           // ReplicaId::added
  Configuration configuration;  // whom to ask about the group; may be empty
  LogIndex configuration_index = 0;
};

// Changes to one group's durable state. Within one GroupWrite, in this order: reset, unstage, stage, install, hard
// state, truncate, append, compact, damage. A reset ends all damage, an install that of rows.
struct GroupWrite {
  PartitionId partition{};
  std::optional<ReplicaReset> reset;
  bool unstage = false;  // staged chunks go, if there are any
  std::optional<StageChunk> stage;
  std::optional<InstallSnapshot> install;  // log becomes empty with base (last_index, last_term); applied = last_index
  std::optional<HardState> hard_state;
  std::optional<LogIndex> truncate_from;    // this entry and all after it go
  std::vector<Entry> append;                // indices follow the log's last one without a gap
  std::optional<LogIndex> compact_through;  // entries up to and including this one go; <= applied
  std::optional<Damage> damage;             // that was found: a restart must know of it
};

struct NodeWrite {
  std::optional<Genesis> genesis;  // also creates this node's groups (dht/core/members/initial_groups.hpp)
  std::optional<MembersTable> table;
  std::vector<std::pair<Uuid, Incarnation>> peer_incarnations;
};

struct Write {
  EffectId id = 0;
  NodeWrite node;
  std::vector<GroupWrite> groups;
  bool empty() const;
  // Snapshot chunks and nothing else: a restart throws them away, so they need not be durable.
  bool only_stages() const;
};

// Apply committed entries (applied, through] of a group: batches through evaluate(), configurations and no-ops just
// move the index (configurations are remembered in the group's row). Answer: Node::applied with a result per batch
// entry.
struct Apply {
  PartitionId partition{};
  LogIndex through = 0;
};

struct AppliedBatch {
  LogIndex index = 0;
  BatchResult result;
};

struct ReadEffect {
  EffectId id = 0;
  PartitionId partition{};
  ReadRequest request;
};

// Bodies of log entries that are no longer in memory: as many as fit in max_bytes, at least one.
struct LoadEntries {
  EffectId id = 0;
  PartitionId partition{};
  LogIndex first = 0;
  LogIndex last = 0;
  std::size_t max_bytes = 0;
};

// The next snapshot chunk for a follower. Number 0 opens a read transaction on the group's rows. The store closes it
// after the last chunk, after close = true, or after 30 s without a request. A request after that, or with renew =
// true, goes on in a new transaction if nothing was applied since, so that the rows are the same; otherwise the answer
// is `unavailable`, and the sender starts over.
struct SnapshotRead {
  EffectId id = 0;
  PartitionId partition{};
  std::uint64_t snapshot = 0;
  std::uint32_t number = 0;
  bool close = false;  // no answer
  bool renew = false;  // the transaction is old: it keeps the store from its checkpoints
};

struct SnapshotData {
  LogIndex last_index = 0;  // applied index of the snapshot's transaction
  Term last_term = 0;
  Stamp last_stamp;
  Configuration configuration;
  LogIndex configuration_index = 0;
  SharedBytes rows;
  std::vector<SharedBytes> blobs;
  bool last = false;
};

struct Reply {
  OperationId operation = 0;
  OperationResult result;
};

// What happened, under a fixed name: for logs, .ring/events and the simulator's coverage.
struct Event {
  std::string name;    // "leader_elected", "step_down", "snapshot_installed", ...
  std::string detail;  // key=value pairs
};

struct Effects {
  std::vector<Envelope> messages;
  Write write;  // id 0: nothing to write
  std::vector<Envelope> messages_after_write;
  std::vector<Apply> applies;
  std::vector<ReadEffect> reads;
  std::vector<LoadEntries> loads;
  std::vector<SnapshotRead> snapshot_reads;
  std::vector<Reply> replies;
  std::vector<Recall> recalls;  // to the client's connection, if there is one
  std::vector<Event> events;
  TimePoint deadline = never;  // call tick() then, or earlier
};

}  // namespace ringfs::dht
