// Raft messages and heartbeats on the wire.
#include <algorithm>

#include "dht/net/wire/codec_parts.hpp"

namespace ringfs::dht::codec {

namespace {

void put_raft(const RaftHeader& in, wire::Raft* out) {
  out->set_partition(index_of(in.partition));
  out->set_term(in.term);
  out->set_source_added(in.source_added);
  out->set_destination_added(in.destination_added);
}

RaftHeader get_raft(const wire::Raft& in, Check& check) {
  RaftHeader raft;
  raft.partition = check.partition(in.partition());
  raft.term = check.counter(in.term());
  raft.source_added = in.source_added();
  raft.destination_added = in.destination_added();
  return raft;
}

// 0, which an older node says as well, is ample.
std::uint32_t shortage_of(Room room) {
  return static_cast<std::uint32_t>(Room::ample) - static_cast<std::uint32_t>(room);
}

Room room_of(std::uint32_t shortage, Check& check) {
  constexpr auto most = static_cast<std::uint32_t>(Room::ample);
  check.require(shortage <= most);
  return static_cast<Room>(most - std::min(shortage, most));
}

}  // namespace

void put(const RequestVote& in, wire::Envelope& envelope, WireMessage&) {
  wire::RequestVote* out = envelope.mutable_request_vote();
  put_raft(in.raft, out->mutable_raft());
  out->set_pre_vote(in.pre_vote);
  out->set_transfer(in.transfer);
  out->set_last_index(in.last_index);
  out->set_last_term(in.last_term);
}

RequestVote get(const wire::RequestVote& in, Check& check, Pieces&) {
  RequestVote message;
  message.raft = get_raft(in.raft(), check);
  message.pre_vote = in.pre_vote();
  message.transfer = in.transfer();
  message.last_index = in.last_index();
  message.last_term = in.last_term();
  return message;
}

void put(const VoteReply& in, wire::Envelope& envelope, WireMessage&) {
  wire::VoteReply* out = envelope.mutable_vote_reply();
  put_raft(in.raft, out->mutable_raft());
  out->set_pre_vote(in.pre_vote);
  out->set_granted(in.granted);
}

VoteReply get(const wire::VoteReply& in, Check& check, Pieces&) {
  VoteReply message;
  message.raft = get_raft(in.raft(), check);
  message.pre_vote = in.pre_vote();
  message.granted = in.granted();
  return message;
}

void put(const Append& in, wire::Envelope& envelope, WireMessage& payload) {
  wire::Append* out = envelope.mutable_append();
  put_raft(in.raft, out->mutable_raft());
  out->set_previous_index(in.previous_index);
  out->set_previous_term(in.previous_term);
  out->set_commit(in.commit);
  LogIndex expected = in.previous_index;
  for (const Entry& entry : in.entries) {
    RINGFS_CHECK(entry.index == ++expected);
    wire::EntryHead* head = out->add_entries();
    head->set_term(entry.term);
    head->set_stamp(entry.stamp.microseconds);
    head->set_kind(static_cast<std::uint32_t>(entry.kind));
    head->set_head_size(size32(entry.head.size()));
    if (!entry.head.empty()) payload.payload.push_back(entry.head);
    put_pieces(entry.blobs, head->mutable_blob_sizes(), payload);
  }
}

Append get(const wire::Append& in, Check& check, Pieces& pieces) {
  Append message;
  message.raft = get_raft(in.raft(), check);
  message.previous_index = in.previous_index();
  message.previous_term = in.previous_term();
  message.commit = in.commit();
  // The last entry's index must not wrap around.
  check.require(in.previous_index() < std::numeric_limits<LogIndex>::max() - max_frame_bytes);
  message.entries.reserve(static_cast<std::size_t>(in.entries_size()));
  Term previous_term = in.previous_term();
  for (const wire::EntryHead& head : in.entries()) {
    Entry entry;
    entry.index = message.previous_index + message.entries.size() + 1;
    entry.term = head.term();
    entry.stamp = check.stamp(head.stamp());
    entry.kind = check.enumeration(head.kind(), EntryKind::batch);
    entry.head = pieces.take(head.head_size());
    entry.blobs = pieces.take_all(head.blob_sizes());
    // Terms never go back within a log, and no entry is newer than the leader who sends it.
    check.require(entry.term >= previous_term && entry.term <= message.raft.term);
    check.require(entry.kind == EntryKind::batch || entry.blobs.empty());
    if (check.ok && pieces.ok() && entry.kind == EntryKind::configuration) {
      check.require(decode_configuration(entry.head.view()).has_value());
    }
    if (!check.ok || !pieces.ok()) break;
    previous_term = entry.term;
    message.entries.push_back(std::move(entry));
  }
  return message;
}

void put(const AppendReply& in, wire::Envelope& envelope, WireMessage&) {
  wire::AppendReply* out = envelope.mutable_append_reply();
  put_raft(in.raft, out->mutable_raft());
  out->set_success(in.success);
  out->set_match(in.match);
  out->set_rejected(in.rejected);
  out->set_hint_index(in.hint_index);
  out->set_hint_term(in.hint_term);
  out->set_no_space(in.no_space);
  out->set_absent(in.absent);
  out->set_shortage(shortage_of(in.room));
}

AppendReply get(const wire::AppendReply& in, Check& check, Pieces&) {
  AppendReply message;
  message.raft = get_raft(in.raft(), check);
  message.success = in.success();
  message.match = in.match();
  message.rejected = in.rejected();
  message.hint_index = in.hint_index();
  message.hint_term = in.hint_term();
  message.no_space = in.no_space();
  message.absent = in.absent();
  message.room = room_of(in.shortage(), check);
  return message;
}

void put(const ReplicaQuery& in, wire::Envelope& envelope, WireMessage&) {
  put_raft(in.raft, envelope.mutable_replica_query()->mutable_raft());
}

ReplicaQuery get(const wire::ReplicaQuery& in, Check& check, Pieces&) {
  return ReplicaQuery{get_raft(in.raft(), check)};
}

void put(const ReplicaRemoved& in, wire::Envelope& envelope, WireMessage&) {
  wire::ReplicaRemoved* out = envelope.mutable_replica_removed();
  put_raft(in.raft, out->mutable_raft());
  out->set_configuration(in.configuration);
  out->set_configuration_index(in.configuration_index);
}

ReplicaRemoved get(const wire::ReplicaRemoved& in, Check& check, Pieces&) {
  ReplicaRemoved message;
  message.raft = get_raft(in.raft(), check);
  message.configuration = in.configuration();
  check.require(decode_configuration(message.configuration).has_value());
  message.configuration_index = in.configuration_index();
  return message;
}

void put(const TimeoutNow& in, wire::Envelope& envelope, WireMessage&) {
  put_raft(in.raft, envelope.mutable_timeout_now()->mutable_raft());
}

TimeoutNow get(const wire::TimeoutNow& in, Check& check, Pieces&) { return TimeoutNow{get_raft(in.raft(), check)}; }

void put(const SnapshotChunk& in, wire::Envelope& envelope, WireMessage& payload) {
  wire::SnapshotChunk* out = envelope.mutable_snapshot_chunk();
  put_raft(in.raft, out->mutable_raft());
  out->set_snapshot(in.snapshot);
  out->set_last_index(in.last_index);
  out->set_last_term(in.last_term);
  out->set_last_stamp(in.last_stamp.microseconds);
  out->set_configuration(in.configuration);
  out->set_configuration_index(in.configuration_index);
  out->set_number(in.number);
  out->set_rows_size(size32(in.rows.size()));
  if (!in.rows.empty()) payload.payload.push_back(in.rows);
  put_pieces(in.blobs, out->mutable_blob_sizes(), payload);
  out->set_last(in.last);
}

SnapshotChunk get(const wire::SnapshotChunk& in, Check& check, Pieces& pieces) {
  SnapshotChunk message;
  message.raft = get_raft(in.raft(), check);
  message.snapshot = in.snapshot();
  message.last_index = in.last_index();
  message.last_term = in.last_term();
  message.last_stamp = check.stamp(in.last_stamp());
  message.configuration = in.configuration();
  check.require(decode_configuration(message.configuration).has_value());
  message.configuration_index = in.configuration_index();
  message.number = in.number();
  message.rows = pieces.take(in.rows_size());
  message.blobs = pieces.take_all(in.blob_sizes());
  message.last = in.last();
  return message;
}

void put(const SnapshotReply& in, wire::Envelope& envelope, WireMessage&) {
  wire::SnapshotReply* out = envelope.mutable_snapshot_reply();
  put_raft(in.raft, out->mutable_raft());
  out->set_snapshot(in.snapshot);
  out->set_next(in.next);
  out->set_installed(in.installed);
  out->set_refused(in.refused);
  out->set_shortage(shortage_of(in.room));
}

SnapshotReply get(const wire::SnapshotReply& in, Check& check, Pieces&) {
  SnapshotReply message;
  message.raft = get_raft(in.raft(), check);
  message.snapshot = in.snapshot();
  message.next = in.next();
  message.installed = in.installed();
  message.refused = in.refused();
  message.room = room_of(in.shortage(), check);
  return message;
}

namespace {

void put_fitness(const FitnessReport& in, wire::Fitness* out) {
  out->set_hangs(in.hangs);
  out->set_slow(in.slow);
  out->set_answered_us(in.answered_us);
  out->set_write_us(in.write_us);
}

FitnessReport get_fitness(const wire::Fitness& in) { return {in.hangs(), in.slow(), in.answered_us(), in.write_us()}; }

}  // namespace

void put(const Heartbeat& in, wire::Envelope& envelope, WireMessage&) {
  wire::Heartbeat* out = envelope.mutable_heartbeat();
  put_fitness(in.fitness, out->mutable_fitness());
  out->set_asks(in.asks);
  out->set_round(in.round);
  out->set_digest(in.digest);
  out->set_full(in.full);
  for (const HeartbeatGroup& group : in.groups) {
    wire::HeartbeatGroup* item = out->add_groups();
    item->set_partition(index_of(group.partition));
    item->set_term(group.term);
    item->set_commit(group.commit);
    item->set_source_added(group.source_added);
    item->set_destination_added(group.destination_added);
  }
}

Heartbeat get(const wire::Heartbeat& in, Check& check, Pieces&) {
  Heartbeat message;
  message.round = in.round();
  message.digest = in.digest();
  message.full = in.full();
  message.fitness = get_fitness(in.fitness());
  message.asks = in.asks();
  check.require(static_cast<std::uint32_t>(in.groups_size()) <= max_partitions);
  check.require(message.full || in.groups_size() == 0);
  message.groups.reserve(static_cast<std::size_t>(in.groups_size()));
  for (const wire::HeartbeatGroup& item : in.groups()) {
    HeartbeatGroup group;
    group.partition = check.partition(item.partition());
    group.term = check.counter(item.term());
    group.commit = item.commit();
    group.source_added = item.source_added();
    group.destination_added = item.destination_added();
    message.groups.push_back(group);
  }
  return message;
}

void put(const HeartbeatReply& in, wire::Envelope& envelope, WireMessage&) {
  wire::HeartbeatReply* out = envelope.mutable_heartbeat_reply();
  out->set_round(in.round);
  out->set_unknown_digest(in.unknown_digest);
  put_fitness(in.fitness, out->mutable_fitness());
  out->set_shortage(shortage_of(in.room));
  for (const HeartbeatReply::Refusal& refusal : in.refused) {
    wire::HeartbeatRefusal* item = out->add_refused();
    item->set_partition(index_of(refusal.partition));
    item->set_term(refusal.term);
    item->set_damaged(refusal.damaged);
  }
  for (const PartitionId partition : in.damaged) out->add_damaged(index_of(partition));
}

HeartbeatReply get(const wire::HeartbeatReply& in, Check& check, Pieces&) {
  HeartbeatReply message;
  message.round = in.round();
  message.unknown_digest = in.unknown_digest();
  message.fitness = get_fitness(in.fitness());
  message.room = room_of(in.shortage(), check);
  message.refused.reserve(static_cast<std::size_t>(in.refused_size()));
  for (const wire::HeartbeatRefusal& item : in.refused()) {
    HeartbeatReply::Refusal refusal;
    refusal.partition = check.partition(item.partition());
    refusal.term = check.counter(item.term());
    refusal.damaged = item.damaged();
    message.refused.push_back(refusal);
  }
  check.require(static_cast<std::uint32_t>(in.damaged_size()) <= max_partitions);
  for (const std::uint32_t partition : in.damaged()) message.damaged.push_back(check.partition(partition));
  return message;
}

}  // namespace ringfs::dht::codec
