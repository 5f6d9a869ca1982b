// Operations and their answers at a simulated node.
#include "tests/sim/machines/sim_replies.hpp"

#include <utility>

#include "tests/sim/machines/cluster.hpp"

namespace ringfs::sim {

dht::OperationId SimReplies::add(const dht::Operation& operation, ReplyFunction reply) {
  const dht::OperationId id = next_operation_++;
  Waiting waiting{std::move(reply), std::nullopt, false, 0};
  if (const auto* read = std::get_if<dht::ReadOperation>(&operation)) {
    waiting.partition = read->partition;
    waiting.read = true;
    waiting.committed_term = cluster_.invariants().highest_term(read->partition);
  } else if (const auto* commit = std::get_if<dht::CommitOperation>(&operation)) {
    waiting.partition = commit->partition;
  }
  waiting_[id] = std::move(waiting);
  return id;
}

void SimReplies::close() {
  for (auto& [id, operation] : std::exchange(waiting_, {})) {
    if (operation.reply && cluster_.world().chance(0.8)) {
      operation.reply(tl::unexpected(dht::OperationFailure{{ErrorCode::unreachable, "connection closed"}, {}}),
                      Stamp{});
    }
  }
}

void SimReplies::answer(const dht::Reply& reply, Stamp ring_time) {
  auto found = waiting_.find(reply.operation);
  if (found == waiting_.end()) return;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  World& world = cluster_.world();
  world.trace("answer", node_.index(), reply.operation, reply.result ? 1 : 0);
  if (reply.result && waiting.partition) {
    if (waiting.read) {
      if (const auto* read = std::get_if<dht::ReadAnswer>(&*reply.result)) {
        check_read(waiting, *read);
      }
    } else if (const auto* batch = std::get_if<BatchResult>(&*reply.result)) {
      cluster_.invariants().on_commit_reply(*waiting.partition, *batch);
    }
  }
  if (waiting.reply) waiting.reply(reply.result, ring_time);
}

void SimReplies::check_read(const Waiting& waiting, const dht::ReadAnswer& answer) {
  // Without a lease (ReadIndex) a quorum agreed some time after the read came; another leader may have followed since.
  dht::Term committed_term = waiting.committed_term;
  bool under_lease = false;
  for (const dht::GroupStatus& group : node_.status().groups) {
    if (group.partition != *waiting.partition || !group.lease) continue;
    committed_term = cluster_.invariants().highest_term(group.partition);
    under_lease = true;
  }
  cluster_.world().count(under_lease ? "raft: read under a lease" : "raft: read by ReadIndex");
  cluster_.invariants().on_read_reply(node_.id(), *waiting.partition, answer, committed_term, node_.live_disk());
}

}  // namespace ringfs::sim
