// Reads by the leader.
#include "dht/core/raft/leader/read_queue.hpp"

#include <utility>

namespace ringfs::dht {

void ReadQueue::begin(OperationId operation, ReadRequest request, const RowLease& lease, bool no_op_applied) {
  if (services_.out.outstanding() >= NodeLimits::running_reads) {
    state_.fail(operation, ErrorCode::overloaded, "too many reads wait for the store");
    return;
  }
  if (!no_op_applied) {
    if (waiting_.size() >= ReadLimits::waiting)
      state_.fail(operation, ErrorCode::overloaded, "too many reads wait for the new leader");
    else
      waiting_.push_back({operation, std::move(request)});
    return;
  }
  // Granted before the rows are read: they are the same from now on.
  Running read{operation, Duration::zero(), {}, lease, leases_.mark()};
  read.lease = leases_.grant(lease, request.gets, read.rows);
  run(std::move(read), std::move(request));
}

void ReadQueue::run(Running read, ReadRequest request) {
  running_[services_.out.read(state_.partition(), std::move(request))] = std::move(read);
}

void ReadQueue::start_waiting() {
  while (!waiting_.empty()) {
    Waiting read = std::move(waiting_.front());
    waiting_.pop_front();
    if (services_.out.is_open(read.operation))
      run({read.operation, Duration::zero(), {}, {}, 0}, std::move(read.request));
  }
}

std::optional<ReadQueue::Running> ReadQueue::take(EffectId id) {
  auto running = running_.find(id);
  if (running == running_.end()) return std::nullopt;  // leadership was lost meanwhile; it was answered
  Running read = std::move(running->second);
  running_.erase(running);
  return read;
}

void ReadQueue::answer(const Running& read, ReadAnswer answer) {
  if (read.lease > Duration::zero()) {
    for (std::size_t absent : answer.absent) leases_.found_absent(read.rows.at(absent));
  }
  if (!services_.out.is_open(read.operation)) return;
  answer.stamp = state_.log().next_stamp();
  if (leases_.holds()) {
    answer.lease = read.lease;
    leases_.grant_found(read.wanted, read.mark, answer);
    services_.out.reply(read.operation, Answer(std::move(answer)));
    return;
  }
  std::size_t bytes = answer.size();
  if (services_.held_read_bytes + bytes > NodeLimits::held_read_bytes) {
    state_.fail(read.operation, ErrorCode::unavailable, "no lease");
    return;
  }
  if (held_.empty()) state_.event("read_index_fallback");
  services_.held_read_bytes += bytes;
  held_.push_back({read.operation, std::move(answer), services_.last_round + 1});
  followers_.ask_for_heartbeats();
  release_held();
}

// A round that left after the rows were read, acknowledged by a quorum: nobody else was leader when they were read.
void ReadQueue::release_held() {
  if (held_.empty()) return;
  std::uint64_t round = followers_.quorum_acknowledged_round();
  while (!held_.empty() && held_.front().round <= round) {
    Held read = std::move(held_.front());
    held_.pop_front();
    services_.held_read_bytes -= read.answer.size();
    services_.out.reply(read.operation, Answer(std::move(read.answer)));
  }
}

void ReadQueue::fail_all() {
  const auto fail = [&](OperationId operation) {
    state_.fail(operation, ErrorCode::not_leader, "leadership was lost");
  };
  for (const Waiting& read : waiting_) fail(read.operation);
  for (const auto& [id, read] : running_) fail(read.operation);
  for (const Held& read : held_) {
    services_.held_read_bytes -= read.answer.size();
    fail(read.operation);
  }
  waiting_.clear();
  running_.clear();
  held_.clear();
}

}  // namespace ringfs::dht
