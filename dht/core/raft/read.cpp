// Reads by the leader under a lease, and ReadIndex where the lease does not hold (dissertation, sections 6.4
// and 6.4.1).
//
// The snapshot is taken first and the lease checked afterwards: a lease that holds now held when the rows were read.
#include <algorithm>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

// The largest value that a quorum has acknowledged, this replica included.
template <class Value, class ValueOf>
Value Group::acknowledged_value(Value lowest, Value own, const ValueOf& value_of) const {
  return quorum_value(configuration(), lowest, [&](const ReplicaId& voter) {
    if (voter == replica_) return own;
    auto progress = progress_.find(voter);
    return progress == progress_.end() ? lowest : value_of(progress->second);
  });
}

TimePoint Group::quorum_acknowledged_at() const {
  return acknowledged_value(TimePoint::min(), now(),
                            [](const Progress& progress) { return progress.acknowledged_sent_at; });
}

std::uint64_t Group::quorum_acknowledged_round() const {
  return acknowledged_value<std::uint64_t>(0, UINT64_MAX,
                                           [](const Progress& progress) { return progress.acknowledged_round; });
}

TimePoint Group::lease_end() const {
  if (role_ != Role::leader || lease_void_) return TimePoint::min();
  const Timing& timing = services_.timing;
  Duration usable(static_cast<std::int64_t>(static_cast<double>(timing.lease.count()) * (1.0 - timing.lease_margin)));
  TimePoint acknowledged = quorum_acknowledged_at();
  return acknowledged == TimePoint::min() ? acknowledged : acknowledged + usable;
}

bool Group::lease_holds() const {
  if (services_.faults.ignore_lease) return role_ == Role::leader;
  return lease_end() > now();
}

// The rows stay as they are for the time returned: it never outlasts the leader lease, and the own batches wait
// for it. Before a transfer all row leases must have ended, for the next leader does not know them.
Duration Group::promisable(Duration wanted) const {
  if (wanted <= Duration::zero() || transfer_ || handing_over_) return Duration::zero();
  Duration duration = std::min(wanted, max_row_lease);
  return lease_end() < now() + duration ? Duration::zero() : duration;
}

Group::RunningRead Group::grant_lease(OperationId operation, const std::vector<RowAddress>& rows,
                                      const RowLease& wanted) {
  RunningRead read{operation, rows.empty() ? Duration::zero() : promisable(wanted.duration), {}};
  if (read.lease == Duration::zero()) return read;
  read.rows.reserve(rows.size());
  for (const RowAddress& row : rows) read.rows.push_back(row_hash(row));
  if (!row_leases_.grant(wanted.client, read.rows, now() + read.lease, now())) read.lease = Duration::zero();
  return read;
}

// For rows as a batch that was just applied left them.
Duration Group::grant_lease(const RowChanges& changed) {
  const bool may_change = changed.everything || changed.prepares;
  Duration duration = may_change ? Duration::zero() : promisable(changed.lease);
  if (duration == Duration::zero() || !may_read()) return Duration::zero();
  if (!row_leases_.grant(changed.client, changed.rows, now() + duration, now())) return Duration::zero();
  for (std::uint64_t row : changed.erased) row_leases_.found_absent(row, now());
  return duration;
}

// Everything that earlier leaders committed is known to be applied once the own no-op is.
bool Group::may_read() const {
  return role_ == Role::leader && (services_.faults.read_before_own_no_op || applied_ >= term_start_);
}

void Group::read(OperationId operation, ReadRequest request, const RowLease& lease) {
  if (role_ != Role::leader) {
    fail_operation(operation, ErrorCode::not_leader);
    return;
  }
  if (services_.out.outstanding() >= max_running_reads) {
    fail_operation(operation, ErrorCode::overloaded, "too many reads wait for the store");
    return;
  }
  if (may_read()) {
    // Granted before the rows are read: they are the same from now on.
    RunningRead running = grant_lease(operation, request.gets, lease);
    running_reads_[services_.out.read(partition_, std::move(request))] = std::move(running);
    return;
  }
  if (waiting_reads_.size() >= max_waiting_reads) {
    fail_operation(operation, ErrorCode::overloaded, "too many reads wait for the new leader");
    return;
  }
  waiting_reads_.push_back({operation, std::move(request)});
}

void Group::start_waiting_reads() {
  while (!waiting_reads_.empty()) {
    WaitingRead read = std::move(waiting_reads_.front());
    waiting_reads_.pop_front();
    if (!services_.out.is_open(read.operation)) continue;
    running_reads_[services_.out.read(partition_, std::move(read.request))] = {read.operation, Duration::zero(), {}};
  }
}

void Group::read_done(EffectId id, Result<ReadAnswer> answer) {
  auto running = running_reads_.find(id);
  if (running == running_reads_.end()) return;  // leadership was lost meanwhile; it was answered
  const auto [operation, granted, rows] = std::move(running->second);
  running_reads_.erase(running);
  if (!answer && answer.error().code == ErrorCode::corrupt) {
    mark_damaged(Damage::rows);
    answer = tl::unexpected<Error>(damage_error(answer.error().context));
  }
  if (answer && granted > Duration::zero()) {
    for (std::size_t absent : answer->absent) row_leases_.found_absent(rows.at(absent), now());
  }
  if (!services_.out.is_open(operation)) return;
  if (!answer) {
    fail_operation(operation, answer.error().code, answer.error().context);
    return;
  }
  answer->stamp = log_time();
  if (lease_holds()) {
    answer->lease = granted;
    services_.out.reply(operation, Answer(std::move(*answer)));
    return;
  }
  std::size_t bytes = answer->size();
  if (services_.held_read_bytes + bytes > max_held_read_bytes) {
    fail_operation(operation, ErrorCode::unavailable, "no lease");
    return;
  }
  if (held_reads_.empty()) event("read_index_fallback");
  services_.held_read_bytes += bytes;
  held_reads_.push_back({operation, std::move(*answer), services_.last_round + 1});
  for (const auto& [replica, progress] : progress_) services_.urgent_heartbeats.insert(replica.node);
  release_held_reads();
}

// A round that left after the rows were read, acknowledged by a quorum: nobody else was leader when they were read.
void Group::release_held_reads() {
  if (held_reads_.empty()) return;
  std::uint64_t round = quorum_acknowledged_round();
  while (!held_reads_.empty() && held_reads_.front().round <= round) {
    HeldRead read = std::move(held_reads_.front());
    held_reads_.pop_front();
    services_.held_read_bytes -= read.answer.size();
    services_.out.reply(read.operation, Answer(std::move(read.answer)));
  }
}

void Group::fail_reads() {
  for (const WaitingRead& read : waiting_reads_)
    fail_operation(read.operation, ErrorCode::not_leader, "leadership was lost");
  for (const auto& [id, read] : running_reads_)
    fail_operation(read.operation, ErrorCode::not_leader, "leadership was lost");
  for (const HeldRead& read : held_reads_) {
    services_.held_read_bytes -= read.answer.size();
    fail_operation(read.operation, ErrorCode::not_leader, "leadership was lost");
  }
  waiting_reads_.clear();
  running_reads_.clear();
  held_reads_.clear();
}

}  // namespace ringfs::dht
