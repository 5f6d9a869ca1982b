// One ring node's protocol as a pure state machine: Chord, the members table, and the Raft groups of its partitions. No
// sockets, threads, clocks, files or logs in here (docs/design.md#the-protocol-has-no-io).
//
// Node passes each message, operation and completion to the part that owns the mechanism, and says in which order a
// turn ends. The parts share GroupServices (dht/core/raft) and KnownRing.
//
// Drive it like this, from one thread: call one of receive/tick/submit/written/applied/..., then take_effects() and
// carry them out as effects.hpp demands. Errors: a bad peer or client gets a reply or is ignored; a driver that
// breaks the contract of effects.hpp aborts the process. Limits: max_pending_operations, and a byte budget per group
// for proposals in flight.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/time.hpp"
#include "dht/core/chord/chord.hpp"
#include "dht/core/members/initial_groups.hpp"
#include "dht/core/node/creation.hpp"
#include "dht/core/node/fitness_watch.hpp"
#include "dht/core/node/groups.hpp"
#include "dht/core/node/heartbeat_rounds.hpp"
#include "dht/core/node/known_ring.hpp"
#include "dht/core/node/members_watch.hpp"
#include "dht/core/node/operations.hpp"
#include "dht/core/node/peer_identities.hpp"
#include "dht/core/node/table_copy.hpp"
#include "dht/core/node/time_keeper.hpp"
#include "dht/core/protocol/effects.hpp"
#include "dht/core/protocol/node_options.hpp"
#include "dht/core/protocol/persisted_state.hpp"
#include "dht/core/raft/outbox.hpp"

namespace ringfs::dht {

class Node {
 public:
  Node(const NodeOptions& options, PersistedNode persisted, Random& random, Clock clock);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void receive(const Envelope& envelope, Clock clock);
  void tick(Clock clock);
  // The connection to or from a peer closed: its process may be gone. Speeds up elections, never shortens a lease.
  void peer_disconnected(const Uuid& peer, Clock clock);

  // Whether the peer of a handshake may be this node's peer. Errors: cloned_identity (an earlier incarnation than one
  // that was heard, or another one with the same counter: its database was copied, or an older one was restored).
  Status check_peer(const Uuid& peer, const Incarnation& incarnation, Clock clock);

  void submit(OperationId id, Operation operation, Clock clock);
  void released(const Release& release, Clock clock);  // a client's answer to a recall
  void cancel(OperationId id) { out_.cancel(id); }     // its client went away: no reply is wanted any more

  void written(EffectId write, Clock clock);
  void applied(PartitionId partition, LogIndex through, const std::vector<AppliedBatch>& results, Clock clock);
  // Nothing of an apply was carried out, because a row (Damage::rows) or an entry (Damage::log) that it needs cannot be
  // read.
  void apply_failed(PartitionId partition, LogIndex through, Damage damage, Clock clock);
  void read_done(EffectId id, Result<ReadAnswer> answer, Clock clock);
  void loaded(EffectId id, Result<std::vector<Entry>> entries, Clock clock);
  void snapshot_read(EffectId id, Result<SnapshotData> data, Clock clock);
  // This node's replica of the partition is damaged; that is written down. Its leader takes it out of the group and
  // adds this node again under another identity, with fresh data, as soon as the sound replicas are a majority without
  // it.
  //
  //   Damage::log   At once it steps down, votes for nobody, acknowledges nothing and sends its clients elsewhere.
  //   Damage::rows  Its log is sound, so it goes on until it is replaced. As a leader it hands over to a sound replica
  //                 that keeps up, if there is one.
  //
  // A read, load or snapshot read that fails with corrupt has the same effect. An apply that is under way may be
  // answered or not.
  void mark_damaged(PartitionId partition, Damage damage, Clock clock);
  // An entry of this replica's log cannot be read. An applied one is in the rows: the log is compacted through it.
  // Otherwise it is Damage::log.
  void entry_damaged(PartitionId partition, LogIndex index, Clock clock);
  // What the disk has room for. Reads and votes go on in any case. Below ample the groups here are led elsewhere if
  // another node has room, logs are compacted to what is needed, and incoming snapshots are dropped.
  void set_room(Room room, Clock clock);

  Effects take_effects();

  const Uuid& id() const { return services_.self; }
  const std::optional<Genesis>& genesis() const { return ring_.genesis; }
  const MembersTable& table() const { return ring_.table; }  // empty before genesis
  NodeStatus status(Clock clock);
  const LeaseCounters& lease_counters() const { return services_.lease_counters; }
  // When it was last certain that no newer members table was committed (members_watch.hpp). Without a ring: now.
  TimePoint table_confirmed_at(Clock clock);
  // What time it is, as the members agree (ring_time.hpp).
  Stamp ring_time(TimePoint now) const { return time_.at(now); }
  // Partitions that this node leads with a lease, for the janitor.
  std::vector<PartitionId> led_partitions(Clock clock);
  // Up to where this node's replica has applied its log: while it does not grow, no row of the partition changes. 0: no
  // replica here.
  LogIndex applied_index(PartitionId partition) const;

 private:
  TimePoint now() const { return services_.clock.now; }
  void start_ring();
  void start_groups(const std::vector<PersistedGroup>& groups, bool created);
  void enter_ring(Creation::Taken taken);
  void set_table(MembersTable table);
  void adopt(MembersTable table, const char* from);
  Group* new_replica(const RaftHeader& header);
  template <class ToGroup>
  void to_group(const Uuid& source, const ToGroup& message);
  Group* claim(EffectId read);
  NodeStatus current_status() const;
  TimePoint next_deadline() const;

  const Incarnation incarnation_;
  Outbox out_;
  GroupServices services_;
  KnownRing ring_;
  std::optional<Chord> chord_;  // since this node belongs to a ring
  Groups groups_;
  PeerIdentities identities_;
  FitnessWatch fitness_;
  HeartbeatRounds heartbeats_;
  TimeKeeper time_;
  TableCopy table_copy_;
  MembersWatch members_;
  Creation creation_;
  ClientOperations operations_;
  std::set<Uuid> disconnected_;  // peers, since they were heard last
  TimePoint tick_due_ = never;   // the deadline handed out last
};

}  // namespace ringfs::dht
