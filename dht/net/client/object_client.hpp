// The ring as one client sees it: finds each partition's leader, asks again when nodes die, and yet has each batch
// executed exactly once. Every mount, gateway and tool owns one.
//
// Finding (docs/design.md#chord and docs/design.md#members-table): a cache partition -> (leader, members) makes a warm
// operation one hop; a stale entry costs a redirect; a cold one an iterative Chord lookup. When a node does not answer
// or does not know, the order is: its hint, other members of the group, the placement of the members table and of the
// one before, a Chord lookup; then a pause with jitter and all over again until the deadline. Nodes that did not answer
// are asked last for some seconds.
//
// Exactly once (docs/design.md#exactly-once): a batch keeps its sequence and its expiry through all tries, so a try
// whose reply was lost is answered from the partition's memory. A batch is said again under a new sequence only when
// its own result says that it was not executed. Sequences below first_incomplete were answered or given up and are
// never asked again.
//
// A batch expires by the time of its partition's log, which may be far from every clock (dht/core/raft/log_clock.hpp).
// Each answer of a partition's leader carries that time. When a partition has not answered for log_time_life, the
// client asks for it before the next batch.
//
// Rows on which this client has a lease are read from memory (leased_rows.hpp), when row_lease asks for that.
//
// Threads: one loop. Errors: timeout (a mutation may have happened or not), too_large, invalid_argument, no_space and
// access_denied (certainly not executed), corrupt. Limits: max_in_flight batches a partition (further ones wait), every
// try and the whole have deadlines.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dht/net/client/chord_lookup.hpp"
#include "dht/net/client/leased_rows.hpp"
#include "dht/net/client/partitioned_store.hpp"
#include "dht/net/client/ring_directory.hpp"
#include "dht/net/transport/client_transport.hpp"

namespace ringfs::dht {

struct ObjectClientOptions {
  Uuid client;                                           // nil: drawn at random
  Duration try_time = std::chrono::seconds(1);           // a frozen node costs this once; doubles from try to try
  Duration longest_try_time = std::chrono::seconds(8);   // a slow group is not asked the same thing over and over
  Duration first_pause = std::chrono::milliseconds(10);  // between rounds, plus as much jitter
  Duration longest_pause = std::chrono::milliseconds(125);
  Duration avoid_time = std::chrono::seconds(3);
  Duration row_lease{};               // asked for with every get; at most max_row_lease; zero: none
  std::function<Stamp()> wall_clock;  // what ObjectStore::clock() calls the time; none: the ring's
  std::string name;                   // its own among the ring's clients, which says its role; empty: it may everything
  std::size_t max_in_flight = 256;    // batches a partition; the partition remembers four times as many
  TransactionFaults faults;
};

struct ObjectClientCounters {
  std::uint64_t reads = 0;
  std::uint64_t leased_reads = 0;  // of the reads, those answered from memory
  std::uint64_t commits = 0;
  std::uint64_t calls = 0;  // operations sent to nodes
  std::uint64_t redirects = 0;
  std::uint64_t rounds = 0;      // pauses because nobody could answer
  std::uint64_t unanswered = 0;  // calls that ended in unreachable or timeout
  std::uint64_t lookups = 0;
  std::uint64_t lookup_hops = 0;
  std::uint64_t most_lookup_hops = 0;
  std::uint64_t table_refreshes = 0;
  std::uint64_t timeouts = 0;  // operations that ended so
};

class ObjectClient final : public PartitionedStore {
 public:
  ObjectClient(ClientTransport& transport, std::vector<std::string> bootstrap, ObjectClientOptions options = {});

  // Fetches genesis and members table from any bootstrap node. Errors: timeout, with what the last node said.
  Task<Status> start(TimePoint deadline);

  Task<Result<ReadReply>> read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) override;
  Task<Result<BatchResult>> commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                       std::vector<Mutation> mutations, TimePoint deadline) override;
  bool may_settle() const override;
  Task<Result<LockFate>> settle_elsewhere(PartitionId where, RecordRef lock, TimePoint deadline) override;
  std::optional<bool> at_hand(const ReadRequest& request) const override;
  std::optional<TimePoint> leased_until(const RowAddress& row, std::uint64_t version) const override;
  void on_rows_recalled(const RowsListener& listener) override { *rows_listener_ = listener; }
  unsigned partition_bits() const override;
  Clock clock() const override {
    return {transport_.now(), options_.wall_clock ? options_.wall_clock() : transport_.ring_time()};
  }
  Stamp ring_time() const override { return transport_.ring_time(); }
  Random& random() override { return transport_.random(); }
  Task<void> sleep(Duration duration) override { return transport_.sleep(duration); }

  Task<Result<LookupRoute>> lookup(Position position, TimePoint deadline);
  // Asks some nodes for a newer table. Errors: what the last node said, when none answered.
  Task<Status> refresh_table(TimePoint deadline);

  const RingDirectory& directory() const { return directory_; }
  const ObjectClientCounters& counters() const { return counters_; }
  const LeasedRows& leased_rows() const { return *leased_rows_; }
  const Uuid& client() const { return client_; }

 private:
  struct Route {
    std::optional<Uuid> leader;
    TimePoint named_at{};  // when it answered as such, or a node said so
    std::vector<Uuid> members;
  };
  // Of a partition's log, when a leader said so last; carried on by this machine's boot clock.
  struct LogTime {
    Stamp stamp;
    TimePoint heard{};
    Stamp at(TimePoint now) const { return stamp + (now - heard); }
  };
  struct Sequences {
    std::uint64_t last = 0;
    std::shared_ptr<std::set<std::uint64_t>> outstanding = std::make_shared<std::set<std::uint64_t>>();
  };
  // One operation's way through the nodes.
  struct RequestState {
    PartitionId partition{};
    TimePoint deadline;
    std::set<Uuid> tried;    // in this round
    bool looked_up = false;  // in this round
    std::size_t rounds = 0;
    std::size_t calls = 0;
    Duration try_time{};
    unsigned corrupt_answers = 0;
    bool uncertain = false;  // some try may have been executed although no answer came
    Error last;
  };
  // What a failed try means for the operation.
  enum class Next { try_another, pause, give_up };

  Task<Result<Answer>> ask(RequestState& state, Operation operation);
  Task<std::optional<NodeAddress>> next_node(RequestState& state);
  std::optional<NodeAddress> known_node(const RequestState& state);
  Next learn_from(RequestState& state, const Uuid& node, const OperationFailure& failure);
  void follow_redirect(RequestState& state, const Uuid& node, const Redirect& redirect);
  Task<void> pause(RequestState& state, Backoff& backoff);
  Task<Status> reserve_sequence(PartitionId partition, TimePoint deadline);
  Task<Status> learn_log_time(PartitionId partition, TimePoint deadline);
  Task<void> tell_listener(PartitionId partition, const RowChanges& changes);
  void log_time_is(PartitionId partition, Stamp stamp);
  void log_time_is_at_least(PartitionId partition, Stamp stamp);

  ClientTransport& transport_;
  const ObjectClientOptions options_;
  const Uuid client_;
  RingDirectory directory_;
  std::map<PartitionId, Route> routes_;
  std::map<PartitionId, Sequences> sequences_;
  std::map<PartitionId, LogTime> log_times_;
  // Shared: coroutines may outlive the client when the loop is torn down.
  const std::shared_ptr<LeasedRows> leased_rows_;
  const std::shared_ptr<RowsListener> rows_listener_ = std::make_shared<RowsListener>();
  TimePoint next_refresh_{};
  ObjectClientCounters counters_;
};

}  // namespace ringfs::dht
