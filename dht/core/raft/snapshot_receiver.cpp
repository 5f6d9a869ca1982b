// The receiving side of a snapshot.
#include "dht/core/raft/snapshot_receiver.hpp"

#include <utility>

#include "dht/core/raft/leader/snapshot_sender.hpp"

namespace ringfs::dht {

SnapshotReply SnapshotReceiver::reply_to(const SnapshotChunk& message) const {
  SnapshotReply reply;
  reply.room = services_.room;
  reply.raft = state_.answer_header(message.raft);
  reply.snapshot = message.snapshot;
  return reply;
}

void SnapshotReceiver::receive(const Uuid& source, const SnapshotChunk& message) {
  if (installing()) return;  // answered when it is installed
  ReplicatedLog& log = state_.log();
  SnapshotReply reply = reply_to(message);
  if (state_.holds_data() && log.entries().term(message.last_index) == message.last_term)
    log.advance_commit(message.last_index);
  if (state_.holds_data() && message.last_index <= log.commit()) {
    // Everything in it is here already. The log stays as it is: what follows in it may be acknowledged (Raft paper,
    // section 7, "retain log entries following it").
    drop();
    reply.installed = true;
    services_.out.send_after_write(source, reply);
    return;
  }
  const bool slot =
      services_.receiving.contains(state_.partition()) || services_.receiving.size() < SnapshotLimits::receiving;
  if (services_.room != Room::ample || !slot) {
    drop();
    reply.refused = true;
    services_.out.send_after_write(source, reply);
    return;
  }
  const bool known = stage(source, message);
  if (installing()) {
    state_.mark();
    return;
  }
  reply.next = known ? incoming_->next_chunk : 0;
  services_.out.send_after_write(source, reply);
}

// False: the first chunk of this snapshot has not come.
bool SnapshotReceiver::stage(const Uuid& source, const SnapshotChunk& message) {
  services_.receiving.insert(state_.partition());
  bool known = incoming_ && incoming_->source == source && incoming_->number == message.snapshot;
  if (!known && message.number == 0) {
    incoming_ = Incoming{source, message.snapshot, 0, message.raft, message.last_index, std::nullopt};
    known = true;
  }
  if (!known || message.number != incoming_->next_chunk) return known;
  services_.out.separate_group_write(state_.partition()).stage =
      StageChunk{message.snapshot, message.number, message.rows, message.blobs};
  services_.out.end_group_write(state_.partition());
  ++incoming_->next_chunk;
  incoming_->raft = message.raft;
  if (!message.last) return true;
  Result<Configuration> configuration = decode_configuration(message.configuration);
  RINGFS_CHECK(configuration.has_value());  // well_formed() saw it
  incoming_->install = InstallSnapshot{message.snapshot,   message.last_index,        message.last_term,
                                       message.last_stamp, std::move(*configuration), message.configuration_index};
  return true;
}

// What is staged goes from the disk, unless it is about to be installed.
void SnapshotReceiver::drop() {
  if (incoming_ && !incoming_->install && incoming_->next_chunk > 0) {
    services_.out.separate_group_write(state_.partition()).unstage = true;
    services_.out.end_group_write(state_.partition());
  }
  incoming_.reset();
  services_.receiving.erase(state_.partition());
}

void SnapshotReceiver::drop_unless_installing() {
  if (incoming_ && !incoming_->install) drop();
}

void SnapshotReceiver::drop_for_want_of_room() {
  if (!incoming_ || incoming_->install) return;
  state_.event("snapshot_dropped", "reason=no_space");
  drop();
}

void SnapshotReceiver::log_reaches(LogIndex index) {
  if (incoming_ && index >= incoming_->last_index) drop();
}

// The rows are replaced when no apply is outstanding, so that nothing of the old log lands on the new rows.
bool SnapshotReceiver::install_when_ready() {
  if (!installing() || state_.log().applying()) return false;
  Incoming incoming = std::move(*incoming_);
  drop();
  const InstallSnapshot& install = *incoming.install;
  auto& operations = commitments_.operations;
  while (!operations.empty() && operations.begin()->first <= install.last_index) {
    state_.fail(operations.begin()->second.operation, ErrorCode::unavailable, "its outcome came in a snapshot");
    operations.erase(operations.begin());
  }
  state_.install(install);
  state_.event("snapshot_installed", "index=" + std::to_string(install.last_index));
  SnapshotReply reply;
  reply.room = services_.room;
  reply.raft = state_.answer_header(incoming.raft);
  reply.snapshot = incoming.number;
  reply.next = incoming.next_chunk;
  reply.installed = true;
  services_.out.send_after_write(incoming.source, reply);
  return true;
}

}  // namespace ringfs::dht
