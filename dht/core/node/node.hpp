// One ring node's protocol as a pure state machine: routing (chord.hpp), membership (members_table.hpp) and the Raft
// groups of its partitions (group.hpp). No sockets, threads, clocks, files or logs in here
// (docs/design.md#the-protocol-has-no-io).
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
#include "dht/core/protocol/effects.hpp"
#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/node_options.hpp"
#include "dht/core/protocol/persisted_state.hpp"

namespace ringfs::dht {

// What genesis makes of one partition: its first configuration and rows (the members table in its own partition).
struct InitialGroup {
  PartitionId partition{};
  Configuration configuration;
  std::vector<InitialRow> rows;
};
// The groups of which `node` is a first member.
std::vector<InitialGroup> initial_groups(const Genesis& genesis, const Uuid& node);

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

  // Whether a peer that greets may be this node's peer at all. Errors: cloned_identity (an earlier incarnation than one
  // that was heard, or another one of the same number: its database was copied, or an older one put back).
  Status check_peer(const Uuid& peer, const Incarnation& incarnation, Clock clock);

  void submit(OperationId id, Operation operation, Clock clock);
  void cancel(OperationId id);  // its client went away: no reply wanted any more

  void written(EffectId write, Clock clock);
  void applied(PartitionId partition, LogIndex through, std::vector<AppliedBatch> results, Clock clock);
  // Nothing of an apply was carried out, because a row (Damage::rows) or an entry (Damage::log) that it needs cannot be
  // read.
  void apply_failed(PartitionId partition, LogIndex through, Damage damage, Clock clock);
  void read_done(EffectId id, Result<ReadAnswer> answer, Clock clock);
  void loaded(EffectId id, Result<std::vector<Entry>> entries, Clock clock);
  void snapshot_read(EffectId id, Result<SnapshotData> data, Clock clock);
  // What this replica of the partition holds is damaged, and is written down as that. Its leader takes it out of the
  // group and adds this node again under another identity, with fresh data, as soon as the sound replicas are a
  // majority without it.
  //   Damage::log   it steps down, votes for nobody, acknowledges nothing and sends its clients elsewhere, at once and
  //   whatever follows. Damage::rows  it goes on until then, for its log is sound: as a leader it hands over to a sound
  //   replica that keeps up, if there is one.
  // Reads, loads and snapshots that fail with corrupt say the same by themselves. An apply that is under way may still
  // be answered or not.
  void mark_damaged(PartitionId partition, Damage damage, Clock clock);
  // An entry of this replica's log cannot be read. Applied ones are in the rows: they are cut off. Otherwise
  // Damage::log.
  void entry_damaged(PartitionId partition, LogIndex index, Clock clock);
  // What the disk has room for. Reading and voting go on whatever it is. Below ample the groups here are led elsewhere
  // if somebody has room, logs are cut to what is needed, and snapshots that come in are dropped.
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
  // Up to where this node's replica has applied its log: while this stays, no row of the partition changes. 0: no
  // replica here.
  LogIndex applied_index(PartitionId partition) const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::dht
