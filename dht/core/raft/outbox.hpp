// Collects the effects of one call into a Node, and remembers who waits for what.
//
// Groups and the node put messages, writes and replies in here; take() hands them out. The write that is being
// collected has an id from its first change on, so that a group knows which Node::written makes it durable.
// Threads: none. Limits: open operations (max_pending_operations); everything else is emptied by every take().
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dht/core/protocol/effects.hpp"

namespace ringfs::dht {

class Outbox {
 public:
  Outbox(const Uuid& self, const Incarnation& incarnation) : self_(self), incarnation_(incarnation) {}

  void set_ring(const Uuid& ring) { ring_ = ring; }
  void set_table_version(std::uint64_t version) { table_version_ = version; }

  void send(const Uuid& destination, Message message);
  void send_after_write(const Uuid& destination, Message message);

  NodeWrite& node_write();
  // The partition's changes in this write. Between separate_group_write and end_group_write they are a GroupWrite of
  // their own, carried out behind what was there and before what follows.
  GroupWrite& group_write(PartitionId partition);
  GroupWrite& separate_group_write(PartitionId partition);
  void end_group_write(PartitionId partition) { group_writes_.erase(partition); }
  EffectId write_id();  // of the write that is being collected
  bool writing() const { return effects_.write.id != 0; }

  void apply(PartitionId partition, LogIndex through) { effects_.applies.push_back({partition, through}); }
  EffectId read(PartitionId partition, ReadRequest request);
  EffectId load(PartitionId partition, LogIndex first, LogIndex last, std::size_t max_bytes);
  EffectId snapshot_read(PartitionId partition, std::uint64_t snapshot, std::uint32_t number, bool renew = false);
  void close_snapshot(PartitionId partition, std::uint64_t snapshot);
  // Whose read, load or snapshot read this was; each id can be claimed once.
  std::optional<PartitionId> claim(EffectId id);
  std::size_t outstanding() const { return owners_.size(); }  // reads, loads and snapshot reads that are not claimed
  // The groups whose changes are in writes up to and including `write`; each is returned once per write.
  std::vector<std::pair<EffectId, PartitionId>> durable(EffectId write);

  // An operation may be answered from open() until its reply or cancel(). False: too many are open.
  bool open(OperationId operation);
  void cancel(OperationId operation) { open_.erase(operation); }
  bool is_open(OperationId operation) const { return operation == no_operation || open_.contains(operation); }
  void reply(OperationId operation, OperationResult result);
  void fail(OperationId operation, Error error, Redirect redirect = {}) {
    reply(operation, tl::unexpected(OperationFailure{std::move(error), std::move(redirect)}));
  }
  void refuse(OperationId operation, Error error);  // one that open() did not take

  void recall(Recall recall) { effects_.recalls.push_back(std::move(recall)); }
  void event(std::string name, std::string detail) { effects_.events.push_back({std::move(name), std::move(detail)}); }

  Effects take();

 private:
  EffectId next_id() { return ++last_id_; }
  Envelope envelope(const Uuid& destination, Message message) const;

  Uuid self_;
  Incarnation incarnation_;
  Uuid ring_;
  std::uint64_t table_version_ = 0;
  EffectId last_id_ = 0;
  Effects effects_;
  std::map<PartitionId, std::size_t> group_writes_;  // where group_write() adds to
  std::map<EffectId, PartitionId> owners_;
  std::map<EffectId, std::set<PartitionId>> undurable_;
  std::set<OperationId> open_;
};

}  // namespace ringfs::dht
