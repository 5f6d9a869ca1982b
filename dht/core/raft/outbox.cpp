// The effects of one call into a Node, as they are collected.
#include "dht/core/raft/outbox.hpp"

#include "dht/core/protocol/node_options.hpp"

#include <algorithm>

namespace ringfs::dht {

bool Write::empty() const { return !node.genesis && !node.table && node.peer_incarnations.empty() && groups.empty(); }

bool Write::only_stages() const {
  const bool of_node = node.genesis || node.table || !node.peer_incarnations.empty();
  return !of_node && std::all_of(groups.begin(), groups.end(), [](const GroupWrite& group) {
    return (group.stage || group.unstage) && !group.reset && !group.install && !group.hard_state &&
           !group.truncate_from && group.append.empty() && !group.compact_through && !group.damage;
  });
}

Envelope Outbox::envelope(const Uuid& destination, Message message) const {
  return Envelope{{ring_, self_, incarnation_, destination, table_version_}, std::move(message)};
}

void Outbox::send(const Uuid& destination, Message message) {
  effects_.messages.push_back(envelope(destination, std::move(message)));
}

void Outbox::send_after_write(const Uuid& destination, Message message) {
  effects_.messages_after_write.push_back(envelope(destination, std::move(message)));
}

EffectId Outbox::write_id() {
  if (effects_.write.id == 0) effects_.write.id = next_id();
  return effects_.write.id;
}

NodeWrite& Outbox::node_write() {
  write_id();
  return effects_.write.node;
}

GroupWrite& Outbox::group_write(PartitionId partition) {
  write_id();
  auto known = group_writes_.find(partition);
  if (known != group_writes_.end()) return effects_.write.groups[known->second];
  effects_.write.groups.emplace_back().partition = partition;
  group_writes_[partition] = effects_.write.groups.size() - 1;
  return effects_.write.groups.back();
}

GroupWrite& Outbox::separate_group_write(PartitionId partition) {
  write_id();
  group_writes_.erase(partition);
  effects_.write.groups.emplace_back().partition = partition;
  return effects_.write.groups.back();
}

EffectId Outbox::read(PartitionId partition, ReadRequest request) {
  EffectId id = next_id();
  owners_[id] = partition;
  effects_.reads.push_back({id, partition, std::move(request)});
  return id;
}

EffectId Outbox::load(PartitionId partition, LogIndex first, LogIndex last, std::size_t max_bytes) {
  EffectId id = next_id();
  owners_[id] = partition;
  effects_.loads.push_back({id, partition, first, last, max_bytes});
  return id;
}

EffectId Outbox::snapshot_read(PartitionId partition, std::uint64_t snapshot, std::uint32_t number, bool renew) {
  EffectId id = next_id();
  owners_[id] = partition;
  effects_.snapshot_reads.push_back({id, partition, snapshot, number, false, renew});
  return id;
}

void Outbox::close_snapshot(PartitionId partition, std::uint64_t snapshot) {
  effects_.snapshot_reads.push_back({next_id(), partition, snapshot, 0, true, false});
}

std::optional<PartitionId> Outbox::claim(EffectId id) {
  auto owner = owners_.find(id);
  if (owner == owners_.end()) return std::nullopt;
  PartitionId partition = owner->second;
  owners_.erase(owner);
  return partition;
}

std::vector<std::pair<EffectId, PartitionId>> Outbox::durable(EffectId write) {
  std::vector<std::pair<EffectId, PartitionId>> result;
  while (!undurable_.empty() && undurable_.begin()->first <= write) {
    for (PartitionId partition : undurable_.begin()->second) result.emplace_back(undurable_.begin()->first, partition);
    undurable_.erase(undurable_.begin());
  }
  return result;
}

bool Outbox::open(OperationId operation) {
  RINGFS_CHECK(!open_.contains(operation));
  if (open_.size() >= max_pending_operations) return false;
  open_.insert(operation);
  return true;
}

void Outbox::reply(OperationId operation, OperationResult result) {
  if (open_.erase(operation) == 0) return;  // its client went away
  effects_.replies.push_back({operation, std::move(result)});
}

void Outbox::refuse(OperationId operation, Error error) {
  effects_.replies.push_back({operation, tl::unexpected(OperationFailure{std::move(error), {}})});
}

Effects Outbox::take() {
  Effects effects = std::move(effects_);
  effects_ = Effects();
  group_writes_.clear();
  if (effects.write.id != 0) {
    RINGFS_CHECK(!effects.write.empty());
    std::set<PartitionId>& partitions = undurable_[effects.write.id];
    for (const GroupWrite& group : effects.write.groups) partitions.insert(group.partition);
  }
  return effects;
}

}  // namespace ringfs::dht
