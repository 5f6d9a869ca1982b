// Operations: what a client (a mount, a gateway, the command line) asks of a node, and what it answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/rows.hpp"
#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

// A client that remembers what it reads asks for a lease on the rows (row_leases.hpp).
struct RowLease {
  Uuid client;          // the one of its batches
  Duration duration{};  // zero: none wanted
};

// A leader wants leases back: the client forgets the rows, then says Release. Everything: of the partition, whoever
// granted it. May come twice, late, or not at all.
struct Recall {
  Uuid client;
  PartitionId partition{};
  Term term = 0;
  std::uint64_t number = 0;
  bool everything = false;
  std::vector<std::uint64_t> rows;  // row_hash(); empty with everything
};

// The answer to a recall, with its values: nothing of it is read from memory any more, and nothing that was asked for
// before is remembered. Term 0 with everything: of all partitions, for the client ends.
using Release = Recall;

inline constexpr std::size_t max_recalled_rows = 8192;  // of one recall; beyond it everything is recalled

struct ReadOperation {
  PartitionId partition{};
  ReadRequest request;
  RowLease lease = {};  // for the gets
};

struct CommitOperation {
  PartitionId partition{};
  EncodedBatch batch;
  Duration lease{};  // on the rows that it changes; zero: none is wanted
};

struct FindOperation {  // one step of an iterative Chord lookup
  Position position;
};

struct TableOperation {};  // the node's newest copy and its genesis

struct StatusOperation {
  // Newer events than this one (NodeEvent::sequence) are wanted, too.
  std::optional<std::uint64_t> events_after;
};

struct CreateOperation {  // make this waiting node a first node of a ring
  Genesis genesis;
};

// Make this waiting node a member of a ring that exists. Its row, `joining`, is committed and in the table before.
struct JoinOperation {
  Genesis genesis;
  MembersTable table;
};

// A client that may only read has met a transaction's lock in this partition: the node ends the transaction if that is
// possible (dht/net/client/lock_resolver.hpp). Carried out by whoever holds a client of the ring, not by the protocol.
struct SettleOperation {
  PartitionId partition{};
  RecordRef lock;
};

using Operation = std::variant<ReadOperation, CommitOperation, FindOperation, TableOperation, StatusOperation,
                               CreateOperation, JoinOperation, SettleOperation>;

struct FindReply {
  bool final = false;  // node holds the successor token of the position; otherwise ask it next
  Uuid node;
  std::string address;
  Position token;    // of that node
  Position through;  // the answerer's token that knew
};

struct TableAnswer {
  std::optional<Genesis> genesis;  // absent: the node waits unaffiliated
  MembersTable table;
};

enum class Role : std::uint8_t { follower = 1, pre_candidate, candidate, leader, learner };

struct GroupStatus {
  PartitionId partition{};
  Role role{};
  Term term = 0;
  std::optional<Uuid> leader;
  LogIndex first_index = 0;  // of the log
  LogIndex last_index = 0;
  LogIndex commit = 0;
  LogIndex applied = 0;
  bool lease = false;   // leader: may serve reads now
  unsigned behind = 0;  // leader: members that are not caught up or do not answer
  bool snapshotting = false;
  bool settled = false;   // leader: its members are those that the placement wants
  unsigned learners = 0;  // of the newest configuration
  bool damaged = false;   // until a leader has replaced it (Node::mark_damaged)
};

inline constexpr std::size_t max_events = 1024;  // that a node remembers, of partitions and of the ring each
inline constexpr std::size_t max_event_text = 512;

// What happened on a node, in the words of its log (effects.hpp, Event).
struct NodeEvent {
  std::uint64_t sequence = 0;  // growing for as long as the node exists, with gaps
  Stamp time;                  // the ring's, as the node knows it
  std::string name;
  std::string detail;
};

struct NodeStatus {
  Uuid node;
  Incarnation incarnation;
  std::optional<Uuid> ring;
  std::uint64_t table_version = 0;
  std::vector<GroupStatus> groups;        // those of removed replicas are not among them
  std::uint64_t snapshot_bytes_sent = 0;  // of this process, to new and to lagging replicas
  std::uint64_t database_bytes = 0;       // filled in by the driver
  std::uint64_t disk_total_bytes = 0;
  std::uint64_t disk_free_bytes = 0;
  std::uint64_t disk_id = 0;  // nodes on one file system share it
  bool no_space = false;
  // How long the disk has had work and has not answered; zero: it has none, or answered within a second.
  Duration disk_stalled{};
  Duration disk_write_time{};     // of a durable write, of late; zero: none
  bool disk_slow = false;         // for long, and much slower than the others'
  bool late = false;              // its loop's turns come late: too little processor time
  std::string storage_note;       // for whoever runs the node; empty: nothing. Filled in by the driver
  Stamp wall;                     // its own clock; zero: it does not say
  Stamp ring_time;                // what the members agree on, as this one has heard them
  std::vector<NodeEvent> events;  // ascending; filled in by the driver when they were asked for
};

struct Empty {};

struct SettleAnswer {
  bool gone = false;  // the lock: read again; otherwise the transaction goes on, and its old rows are the truth
};

struct ReadAnswer : EncodedBatch {  // encode(ReadReply)
  ReadAnswer() = default;
  ReadAnswer(const ReadRequest& request, const ReadReply& reply) : EncodedBatch(encode(reply)) {
    for (std::size_t i = 0; i < reply.gets.size(); ++i) {
      if (!reply.gets[i].found) absent.push_back(i);
    }
    for (std::size_t i = 0; i < reply.scans.size(); ++i) {
      for (const Row& row : reply.scans[i].rows) scanned.push_back(row_hash({request.scans[i].key, row.sort}));
    }
  }
  explicit ReadAnswer(EncodedBatch reply) : EncodedBatch(std::move(reply)) {}
  // On the rows of the gets, counted from when the client asked; zero: no lease. On absent ones absent_row_lease at
  // most.
  Duration lease{};
  // The log's time when it was answered, by which batches of the partition expire. Zero: not said.
  Stamp stamp;
  // On the rows that the scans found, likewise, but for those at these places among them (ascending).
  Duration scan_lease{};
  std::vector<std::uint32_t> unleased;
  // Known to the node, not sent: gets that found nothing, and the hashes of the rows that the scans found.
  std::vector<std::size_t> absent;
  std::vector<std::uint64_t> scanned;
};
using Answer = std::variant<ReadAnswer, BatchResult, FindReply, TableAnswer, NodeStatus, Empty, SettleAnswer>;

// Beside not_leader and not_member: whom to ask instead.
struct Redirect {
  std::optional<Uuid> leader;
  std::vector<Uuid> members;  // of the group's configuration; empty when unknown
};

struct OperationFailure {
  Error error;
  Redirect redirect;
};

using OperationResult = tl::expected<Answer, OperationFailure>;

}  // namespace ringfs::dht
