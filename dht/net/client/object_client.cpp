// Reads and commits of one client, and the tries that each of them takes.
#include "dht/net/client/object_client.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/core/rows/dedup.hpp"

namespace ringfs::dht {

namespace {

// The log's time and what this client makes of it may differ by some seconds without harm: the batch may expire later
// than its deadline (a mutation that timed out may happen), and stays below max_batch_life.
constexpr Duration clock_slack = std::chrono::seconds(5);
// By then a log that runs a tenth fast or slow is off by more than half a batch's life.
constexpr Duration log_time_life = std::chrono::minutes(5);

// Whether an expired batch was certainly not executed by an earlier try. The log's stamps decide. An execution has a
// stamp in [expires - max_batch_life, expires]. Stamps never go back, so an entry stamped below that range comes before
// any execution, and it refused the batch for good (dedup.hpp remembers that). Up to dedup_life behind the range, the
// result of an execution would be remembered and would have been the answer. Later than that it is not known.
bool certainly_not_executed(const Batch& batch, const BatchResult& expired) {
  return expired.stamp <= batch.expires + (dedup_life - max_batch_life);
}
constexpr unsigned max_fresh_starts = 3;     // new sequences after an expiry that certainly did nothing
constexpr unsigned max_corrupt_answers = 3;  // another replica may have a good row
// Pauses are short during an election; pointers change more slowly.
constexpr std::size_t lookup_every_rounds = 4;
constexpr std::size_t refresh_nodes = 3;
constexpr Duration refresh_interval = std::chrono::milliseconds(500);
constexpr Duration full_partition_pause = std::chrono::milliseconds(1);

// A batch's sequence is outstanding as long as this lives: in the frame of a coroutine, which may outlive the client
// when the loop is torn down with operations under way.
class OutstandingSequence {
 public:
  OutstandingSequence(std::shared_ptr<std::set<std::uint64_t>> outstanding, std::uint64_t sequence)
      : outstanding_(std::move(outstanding)), sequence_(sequence) {
    outstanding_->insert(sequence_);
  }
  OutstandingSequence(const OutstandingSequence&) = delete;
  OutstandingSequence& operator=(const OutstandingSequence&) = delete;
  ~OutstandingSequence() { outstanding_->erase(sequence_); }

  std::uint64_t first_incomplete() const { return *outstanding_->begin(); }

 private:
  const std::shared_ptr<std::set<std::uint64_t>> outstanding_;
  const std::uint64_t sequence_;
};

}  // namespace

ObjectClient::ObjectClient(ClientTransport& transport, std::vector<std::string> bootstrap, ObjectClientOptions options)
    : PartitionedStore(options.faults),
      transport_(transport),
      options_(std::move(options)),
      client_(options_.client.is_nil() ? random_uuid(transport.random()) : options_.client),
      directory_(std::move(bootstrap)),
      leased_rows_(std::make_shared<LeasedRows>(options.faults.remember_held_rows)) {
  if (options_.row_lease <= Duration::zero()) return;
  transport_.take_recalls(client_, [rows = leased_rows_, listener = rows_listener_, faults = options_.faults](
                                       const Recall& recall, auto forgotten) {
    if (!faults.release_without_forgetting) rows->recall(recall);
    const bool tells = *listener && !faults.release_without_telling &&
                       (*listener)({recall.partition, recall.everything, recall.rows, false}, forgotten);
    if (!tells) forgotten();
  });
}

std::optional<TimePoint> ObjectClient::leased_until(const RowAddress& row, std::uint64_t version) const {
  return leased_rows_->leased_until(row, version, transport_.now());
}

// What others remember of rows for this client ends before the client's own batch is sent.
Task<void> ObjectClient::tell_listener(PartitionId partition, const RowChanges& changes) {
  const std::shared_ptr<RowsListener> listener = rows_listener_;
  if (!*listener) co_return;
  const RowsRecall recall{partition, changes.everything, changes.rows, true};
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  const auto told = std::make_shared<boost::asio::steady_timer>(executor, boost::asio::steady_timer::time_point::max());
  const auto is_told = std::make_shared<bool>(false);
  const bool waits = (*listener)(recall, [told, is_told] {
    *is_told = true;
    told->cancel();
  });
  boost::system::error_code cancelled;
  while (waits && !*is_told)
    co_await told->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
}

unsigned ObjectClient::partition_bits() const {
  RINGFS_CHECK(directory_.known());  // start() first
  return directory_.genesis().partition_bits;
}

std::optional<bool> ObjectClient::at_hand(const ReadRequest& request) const {
  if (options_.row_lease <= Duration::zero()) return std::nullopt;
  return leased_rows_->knows(request, transport_.now());
}

bool ObjectClient::may_settle() const {
  const Client* own = options_.name.empty() ? nullptr : directory_.table().find_client(options_.name);
  return own == nullptr || own->role > AccessRole::reader;
}

// The partition's leader is asked first: it reads its own rows.
Task<Result<LockFate>> ObjectClient::settle_elsewhere(PartitionId where, RecordRef lock, TimePoint deadline) {
  RequestState state;
  state.partition = where;
  state.deadline = deadline;
  Operation operation{SettleOperation{where, lock}};
  Result<Answer> answer = co_await ask(state, std::move(operation));
  if (!answer) co_return tl::unexpected(answer.error());
  const SettleAnswer* settled = std::get_if<SettleAnswer>(&*answer);
  if (settled == nullptr) co_return fail(ErrorCode::corrupt, "not the answer to a lock");
  co_return settled->gone ? LockFate::gone : LockFate::pending;
}

Task<Status> ObjectClient::start(TimePoint deadline) {
  Backoff backoff(transport_.random(), options_.first_pause, options_.longest_pause);
  while (true) {
    Status status = co_await refresh_table(deadline);
    if (status) co_return status;
    const Duration wait = backoff.next();
    if (transport_.now() + wait >= deadline) {
      co_return fail(ErrorCode::timeout, "no node of the ring answers: " + status.error().text());
    }
    co_await transport_.sleep(wait);
  }
}

Task<Status> ObjectClient::refresh_table(TimePoint deadline) {
  ++counters_.table_refreshes;
  next_refresh_ = transport_.now() + refresh_interval;
  Error last{ErrorCode::unreachable, "no node is known"};
  std::vector<NodeAddress> nodes = directory_.anybody(transport_.random(), transport_.now());
  std::size_t answers = 0;
  for (const NodeAddress& node : nodes) {
    const TimePoint now = transport_.now();
    if (now >= deadline || answers >= refresh_nodes) break;
    // A node may have no newer table; among a few nodes one has it.
    Operation operation{TableOperation{}};
    OperationResult result = co_await transport_.call(node.address, node.node, std::move(operation),
                                                      std::min(now + options_.try_time, deadline));
    if (!result) {
      last = result.error().error;
      if (not_reached(last.code) || last.code == ErrorCode::timeout) {
        directory_.avoid(node.node, transport_.now(), options_.avoid_time,
                         last.code == ErrorCode::timeout ? RingDirectory::Why::silent : RingDirectory::Why::refused);
      }
      continue;
    }
    const TableAnswer* answer = std::get_if<TableAnswer>(&*result);
    if (answer == nullptr) {
      last = Error{ErrorCode::corrupt, "not the members table"};
      continue;
    }
    if (!answer->genesis) {
      last = Error{ErrorCode::unavailable, node.address + " belongs to no ring yet"};
      continue;
    }
    const bool first = !directory_.known();
    Status adopted = directory_.adopt(*answer->genesis, answer->table);
    if (!adopted) {
      last = adopted.error();
      continue;
    }
    directory_.answered(node.node);
    ++answers;
    if (first) break;
  }
  if (answers == 0) co_return tl::unexpected(last);
  co_return Status();
}

Task<Result<LookupRoute>> ObjectClient::lookup(Position position, TimePoint deadline) {
  ++counters_.lookups;
  Result<LookupRoute> route = co_await chord_lookup(transport_, directory_, position, options_.try_time, deadline);
  if (route) {
    counters_.lookup_hops += route->hops.size();
    counters_.most_lookup_hops = std::max<std::uint64_t>(counters_.most_lookup_hops, route->hops.size());
  }
  co_return route;
}

// ---- Reads and commits ----------------------------------------------------------------------------

Task<Result<ReadReply>> ObjectClient::read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) {
  ++counters_.reads;
  if (Status status = validate(request); !status) co_return tl::unexpected(status.error());
  const TimePoint asked = transport_.now();
  if (std::optional<ReadReply> known = leased_rows_->find(request, asked)) {
    ++counters_.leased_reads;
    co_return std::move(*known);
  }
  const std::size_t gets = request.gets.size();
  const std::size_t scans = request.scans.size();
  // No leases on transaction records: they change soon, and their coordinator would have to wait.
  const bool any = gets + scans > 0;
  const std::string key = gets > 0 ? request.gets.front().key : any ? request.scans.front().key : std::string();
  const bool leasing = options_.row_lease > Duration::zero() && any && !key.starts_with('\0');
  LeasedRows::Asking asking(leased_rows_, partition);
  const ReadRequest wanted = leasing ? request : ReadRequest{};
  RequestState state;
  state.partition = partition;
  state.deadline = deadline;
  Operation operation{
      ReadOperation{partition, std::move(request), RowLease{client_, leasing ? options_.row_lease : Duration::zero()}}};
  Result<Answer> answer = co_await ask(state, std::move(operation));
  if (!answer) co_return tl::unexpected(answer.error());
  const ReadAnswer* rows = std::get_if<ReadAnswer>(&*answer);
  if (rows == nullptr) co_return fail(ErrorCode::corrupt, "not the answer to a read");
  Result<ReadReply> reply = decode_read_reply(rows->head, rows->blobs);
  if (reply && (reply->gets.size() != gets || reply->scans.size() != scans)) {
    co_return fail(ErrorCode::corrupt, "the reply answers another read");
  }
  if (reply && leasing) {
    const bool late = options_.faults.lease_from_answer;  // and without the margin for clocks
    const auto since = [&](Duration lease) { return late ? transport_.now() + lease / GrantedLease::margin : asked; };
    if (rows->lease > Duration::zero()) asking.remember(wanted, *reply, {since(rows->lease), rows->lease});
    if (rows->scan_lease > Duration::zero())
      asking.remember_found(wanted, *reply, {since(rows->scan_lease), rows->scan_lease}, rows->unleased);
  }
  if (rows->stamp != Stamp{}) log_time_is(partition, rows->stamp);
  co_return reply;
}

void ObjectClient::log_time_is(PartitionId partition, Stamp stamp) {
  log_times_[partition] = {stamp, transport_.now()};
}

// The stamp of an entry that may have been answered from memory.
void ObjectClient::log_time_is_at_least(PartitionId partition, Stamp stamp) {
  LogTime& known = log_times_[partition];
  if (known.at(transport_.now()) < stamp) known = {stamp, transport_.now()};
}

Task<Status> ObjectClient::learn_log_time(PartitionId partition, TimePoint deadline) {
  auto known = log_times_.find(partition);
  if (known != log_times_.end() && known->second.heard + log_time_life > transport_.now()) co_return Status();
  RequestState state;
  state.partition = partition;
  state.deadline = deadline;
  Operation operation{ReadOperation{partition, ReadRequest{}, RowLease{}}};
  Result<Answer> answer = co_await ask(state, std::move(operation));
  if (!answer) co_return tl::unexpected(answer.error());
  const ReadAnswer* read = std::get_if<ReadAnswer>(&*answer);
  if (read == nullptr) co_return fail(ErrorCode::corrupt, "not the answer to a read");
  log_time_is(partition, read->stamp == Stamp{} ? transport_.ring_time() : read->stamp);
  co_return Status();
}

Task<Result<BatchResult>> ObjectClient::commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                                   std::vector<Mutation> mutations, TimePoint deadline) {
  ++counters_.commits;
  Batch batch;
  batch.client = client_;
  batch.conditions = std::move(conditions);
  batch.mutations = std::move(mutations);
  Status learnt = co_await learn_log_time(partition, deadline);
  if (!learnt) co_return tl::unexpected(learnt.error());
  const TimePoint asked = transport_.now();
  LeasedRows::Changing changing(leased_rows_, partition, batch, asked + max_batch_life + clock_slack);
  co_await tell_listener(partition, changing.rows());
  for (unsigned start = 0;; ++start) {
    Status reserved = co_await reserve_sequence(partition, deadline);
    if (!reserved) co_return tl::unexpected(reserved.error());
    Sequences& sequences = sequences_[partition];
    batch.sequence = ++sequences.last;
    const OutstandingSequence outstanding(sequences.outstanding, batch.sequence);
    batch.first_incomplete = outstanding.first_incomplete();
    const Duration life = std::min<Duration>(deadline - transport_.now() + clock_slack, max_batch_life - clock_slack);
    batch.expires = log_times_[partition].at(transport_.now()) + life;
    if (Status status = validate(batch); !status) co_return tl::unexpected(status.error());

    RequestState state;
    state.partition = partition;
    // After its expiry no try can succeed any more, and a result may have been forgotten: the end is unknown.
    state.deadline = std::min(deadline, transport_.now() + life);
    Operation operation{CommitOperation{partition, encode(batch), options_.row_lease}};
    changing.sent();
    Result<Answer> answer = co_await ask(state, std::move(operation));
    if (answer || !state.uncertain) changing.ended();
    if (!answer) co_return tl::unexpected(answer.error());
    const BatchResult* result = std::get_if<BatchResult>(&*answer);
    if (result == nullptr) co_return fail(ErrorCode::corrupt, "not the answer to a batch");
    const bool granted =
        options_.row_lease > Duration::zero() && result->lease > Duration::zero() && start == 0 && state.calls == 1;
    if (granted && result->outcome == BatchResult::Outcome::applied) {
      changing.remember(batch, result->version, {asked, result->lease}, transport_.now());
    }
    const bool refused = result->outcome == BatchResult::Outcome::expired;
    if (!refused) log_time_is_at_least(partition, result->stamp);
    if (!refused && result->outcome != BatchResult::Outcome::superseded) co_return *result;
    // Refused by the log's time: this client's estimate of it was wrong.
    const bool again = refused && (!state.uncertain || certainly_not_executed(batch, *result));
    if (!again || start + 1 >= max_fresh_starts || transport_.now() >= deadline) {
      ++counters_.timeouts;
      co_return fail(ErrorCode::timeout, "the batch expired");
    }
    log_time_is(partition, result->stamp);
  }
}

Task<Status> ObjectClient::reserve_sequence(PartitionId partition, TimePoint deadline) {
  // The partition remembers the results above the oldest outstanding one: that one may not fall behind too far, either.
  const auto full = [&, &sequences = sequences_[partition]] {
    const std::set<std::uint64_t>& outstanding = *sequences.outstanding;
    return outstanding.size() >= options_.max_in_flight ||
           (!outstanding.empty() && sequences.last - *outstanding.begin() >= max_remembered / 2);
  };
  while (full()) {
    if (transport_.now() + full_partition_pause >= deadline) {
      ++counters_.timeouts;
      co_return fail(ErrorCode::timeout, "too many batches are under way in the partition");
    }
    co_await transport_.sleep(full_partition_pause);
  }
  co_return Status();
}

// ---- Finding who answers --------------------------------------------------------------------------

Task<Result<Answer>> ObjectClient::ask(RequestState& state, Operation operation) {
  RINGFS_CHECK(directory_.known());
  state.try_time = options_.try_time;
  state.last = Error{ErrorCode::timeout, "no node could be asked"};
  Backoff backoff(transport_.random(), options_.first_pause, options_.longest_pause);
  const bool is_commit = std::holds_alternative<CommitOperation>(operation);
  const bool from_any_node = std::holds_alternative<SettleOperation>(operation);  // its answer names no leader
  while (transport_.now() < state.deadline) {
    std::optional<NodeAddress> node = co_await next_node(state);
    if (!node) {
      co_await pause(state, backoff);
      continue;
    }
    state.tried.insert(node->node);
    ++state.calls;
    ++counters_.calls;
    const TimePoint until = std::min(transport_.now() + state.try_time, state.deadline);
    OperationResult result = co_await transport_.call(node->address, node->node, operation, until);
    if (result) {
      directory_.answered(node->node);
      if (from_any_node) co_return std::move(*result);
      Route& route = routes_[state.partition];
      route.leader = node->node;
      route.named_at = transport_.now();
      co_return std::move(*result);
    }
    state.last = result.error().error;
    const ErrorCode code = state.last.code;
    // A try may have been executed unless the node refused it at once. A deposed leader answers not_leader, too, with a
    // context: the next leader may commit its batch.
    const bool refused = (code == ErrorCode::not_leader && state.last.context.empty()) ||
                         code == ErrorCode::overloaded || code == ErrorCode::no_space || code == ErrorCode::too_large ||
                         code == ErrorCode::invalid_argument || code == ErrorCode::access_denied ||
                         code == ErrorCode::wrong_identity || code == ErrorCode::foreign_ring ||
                         code == ErrorCode::version_mismatch;
    if (is_commit && !refused) state.uncertain = true;
    const Next next = learn_from(state, node->node, result.error());
    if (next == Next::give_up) co_return tl::unexpected(state.last);
    if (next == Next::pause) co_await pause(state, backoff);
  }
  ++counters_.timeouts;
  co_return fail(ErrorCode::timeout, state.last.text());
}

ObjectClient::Next ObjectClient::learn_from(RequestState& state, const Uuid& node, const OperationFailure& failure) {
  switch (failure.error.code) {
    case ErrorCode::not_leader:
    case ErrorCode::not_member:
      directory_.answered(node);
      follow_redirect(state, node, failure.redirect);
      return Next::try_another;
    case ErrorCode::unavailable:  // a new leader that may not serve yet, a node that starts: soon
    case ErrorCode::overloaded: directory_.answered(node); return Next::pause;
    case ErrorCode::too_large:
    case ErrorCode::invalid_argument:
    case ErrorCode::cancelled: return Next::give_up;  // the last: by this process itself, which is about to end
    case ErrorCode::access_denied:
    case ErrorCode::no_space:
      // With an earlier try that may have been executed the truth is not known: go on until it is, or until the
      // deadline.
      return state.uncertain ? Next::pause : Next::give_up;
    case ErrorCode::corrupt:
      return ++state.corrupt_answers >= max_corrupt_answers && !state.uncertain ? Next::give_up : Next::pause;
    case ErrorCode::timeout:
      ++counters_.unanswered;
      state.try_time = std::min(2 * state.try_time, options_.longest_try_time);
      break;
    case ErrorCode::unreachable:
    case ErrorCode::connection_refused: ++counters_.unanswered; break;
    default: break;  // wrong_identity and the like: the address is stale, or the node has a fault
  }
  directory_.avoid(node, transport_.now(), options_.avoid_time,
                   failure.error.code == ErrorCode::timeout ? RingDirectory::Why::silent : RingDirectory::Why::refused);
  auto route = routes_.find(state.partition);
  if (route != routes_.end() && route->second.leader == node) route->second.leader.reset();
  return Next::try_another;
}

void ObjectClient::follow_redirect(RequestState& state, const Uuid& node, const Redirect& redirect) {
  Route& route = routes_[state.partition];
  if (!redirect.members.empty()) route.members = redirect.members;
  if (redirect.leader && *redirect.leader != node) {
    ++counters_.redirects;
    route.leader = redirect.leader;
    route.named_at = transport_.now();
  } else if (route.leader == node) {
    route.leader.reset();
  }
  if (redirect.members.empty()) std::erase(route.members, node);
}

// The leader, the group, the placement; among them those that answer first.
std::optional<NodeAddress> ObjectClient::known_node(const RequestState& state) {
  const TimePoint now = transport_.now();
  std::vector<Uuid> nodes;
  auto route = routes_.find(state.partition);
  if (route != routes_.end()) {
    const std::optional<Uuid>& leader = route->second.leader;
    if (leader && !state.tried.contains(*leader)) {
      // A follower names a frozen leader until its own timeout ends. A leader that is still named a second after its
      // last unanswered call is alive; names that this client remembers from before do not count.
      const std::optional<TimePoint> unanswered = directory_.last_unanswered(*leader);
      const bool named_again = unanswered && route->second.named_at - *unanswered > options_.try_time;
      const std::optional<std::string> address = directory_.address_of(*leader);
      if (address && (named_again || !directory_.is_avoided(*leader, now))) return NodeAddress{*leader, *address};
    }
    nodes = route->second.members;
  }
  const std::vector<Uuid> placed = directory_.placed(state.partition);
  nodes.insert(nodes.end(), placed.begin(), placed.end());
  std::optional<NodeAddress> refused;
  std::optional<NodeAddress> silent;
  for (const Uuid& node : nodes) {
    if (state.tried.contains(node)) continue;
    const std::optional<std::string> address = directory_.address_of(node);
    if (!address) continue;
    if (!directory_.is_avoided(node, now)) return NodeAddress{node, *address};
    std::optional<NodeAddress>& kind = directory_.is_silent(node, now) ? silent : refused;
    // Of several silent nodes, the one whose avoidance ends first, so that each gets its turn.
    if (!kind || directory_.avoided_until(node) < directory_.avoided_until(kind->node))
      kind = NodeAddress{node, *address};
  }
  if (refused) return refused;
  // A silent node costs a whole try: ask it only when no other node is left in this round.
  return state.tried.empty() ? silent : std::nullopt;
}

Task<std::optional<NodeAddress>> ObjectClient::next_node(RequestState& state) {
  const bool cold = !routes_.contains(state.partition);
  if (!cold || state.looked_up) {
    std::optional<NodeAddress> node = known_node(state);
    if (node || state.looked_up) co_return node;
  }
  state.looked_up = true;
  Result<LookupRoute> route = co_await lookup(anchor_of(state.partition, partition_bits()), state.deadline);
  if (route && !state.tried.contains(route->owner.node) &&
      !directory_.is_avoided(route->owner.node, transport_.now())) {
    co_return route->owner;
  }
  co_return known_node(state);
}

Task<void> ObjectClient::pause(RequestState& state, Backoff& backoff) {
  ++counters_.rounds;
  ++state.rounds;
  state.tried.clear();
  if (state.rounds % lookup_every_rounds == 0) state.looked_up = false;
  const TimePoint now = transport_.now();
  const Duration rest = state.deadline - now;
  const Duration wait = std::min(backoff.next(), rest);
  if (wait > Duration(0)) co_await transport_.sleep(wait);
  if (transport_.now() >= next_refresh_ && transport_.now() < state.deadline) {
    Status refreshed = co_await refresh_table(std::min(state.deadline, transport_.now() + options_.try_time));
    if (!refreshed) state.last = refreshed.error();
  }
}

}  // namespace ringfs::dht
