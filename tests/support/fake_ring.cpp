// How the scripted nodes answer.
#include "tests/support/fake_ring.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "dht/net/client/lock_resolver.hpp"
#include "dht/net/runtime/access.hpp"

namespace ringfs {

namespace {

dht::OperationResult failure(ErrorCode code, std::string context = {}, dht::Redirect redirect = {}) {
  return tl::unexpected(dht::OperationFailure{{code, std::move(context)}, std::move(redirect)});
}

}  // namespace

FakeRing::FakeRing(VirtualTime& time, std::size_t nodes, unsigned partition_bits) : time_(time) {
  std::vector<Uuid> ids;
  for (std::size_t i = 0; i < nodes; ++i) {
    FakeNode node;
    node.id = random_uuid(random_);
    node.address = "10.0.0." + std::to_string(i + 1) + ":4000";
    ids.push_back(node.id);
    nodes_.push_back(node);
  }
  auto tokens = dht::allocate_first_tokens(ids, partition_bits, 3, 4);
  table.version = 1;
  for (const FakeNode& node : nodes_) {
    dht::Member member;
    member.id = node.id;
    member.address = node.address;
    member.rest_address = node.address + "0";
    member.tokens = tokens[node.id];
    table.members.push_back(member);
  }
  std::sort(table.members.begin(), table.members.end(),
            [](const dht::Member& a, const dht::Member& b) { return a.id < b.id; });
  genesis_.ring = random_uuid(random_);
  genesis_.partition_bits = partition_bits;
  genesis_.first_table = table;
  rows_->partition_bits = partition_bits;
  dht::Placement placement(table, partition_bits);
  for (std::uint32_t i = 0; i < (1u << partition_bits); ++i) {
    const std::vector<Uuid>& list = placement.preference_list(PartitionId{i});
    groups[PartitionId{i}] = {list, list.front()};
  }
}

FakeNode& FakeRing::add_waiting(const std::string& address) {
  FakeNode node;
  node.state = FakeNode::State::waiting;
  node.id = random_uuid(random_);
  node.address = address;
  return nodes_.emplace_back(node);
}

FakeNode& FakeRing::node(const Uuid& id) {
  return *std::find_if(nodes_.begin(), nodes_.end(), [&](const FakeNode& node) { return node.id == id; });
}

Task<dht::OperationResult> FakeRing::call(std::string address, Uuid expected, dht::Operation operation,
                                          TimePoint deadline) {
  co_await boost::asio::post(time_.loop(), boost::asio::use_awaitable);
  auto place =
      std::find_if(nodes_.begin(), nodes_.end(), [&](const FakeNode& node) { return node.address == address; });
  if (place == nodes_.end() || place->state == FakeNode::State::dead)
    co_return failure(ErrorCode::unreachable, address);
  FakeNode& node = *place;
  ++node.calls;
  if (before_call) before_call(node, operation);
  if (node.state == FakeNode::State::frozen) {
    co_await time_.sleep(deadline - now());
    co_return failure(ErrorCode::timeout, address);
  }
  if (!expected.is_nil() && expected != node.id) co_return failure(ErrorCode::wrong_identity, address);
  if (node.refuses) co_return failure(*node.refuses, address);
  if (Status may = dht::check_access(role, operation); !may) co_return failure(may.error().code, may.error().context);
  if (const auto* asked = std::get_if<dht::SettleOperation>(&operation)) {
    const dht::SettleOperation lock = *asked;
    const Result<dht::LockFate> fate = co_await dht::settle_for_reader(settler_, lock, deadline);
    if (!fate) co_return failure(fate.error().code, fate.error().context);
    co_return dht::Answer(dht::SettleAnswer{*fate == dht::LockFate::gone});
  }
  const dht::CommitOperation* commit = std::get_if<dht::CommitOperation>(&operation);
  Fate fate = Fate::answered;
  if (commit != nullptr && groups[commit->partition].leader == node.id && !commit_fates.empty()) {
    fate = commit_fates.front();
    commit_fates.pop_front();
  }
  if (fate == Fate::lost_before) co_return failure(ErrorCode::unreachable, "lost on the way there");
  if (fate == Fate::refused_no_space) co_return failure(ErrorCode::no_space);
  dht::OperationResult result = answer(node, operation);
  switch (fate) {
    case Fate::reply_lost:
    case Fate::unreachable_after: co_return failure(ErrorCode::unreachable, "lost on the way back");
    case Fate::deposed_after: co_return failure(ErrorCode::not_leader, "leadership was lost");
    case Fate::silent_after: co_await time_.sleep(deadline - now()); co_return failure(ErrorCode::timeout);
    default: co_return result;
  }
}

dht::OperationResult FakeRing::answer(FakeNode& node, const dht::Operation& operation) {
  const bool waiting = node.state == FakeNode::State::waiting;
  if (std::holds_alternative<dht::TableOperation>(operation)) {
    if (waiting) return dht::Answer(dht::TableAnswer{});
    dht::MembersTable copy = table;
    if (node.table_version != 0) copy = genesis_.first_table;
    return dht::Answer(dht::TableAnswer{genesis_, copy});
  }
  if (const auto* asked = std::get_if<dht::StatusOperation>(&operation)) {
    dht::NodeStatus status = status_of(node);
    for (const dht::NodeEvent& event : node.events) {
      if (asked->events_after && event.sequence > *asked->events_after) status.events.push_back(event);
    }
    return dht::Answer(std::move(status));
  }
  if (std::holds_alternative<dht::JoinOperation>(operation)) {
    ++node.joins;
    node.state = FakeNode::State::alive;
    return dht::Answer(dht::Empty{});
  }
  if (waiting) return failure(ErrorCode::not_member, "waits");
  if (const dht::FindOperation* lookup = std::get_if<dht::FindOperation>(&operation))
    return find(node, lookup->position);
  const dht::ReadOperation* read = std::get_if<dht::ReadOperation>(&operation);
  const dht::CommitOperation* commit = std::get_if<dht::CommitOperation>(&operation);
  if (read == nullptr && commit == nullptr) return failure(ErrorCode::invalid_argument);
  const PartitionId partition = read != nullptr ? read->partition : commit->partition;
  const Group& group = groups[partition];
  if (std::find(group.members.begin(), group.members.end(), node.id) == group.members.end()) {
    return failure(ErrorCode::not_member, "no replica here");
  }
  if (group.leader != node.id) return failure(ErrorCode::not_leader, {}, {group.leader, group.members});
  if (read != nullptr) {
    Result<ReadReply> reply = dht::execute_read(read->request, rows_->partitions[partition].rows);
    if (!reply) return failure(reply.error().code, reply.error().context);
    dht::ReadAnswer rows(read->request, *reply);
    rows.stamp = std::max(rows_->partitions[partition].stamp, ring_time() + clock_skew);
    return dht::Answer(std::move(rows));
  }
  Result<Batch> batch = decode_batch(commit->batch.head, commit->batch.blobs);
  if (!batch) return failure(batch.error().code);
  ++executions;
  return dht::Answer(rows_->apply(partition, *batch, ring_time() + clock_skew));
}

// Each node knows its successor only: as many hops as there are tokens between.
dht::OperationResult FakeRing::find(const FakeNode& node, const Position& position) const {
  std::vector<std::pair<Position, Uuid>> tokens;
  for (const dht::Member& member : table.members) {
    for (const Position& token : member.tokens) tokens.push_back({token, member.id});
  }
  std::sort(tokens.begin(), tokens.end());
  auto reply = [&](bool final, std::size_t at, const Position& through) {
    const auto& [token, id] = tokens[at % tokens.size()];
    return dht::OperationResult(dht::Answer(dht::FindReply{final, id, table.find(id)->address, token, through}));
  };
  // Of the own tokens the closest one before the position.
  std::size_t best = tokens.size();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].second != node.id) continue;
    if (in_half_open_arc(tokens[i].first, position, tokens[(i + 1) % tokens.size()].first)) {
      return reply(true, i + 1, tokens[i].first);
    }
    if (best == tokens.size() || in_open_arc(tokens[best].first, tokens[i].first, position)) best = i;
  }
  std::size_t next = best + 1;
  while (tokens[next % tokens.size()].second == node.id) ++next;
  return reply(false, next, tokens[best].first);
}

dht::NodeStatus FakeRing::status_of(const FakeNode& node) const {
  dht::NodeStatus status;
  status.node = node.id;
  if (node.state != FakeNode::State::waiting) status.ring = genesis_.ring;
  if (node.foreign_ring) status.ring = node.foreign_ring;
  status.table_version = table.version;
  status.database_bytes = node.used_bytes;
  status.disk_total_bytes = 9000;
  status.disk_free_bytes = node.free_bytes;
  status.disk_id = node.disk_id;
  status.no_space = node.no_space;
  status.disk_stalled = node.disk_stalled;
  status.disk_write_time = node.disk_write_time;
  status.disk_slow = node.disk_slow;
  status.late = node.late;
  status.storage_note = node.storage_note;
  status.wall = time_.clock().stamp + node.clock_error;
  for (const auto& [partition, group] : groups) {
    if (std::find(group.members.begin(), group.members.end(), node.id) == group.members.end()) continue;
    dht::GroupStatus one;
    one.partition = partition;
    one.role = group.leader == node.id ? dht::Role::leader : dht::Role::follower;
    one.term = 3;
    one.leader = group.leader;
    one.settled = group.leader == node.id;
    one.damaged = node.damaged.contains(partition);
    status.groups.push_back(one);
  }
  return status;
}

}  // namespace ringfs
