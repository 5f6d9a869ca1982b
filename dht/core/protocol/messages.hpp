// Messages between nodes. Plain structs; dht/net/wire/codec makes bytes of them.
//
// Every message travels in an Envelope whose header says who speaks to whom; Node::receive refuses a foreign ring,
// a wrong destination and an old or cloned incarnation (docs/design.md#node-identity).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dht/base/position.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"
#include "dht/core/protocol/raft_types.hpp"
#include "dht/core/protocol/room.hpp"

namespace ringfs::dht {

// A counter that is raised and fsynced at every start, and a random nonce: equal counters with other nonces are clones.
struct Incarnation {
  std::uint64_t counter = 0;
  std::uint64_t nonce = 0;
  friend bool operator==(const Incarnation&, const Incarnation&) = default;
};

struct Header {
  Uuid ring;
  Uuid source;
  Incarnation incarnation;  // of the source
  Uuid destination;
  std::uint64_t table_version = 0;  // the source's copy; whoever is behind fetches
  Stamp stamp = {};                 // the source's wall clock; zero: it does not say (ring_time.hpp)
};

// ---- Raft, one group each -------------------------------------------------------------------------

struct RaftHeader {
  PartitionId partition{};
  Term term = 0;
  LogIndex source_added = 0;       // ReplicaId::added of the sender
  LogIndex destination_added = 0;  // ReplicaId::added of the receiver as the sender knows it
};

struct RequestVote {
  RaftHeader raft;
  bool pre_vote = false;
  bool transfer = false;  // the leader asked for it (TimeoutNow): voters do not wait for the end of its lease
  LogIndex last_index = 0;
  Term last_term = 0;
};

inline constexpr std::size_t max_lease_clients = 64;                  // of one leader of one group
inline constexpr std::size_t max_lease_holders = 256;                 // with those of earlier leaders
inline constexpr Duration max_lease_left = std::chrono::seconds(60);  // longer ones are not believed

// A client that may hold row leases of earlier leaders (former_leases.hpp).
struct LeaseHolder {
  Uuid client;
  Duration left{};
};

struct VoteReply {
  RaftHeader raft;  // pre-vote granted: the term that was asked for; otherwise the voter's
  bool pre_vote = false;
  bool granted = false;
  std::vector<LeaseHolder> lease_holders = {};
  Duration leases_unknown = {};  // for so long anybody may hold row leases
};

struct Append {
  RaftHeader raft;
  LogIndex previous_index = 0;
  Term previous_term = 0;
  LogIndex commit = 0;
  std::vector<Entry> entries;
  std::uint64_t lease_version = 0;  // LeaseHolders::version when it left
};

struct AppendReply {
  RaftHeader raft;
  bool success = false;
  LogIndex match = 0;       // success: everything up to here agrees and is durable
  LogIndex rejected = 0;    // failure: the previous_index that did not match
  LogIndex hint_index = 0;  // failure: the leader may try from here (as in etcd)
  Term hint_term = 0;
  bool no_space = false;    // failure because the follower's disk is full
  bool absent = false;      // failure because there are no rows to build on: only a snapshot helps
  Room room = Room::ample;  // of the follower's node
};

struct TimeoutNow {
  RaftHeader raft;
};

struct SnapshotChunk {
  RaftHeader raft;
  std::uint64_t snapshot = 0;  // the sender's number for it; another number starts over
  LogIndex last_index = 0;     // of what the snapshot contains
  Term last_term = 0;
  Stamp last_stamp;           // the log that follows goes on from it
  std::string configuration;  // encode(Configuration) at last_index
  LogIndex configuration_index = 0;
  std::uint32_t number = 0;  // of this chunk, from 0
  SharedBytes rows;          // opaque to the core; the store reads them
  std::vector<SharedBytes> blobs;
  bool last = false;
};

struct SnapshotReply {
  RaftHeader raft;
  std::uint64_t snapshot = 0;
  std::uint32_t next = 0;  // chunk wanted next
  bool installed = false;
  bool refused = false;     // start over later
  Room room = Room::ample;  // of the follower's node
};

// A replica that has not heard of a leader for long asks the others whether it still is a member.
struct ReplicaQuery {
  RaftHeader raft;
};

// The receiver is not a member any more: a committed configuration, at or above the entry that added it, does not name
// it.
struct ReplicaRemoved {
  RaftHeader raft;
  std::string configuration;         // encode(Configuration)
  LogIndex configuration_index = 0;  // it is in force up to here at least
};

// ---- Heartbeats, one frame per node pair and interval (docs/design.md#heartbeats) ---------------------------------

// What a node says of itself in every heartbeat and in every answer to one (fitness.hpp).
struct FitnessReport {
  bool hangs = false;             // its disk has work and has not answered for a second
  bool slow = false;              // its disk is much slower than the others', or its loop comes late
  std::uint32_t answered_us = 0;  // since the last durable write; 0: not known
  std::uint32_t write_us = 0;     // how long a durable write takes of late; 0: not known
};

// Who may hold row leases that outlive the leader lease: those that the leader grants them to, and those whom earlier
// leaders may have granted some (former_leases.hpp).
struct LeaseHolders {
  std::uint64_t version = 0;  // grows within a term, with each client that comes in
  bool unknown = false;       // there may be others, of earlier leaders
  std::vector<Uuid> clients;  // ascending
  friend bool operator==(const LeaseHolders&, const LeaseHolders&) = default;
};

struct HeartbeatGroup {
  PartitionId partition{};
  Term term = 0;
  LogIndex commit = 0;
  LogIndex source_added = 0;
  LogIndex destination_added = 0;
  LeaseHolders leases = {};
  friend bool operator==(const HeartbeatGroup&, const HeartbeatGroup&) = default;
};

struct Heartbeat {
  std::uint64_t round = 0;             // the sender's number; the reply names it, the sender knows when it sent it
  std::uint64_t digest = 0;            // of the list of groups
  bool full = false;                   // groups present; otherwise the receiver uses the list that had this digest
  std::vector<HeartbeatGroup> groups;  // groups the sender leads and the receiver is a member of
  FitnessReport fitness = {};          // the sender's
  bool asks = false;  // it wants to hand groups over: the receiver should find out whether its own disk answers
};

struct HeartbeatReply {
  std::uint64_t round = 0;
  bool unknown_digest = false;  // send the full list; nothing was acknowledged
  Room room = Room::ample;      // of the answering node
  struct Refusal {
    PartitionId partition{};
    Term term = 0;         // the receiver's term for this group
    bool damaged = false;  // Damage::log: the replica must be replaced
  };
  std::vector<Refusal> refused;  // groups that do not acknowledge this leader; all others of the list do
  FitnessReport fitness = {};    // the receiver's
  // Of those that do: with Damage::rows, to be replaced when the others can do without them. Ascending.
  std::vector<PartitionId> damaged = {};
  // It remembers LeaseHolders and says them with its votes. Nodes of earlier builds do not.
  bool keeps_leases = false;
};

// ---- Chord (dht/core/chord/chord.hpp) --------------------------------------------------------------------

struct ChordPeer {
  Uuid node;
  Position token;
  friend auto operator<=>(const ChordPeer&, const ChordPeer&) = default;
};

struct ChordNeighboursRequest {
  std::uint64_t request = 0;
  Position token;  // of the receiver: which of its virtual nodes is asked
};

struct ChordNeighbours {
  std::uint64_t request = 0;
  bool member = false;  // false: no such token here, or not in the ring yet
  std::optional<ChordPeer> predecessor;
  std::vector<ChordPeer> successors;
};

struct ChordNotify {
  Position token;       // of the receiver
  ChordPeer candidate;  // who believes to be its predecessor
};

struct ChordFind {
  std::uint64_t request = 0;
  Position position;
};

struct ChordFound {
  std::uint64_t request = 0;
  bool member = false;
  bool final = false;  // peer is the successor of the position; otherwise ask peer next
  ChordPeer peer;
  Position through;  // the answerer's token that knew
};

// ---- The members table ----------------------------------------------------------------------------

struct TableRequest {};
struct TableReply {
  std::string table;  // encode(MembersTable)
};

// A member that has not been heard for a while is asked.
struct Ping {
  bool answer = false;
};

// What a node tells the replicas of the table's partition, once an interval (dht/core/members/keeper.hpp). Made under
// the table version of the header.
struct NodeReport {
  std::vector<PartitionId> led;  // while somebody joins or leaves
  std::vector<Uuid> unsettled;   // members that one of these groups still has to get (joining) or to lose (leaving)
  std::vector<Uuid> silent;      // members that it has not heard for replace_after
};

using Message = std::variant<RequestVote, VoteReply, Append, AppendReply, TimeoutNow, SnapshotChunk, SnapshotReply,
                             Heartbeat, HeartbeatReply, ChordNeighboursRequest, ChordNeighbours, ChordNotify, ChordFind,
                             ChordFound, TableRequest, TableReply, ReplicaQuery, ReplicaRemoved, Ping, NodeReport>;

struct Envelope {
  Header header;
  Message message;
};

}  // namespace ringfs::dht
