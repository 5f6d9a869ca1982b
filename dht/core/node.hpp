// One ring node's protocol as a pure state machine: routing (chord.hpp), membership (members_table.hpp) and the Raft
// groups of its partitions (group.hpp). No sockets, threads, clocks, files or logs in here (design 2).
//
// Drive it like this, from one thread: call one of receive/tick/submit/written/applied/..., then take_effects() and
// carry them out as effects.hpp demands. Errors: a bad peer or client gets a reply or is ignored; a broken promise of
// whoever drives it aborts. Limits: max_pending_operations, and a byte budget per group for proposals in flight.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/time.hpp"
#include "dht/core/effects.hpp"
#include "dht/core/genesis.hpp"

namespace ringfs {

inline constexpr std::size_t max_pending_operations = 20000;      // of one node: beyond it, overloaded
inline constexpr std::size_t max_group_pending_bytes = 64 << 20;  // proposals of one group that are not applied: beyond it, overloaded

// What a group's durable state was when the node stopped.
struct PersistedGroup {
  PartitionId partition{};
  HardState hard_state;
  ReplicaId replica;                // this node's own identity in the group
  bool holds_data = true;           // false since a ReplicaReset, until a snapshot is installed: no rows, no log
  Configuration configuration;      // the newest one applied or installed
  LogIndex configuration_index = 0;
  LogIndex applied = 0;
  LogIndex base_index = 0;          // the entry before the log's first one
  Term base_term = 0;
  std::vector<EntryInfo> log;       // base_index + 1, base_index + 2, ...
  std::vector<Entry> configuration_entries;  // entries of kind configuration above `applied`, with their bodies
  Stamp last_stamp;                 // of the log's last entry, or of the base
  // Found by this process or an earlier one. With Damage::log the log is left out (base_index = applied), and the hard state and the
  // configuration may be unknown (term 0, empty): only partition and replica must be right.
  Damage damage = Damage::none;
};

struct PersistedNode {
  Uuid id;
  Incarnation incarnation;  // of this run: already raised and fsynced
  std::optional<Genesis> genesis;
  std::optional<MembersTable> table;
  std::vector<std::pair<Uuid, Incarnation>> peer_incarnations;
  std::vector<PersistedGroup> groups;
};

// What genesis makes of one partition: its first configuration and rows (the members table in its own partition).
struct InitialGroup {
  PartitionId partition{};
  Configuration configuration;
  std::vector<InitialRow> rows;
};
// The groups of which `node` is a first member.
std::vector<InitialGroup> initial_groups(const Genesis& genesis, const Uuid& node);

struct NodeOptions {
  std::string address;  // of its own RPC server; announced when the table says otherwise
  std::string rest_address;
  // Test-only switches that take a guard away, so that the simulator can show that it would notice (design 10).
  struct Faults {
    bool send_vote_before_write = false;
    bool commit_earlier_terms = false;
    bool ignore_previous_term = false;
    bool ignore_lease = false;
    bool read_before_own_no_op = false;
    bool ignore_row_leases = false;
    bool prepare_ignores_row_leases = false;  // only a transaction's parts wait for nobody
    bool promise_held_rows = false;           // that a batch changed, although a pending transaction changes them, too
    bool count_learners = false;           // as if they voted
    bool overlapping_changes = false;      // of the members of one group
    bool skip_joint = false;               // from the old voters to the new ones in one step
    bool ignore_replica_identity = false;  // what a node's former lives acknowledged counts
    bool place_voters = false;             // a node makes itself a voter where the placement wants it
    bool ignore_rooms = false;             // a leader admits what the others have no room for
    bool refuse_frees = false;             // on full disks nothing is admitted, not even what gives room back
    bool drop_early = false;               // a replica's data goes before the configuration without it is committed
    bool lead_with_hung_disk = false;      // a leader whose disk hangs or is slow goes on
    bool vote_with_hung_disk = false;      // a node whose disk hangs asks for votes, gives them and takes leadership over
    bool hand_over_blindly = false;        // to whoever keeps up, whatever its disk does
    bool believe_own_clock = false;        // a leader stamps what its own wall clock says
    bool believe_last_node = false;        // the ring's time is that of whoever was heard last
  } faults;
  // Entries of a group that stay in the log behind the applied index, so that a follower that was away for a moment needs no
  // snapshot. 0: cut by size alone. The simulator makes it small, so that snapshots happen.
  LogIndex log_keep_entries = 0;
  // Of all groups' logs behind what they applied (log_budget.hpp). 0: max_node_log_bytes. The simulator makes it small, too.
  std::size_t log_budget_bytes = 0;
  // Of one append message, or one entry if that is larger. 0: max_append_bytes (progress.hpp). The simulator makes it small, so that
  // followers hold every beginning of what a leader has.
  std::size_t append_bytes = 0;
  // With nothing to replicate for so long, a leader beats less often. The simulator makes it small, so that both happen.
  Duration quiet_after = std::chrono::seconds(5);
};

class Node {
 public:
  Node(NodeOptions options, PersistedNode persisted, Random& random, Clock clock);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void receive(const Envelope& envelope, Clock clock);
  void tick(Clock clock);
  // The connection to or from a peer closed: its process may be gone. Speeds up elections, never shortens a lease.
  void peer_disconnected(const Uuid& peer, Clock clock);

  // Whether a peer that greets may be this node's peer at all. Errors: cloned_identity (an earlier incarnation than one that was heard, or
  // another one of the same number: its database was copied, or an older one put back).
  Status check_peer(const Uuid& peer, const Incarnation& incarnation, Clock clock);

  void submit(OperationId id, Operation operation, Clock clock);
  void cancel(OperationId id);  // its client went away: no reply wanted any more

  void written(EffectId write, Clock clock);
  void applied(PartitionId partition, LogIndex through, std::vector<AppliedBatch> results, Clock clock);
  // Nothing of an apply was carried out, because a row (Damage::rows) or an entry (Damage::log) that it needs cannot be read.
  void apply_failed(PartitionId partition, LogIndex through, Damage damage, Clock clock);
  void read_done(EffectId id, Result<ReadAnswer> answer, Clock clock);
  void loaded(EffectId id, Result<std::vector<Entry>> entries, Clock clock);
  void snapshot_read(EffectId id, Result<SnapshotData> data, Clock clock);
  // What this replica of the partition holds is damaged, and is written down as that. Its leader takes it out of the group and adds this
  // node again under another identity, with fresh data, as soon as the sound replicas are a majority without it.
  //   Damage::log   it steps down, votes for nobody, acknowledges nothing and sends its clients elsewhere, at once and whatever follows.
  //   Damage::rows  it goes on until then, for its log is sound: as a leader it hands over to a sound replica that keeps up, if there is one.
  // Reads, loads and snapshots that fail with corrupt say the same by themselves. An apply that is under way may still be answered or not.
  void take_out_of_service(PartitionId partition, Damage damage, Clock clock);
  // An entry of this replica's log cannot be read. Applied ones are in the rows: they are cut off. Otherwise Damage::log.
  void entry_damaged(PartitionId partition, LogIndex index, Clock clock);
  // What the disk has room for. Reading and voting go on whatever it is. Below ample the groups here are led elsewhere if somebody has room,
  // logs are cut to what is needed, and snapshots that come in are dropped.
  void set_room(Room room, Clock clock);

  Effects take_effects();

  const Uuid& id() const;
  const std::optional<Genesis>& genesis() const;
  const MembersTable& table() const;  // empty before genesis
  NodeStatus status(Clock clock) const;
  // What time it is, as the members agree (ring_time.hpp).
  Stamp ring_time(TimePoint now) const;
  // Partitions that this node leads with a lease, for the janitor.
  std::vector<PartitionId> led_partitions(Clock clock) const;
  // Up to where this node's replica has applied its log: while this stays, no row of the partition changes. 0: no replica here.
  LogIndex applied_index(PartitionId partition) const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs
