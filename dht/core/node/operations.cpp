// What clients ask of a node, and the checks before a group sees it.
#include <algorithm>
#include <utility>

#include "dht/core/members/touch.hpp"
#include "dht/core/node/implementation.hpp"
#include "dht/core/rows/room_need.hpp"

namespace ringfs::dht {

void Node::Implementation::submit(OperationId id, Operation operation) {
  if (!out_.open(id)) {
    out_.refuse(id, Error{ErrorCode::overloaded, "too many operations wait at this node"});
    return;
  }
  std::visit([&](auto& one) { start(id, std::move(one)); }, operation);
}

void Node::Implementation::fail(OperationId id, ErrorCode code, std::string context, Redirect redirect) {
  out_.reply(id, tl::unexpected(OperationFailure{{code, std::move(context)}, std::move(redirect)}));
}

// The group that a client means, or an answer that says where it is.
Group* Node::Implementation::group_for(OperationId id, PartitionId partition) {
  if (!genesis_) {
    fail(id, ErrorCode::not_member, "this node waits for a ring");
    return nullptr;
  }
  if (index_of(partition) >= services_.placement.partitions()) {
    fail(id, ErrorCode::invalid_argument, "no such partition");
    return nullptr;
  }
  Group* one = group(partition);
  if (one != nullptr && one->state().serves()) return one;
  Redirect redirect = one != nullptr ? one->state().redirect() : Redirect{};
  if (redirect.members.empty()) redirect.members = services_.placement.preference_list(partition);
  fail(id, ErrorCode::not_member, "no replica here", std::move(redirect));
  return nullptr;
}

// Keys that start with NUL are the evaluator's own; they live in whichever partition they are used in.
bool Node::Implementation::belongs(const std::string& key, PartitionId partition) const {
  return key.starts_with('\0') || partition_of(key_position(key), genesis_->partition_bits) == partition;
}

bool Node::Implementation::belongs(const Batch& batch, PartitionId partition) const {
  const std::string* last = nullptr;  // most batches are about one or two keys: each is hashed once in a row
  auto here = [&](const RowAddress& row) {
    if (last != nullptr && *last == row.key) return true;
    last = &row.key;
    return belongs(row.key, partition);
  };
  for (const Condition& condition : batch.conditions) {
    if (!here(condition.row)) return false;
  }
  for (const Mutation& mutation : batch.mutations) {
    bool transaction = mutation.kind == Mutation::Kind::prepare || mutation.kind == Mutation::Kind::resolve;
    if (!transaction && !here(mutation.row)) return false;
    for (const RowAddress& lock : mutation.locks) {
      if (!here(lock)) return false;
    }
    for (const Mutation& part : mutation.part) {
      if (!here(part.row)) return false;
    }
  }
  return true;
}

void Node::Implementation::start(OperationId id, ReadOperation operation) {
  Group* one = group_for(id, operation.partition);
  if (one == nullptr) return;
  Status valid = validate(operation.request);
  if (!valid) {
    fail(id, valid.error().code, valid.error().context);
    return;
  }
  bool here = std::all_of(operation.request.gets.begin(), operation.request.gets.end(),
                          [&](const RowAddress& row) { return belongs(row.key, operation.partition); }) &&
              std::all_of(operation.request.scans.begin(), operation.request.scans.end(),
                          [&](const ReadRequest::Scan& scan) { return belongs(scan.key, operation.partition); });
  if (!here) {
    fail(id, ErrorCode::invalid_argument, "a key of another partition");
    return;
  }
  one->read(id, std::move(operation.request), operation.lease);
}

void Node::Implementation::start(OperationId id, CommitOperation operation) {
  Group* one = group_for(id, operation.partition);
  if (one == nullptr) return;
  if (one->leader() == nullptr) {
    fail(id, ErrorCode::not_leader, {}, one->state().redirect());
    return;
  }
  Result<Batch> batch = decode_batch(operation.batch.head, operation.batch.blobs);
  if (!batch) {
    fail(id, batch.error().code, batch.error().context);
    return;
  }
  Status valid = validate(*batch);
  if (!valid) {
    fail(id, valid.error().code, valid.error().context);
    return;
  }
  if (!belongs(*batch, operation.partition)) {
    fail(id, ErrorCode::invalid_argument, "a key of another partition");
    return;
  }
  RowChanges changes = changed_rows(*batch);
  changes.lease = operation.lease;
  one->propose(
      {id, std::move(operation.batch), std::move(changes), touches_members_table(*batch), !needs_no_room(*batch)});
}

void Node::Implementation::start(OperationId id, const FindOperation& operation) {
  if (!chord_) {
    fail(id, ErrorCode::not_member, "this node waits for a ring");
    return;
  }
  Chord::Step step = chord_->find(operation.position);
  if (!step.member) {
    fail(id, ErrorCode::unavailable, "this node is joining the ring");
    return;
  }
  FindReply reply;
  reply.final = step.final;
  reply.node = step.peer.node;
  const Member* member = table_.find(step.peer.node);
  if (member != nullptr) reply.address = member->address;
  reply.token = step.peer.token;
  reply.through = step.through;
  out_.reply(id, Answer(std::move(reply)));
}

void Node::Implementation::start(OperationId id, const TableOperation&) {
  out_.reply(id, Answer(TableAnswer{genesis_, table_}));
}

void Node::Implementation::start(OperationId id, const StatusOperation&) { out_.reply(id, Answer(status())); }

void Node::Implementation::start(OperationId id, CreateOperation operation) {
  MembersTable table = operation.genesis.first_table;
  take_genesis(id, std::move(operation.genesis), std::move(table));
}

void Node::Implementation::start(OperationId id, JoinOperation operation) {
  const bool known = genesis_ && genesis_->ring == operation.genesis.ring;
  if (known) adopt(operation.table, "join");
  take_genesis(id, std::move(operation.genesis), std::move(operation.table));
}

void Node::Implementation::take_genesis(OperationId id, Genesis genesis, MembersTable table) {
  Status valid = validate(genesis);
  if (!valid) {
    fail(id, valid.error().code, valid.error().context);
    return;
  }
  const Genesis* own = genesis_ ? &*genesis_ : creation_ ? &creation_->genesis : nullptr;
  if (own != nullptr) {
    if (own->ring != genesis.ring) {
      fail(id, ErrorCode::already_member, "of ring " + own->ring.text());
    } else if (encode(*own) != encode(genesis)) {
      fail(id, ErrorCode::foreign_ring, "the ring has this id but another genesis record");
    } else if (genesis_) {
      out_.reply(id, Answer(Empty{}));
    } else if (creation_->operations.size() >= max_waiting_creates) {
      fail(id, ErrorCode::overloaded, "the ring is being created");
    } else {
      creation_->operations.push_back(id);
    }
    return;
  }
  const Member* member = table.find(self_);
  if (member == nullptr || member->state == MemberState::removed) {
    fail(id, ErrorCode::wrong_identity, "the members do not include node " + self_.text());
    return;
  }
  NodeWrite& write = out_.node_write();
  write.genesis = genesis;
  write.table = table;
  creation_ = Creation{std::move(genesis), std::move(table), out_.write_id(), {id}};
}

NodeStatus Node::Implementation::status() const {
  NodeStatus status;
  status.node = self_;
  status.incarnation = incarnation_;
  if (genesis_) status.ring = genesis_->ring;
  status.table_version = table_.version;
  status.no_space = services_.room != Room::ample;
  if (services_.fitness.hangs(now())) status.disk_stalled = services_.fitness.stalled(now());
  status.disk_write_time = services_.fitness.write_time(now());
  status.disk_slow = services_.fitness.disk_slow();
  status.late = services_.fitness.late();
  status.wall = services_.clock.stamp;
  status.ring_time = services_.ring_time;
  status.snapshot_bytes_sent = services_.pace.total();
  status.groups.reserve(groups_.size());
  for (const auto& [partition, group] : groups_) {
    if (!group->state().removed()) status.groups.push_back(group->status());
  }
  return status;
}

std::vector<PartitionId> Node::Implementation::led_partitions() const {
  std::vector<PartitionId> led;
  for (const auto& [partition, group] : groups_) {
    if (group->holds_lease()) led.push_back(partition);
  }
  return led;
}

LogIndex Node::Implementation::applied_index(PartitionId partition) const {
  auto found = groups_.find(partition);
  return found == groups_.end() ? 0 : found->second->state().log().applied();
}

}  // namespace ringfs::dht
