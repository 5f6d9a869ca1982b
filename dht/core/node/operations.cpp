// Reads, commits, and steps of look-ups.
#include "dht/core/node/operations.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/members/touch.hpp"
#include "dht/core/rows/room_need.hpp"

namespace ringfs::dht {

void ClientOperations::fail(OperationId id, ErrorCode code, std::string context, Redirect redirect) {
  services_.out.fail(id, {code, std::move(context)}, std::move(redirect));
}

// The group that a client means, or an answer that says where it is.
Group* ClientOperations::group_for(OperationId id, PartitionId partition) {
  if (!ring_.genesis) {
    fail(id, ErrorCode::not_member, "this node waits for a ring");
    return nullptr;
  }
  if (index_of(partition) >= services_.placement.partitions()) {
    fail(id, ErrorCode::invalid_argument, "no such partition");
    return nullptr;
  }
  Group* one = groups_.find(partition);
  if (one != nullptr && one->state().serves()) return one;
  Redirect redirect = one != nullptr ? one->state().redirect() : Redirect{};
  if (redirect.members.empty()) redirect.members = services_.placement.preference_list(partition);
  fail(id, ErrorCode::not_member, "no replica here", std::move(redirect));
  return nullptr;
}

// Keys that start with NUL are the evaluator's own; they live in whichever partition they are used in.
bool ClientOperations::belongs(const std::string& key, PartitionId partition) const {
  return key.starts_with('\0') || partition_of(key_position(key), ring_.genesis->partition_bits) == partition;
}

bool ClientOperations::belongs(const ReadRequest& request, PartitionId partition) const {
  return std::all_of(request.gets.begin(), request.gets.end(),
                     [&](const RowAddress& row) { return belongs(row.key, partition); }) &&
         std::all_of(request.scans.begin(), request.scans.end(),
                     [&](const ReadRequest::Scan& scan) { return belongs(scan.key, partition); });
}

bool ClientOperations::belongs(const Batch& batch, PartitionId partition) const {
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

void ClientOperations::start(OperationId id, ReadOperation operation) {
  Group* one = group_for(id, operation.partition);
  if (one == nullptr) return;
  Status valid = validate(operation.request);
  if (!valid) {
    fail(id, valid.error().code, valid.error().context);
    return;
  }
  if (!belongs(operation.request, operation.partition)) {
    fail(id, ErrorCode::invalid_argument, "a key of another partition");
    return;
  }
  one->read(id, std::move(operation.request), operation.lease);
}

void ClientOperations::start(OperationId id, CommitOperation operation) {
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

void ClientOperations::start(OperationId id, const FindOperation& operation) {
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
  const Member* member = ring_.table.find(step.peer.node);
  if (member != nullptr) reply.address = member->address;
  reply.token = step.peer.token;
  reply.through = step.through;
  services_.out.reply(id, Answer(std::move(reply)));
}

void ClientOperations::start(OperationId id, const TableOperation&) {
  services_.out.reply(id, Answer(TableAnswer{ring_.genesis, ring_.table}));
}

void ClientOperations::start(OperationId id, const SettleOperation&) {
  fail(id, ErrorCode::not_supported, "this node settles no locks for others");
}

}  // namespace ringfs::dht
