// Envelopes on the wire: the messages of dht/core/protocol/messages.hpp, a list of fields each.
#include "dht/core/chord/chord.hpp"
#include "dht/net/wire/codec_fields.hpp"

namespace ringfs::dht {

namespace codec {

namespace {

using HeartbeatRefusal = HeartbeatReply::Refusal;

bool accept(const RaftHeader* raft) { return raft->term < max_counter; }
bool accept(const LeaseHolders* holders) { return holders->clients.size() <= max_lease_holders; }
bool accept(const LeaseHolder* holder) { return holder->left <= max_lease_left; }
bool accept(const VoteReply* reply) {
  return reply->lease_holders.size() <= max_lease_holders && reply->leases_unknown <= max_lease_left;
}
bool accept(const HeartbeatGroup* group) { return group->term < max_counter; }
bool accept(const HeartbeatRefusal* refusal) { return refusal->term < max_counter; }

// Numbers the entries, whose indices are not sent.
bool accept(Append* append) {
  // The last entry's index must not wrap around.
  if (append->previous_index >= std::numeric_limits<LogIndex>::max() - max_frame_bytes) return false;
  LogIndex index = append->previous_index;
  Term previous_term = append->previous_term;
  for (Entry& entry : append->entries) {
    entry.index = ++index;
    // Terms never go back within a log, and no entry is newer than the leader who sends it.
    if (entry.term < previous_term || entry.term > append->raft.term) return false;
    previous_term = entry.term;
    if (!is_sane(entry.stamp)) return false;
    if (entry.kind != EntryKind::batch && !entry.blobs.empty()) return false;
    if (entry.kind == EntryKind::configuration && !decode_configuration(entry.head.view())) return false;
  }
  return true;
}

bool accept(const SnapshotChunk* chunk) {
  return is_sane(chunk->last_stamp) && decode_configuration(chunk->configuration);
}
bool accept(const ReplicaRemoved* removed) { return decode_configuration(removed->configuration).has_value(); }

bool accept(const Heartbeat* heartbeat) {
  return heartbeat->groups.size() <= max_partitions && (heartbeat->full || heartbeat->groups.empty());
}
bool accept(const HeartbeatReply* reply) { return reply->damaged.size() <= max_partitions; }

bool accept(const TableReply* reply) { return decode_members_table(reply->table).has_value(); }
bool accept(const NodeReport* report) {
  return report->led.size() <= max_partitions && report->unsettled.size() <= max_members &&
         report->silent.size() <= max_members;
}

}  // namespace

RINGFS_WIRE(Header, ring, source, incarnation, destination, table_version, stamp);

RINGFS_WIRE(RaftHeader, partition, term, source_added, destination_added);
RINGFS_WIRE(RequestVote, raft, pre_vote, transfer, last_index, last_term);
RINGFS_WIRE(LeaseHolder, client, (left, left_us));
RINGFS_WIRE(VoteReply, raft, pre_vote, granted, lease_holders, (leases_unknown, leases_unknown_us));
RINGFS_WIRE_PARTS(Entry, term, stamp, kind, (head, head_size), (blobs, blob_sizes));
RINGFS_WIRE(Append, raft, previous_index, previous_term, commit, entries, lease_version);
RINGFS_WIRE(AppendReply, raft, success, match, rejected, hint_index, hint_term, no_space, absent, (room, shortage));
RINGFS_WIRE(TimeoutNow, raft);
RINGFS_WIRE(SnapshotChunk, raft, snapshot, last_index, last_term, last_stamp, configuration, configuration_index,
            number, (rows, rows_size), (blobs, blob_sizes), last);
RINGFS_WIRE(SnapshotReply, raft, snapshot, next, installed, refused, (room, shortage));
RINGFS_WIRE(ReplicaQuery, raft);
RINGFS_WIRE(ReplicaRemoved, raft, configuration, configuration_index);

RINGFS_WIRE(FitnessReport, hangs, slow, answered_us, write_us);
RINGFS_WIRE(LeaseHolders, version, unknown, clients);

// Most groups have nobody with a lease: nothing is sent then.
void put(Encoder& encoder, const HeartbeatGroup& in, wire::HeartbeatGroup& out) {
  out.set_partition(number_of<std::uint32_t>(encoder, in.partition));
  out.set_term(in.term);
  out.set_commit(in.commit);
  out.set_source_added(in.source_added);
  out.set_destination_added(in.destination_added);
  if (in.leases != LeaseHolders{}) put(encoder, in.leases, *out.mutable_leases());
}

void get(Decoder& decoder, const wire::HeartbeatGroup& in, HeartbeatGroup& out) {
  get(decoder, in.partition(), out.partition);
  out.term = in.term();
  out.commit = in.commit();
  out.source_added = in.source_added();
  out.destination_added = in.destination_added();
  if (in.has_leases()) get(decoder, in.leases(), out.leases);
  decoder.require(accept(&out));
}

RINGFS_WIRE(Heartbeat, round, digest, full, groups, fitness, asks);
RINGFS_WIRE(HeartbeatRefusal, partition, term, damaged);
RINGFS_WIRE(HeartbeatReply, round, unknown_digest, (room, shortage), refused, fitness, damaged, keeps_leases);

RINGFS_WIRE(ChordPeer, node, token);
RINGFS_WIRE(ChordNeighboursRequest, request, token);

void put(Encoder& encoder, const ChordNeighbours& in, wire::ChordNeighbours& out) {
  out.set_request(in.request);
  out.set_member(in.member);
  if (in.predecessor) put(encoder, *in.predecessor, *out.mutable_predecessor());
  put(encoder, in.successors, *out.mutable_successors());
}

void get(Decoder& decoder, const wire::ChordNeighbours& in, ChordNeighbours& out) {
  out.request = in.request();
  out.member = in.member();
  if (in.has_predecessor()) get(decoder, in.predecessor(), out.predecessor.emplace());
  get(decoder, in.successors(), out.successors);
  decoder.require(out.successors.size() <= max_successors);
}

RINGFS_WIRE(ChordNotify, token, candidate);
RINGFS_WIRE(ChordFind, request, position);
RINGFS_WIRE(ChordFound, request, member, final, peer, through);

RINGFS_WIRE_EMPTY(TableRequest);
RINGFS_WIRE(TableReply, (table, table_size));
RINGFS_WIRE(Ping, answer);
RINGFS_WIRE(NodeReport, led, unsettled, silent);

RINGFS_WIRE_ONE_OF(Message, Envelope, request_vote, vote_reply, append, append_reply, timeout_now, snapshot_chunk,
                   snapshot_reply, heartbeat, heartbeat_reply, neighbours_request, neighbours, notify, find, found,
                   table_request, table_reply, replica_query, replica_removed, ping, node_report);

void put(Encoder& encoder, const Envelope& in, wire::Envelope& out) {
  if (const auto* append = std::get_if<Append>(&in.message)) {
    LogIndex expected = append->previous_index;
    for (const Entry& entry : append->entries) RINGFS_CHECK(entry.index == ++expected);
  }
  put(encoder, in.header, *out.mutable_header());
  put(encoder, in.message, out);
}

void get(Decoder& decoder, const wire::Envelope& in, Envelope& out) {
  get(decoder, in.header(), out.header);
  if (!get_one_of(decoder, in, out.message)) decoder.refuse({ErrorCode::corrupt, "envelope without a known message"});
}

}  // namespace codec

WireMessage encode(const Envelope& envelope) { return codec::encode_frame<wire::Envelope>(envelope); }

Result<Envelope> decode_envelope(const ReceivedFrame& frame) {
  return codec::decode_frame<wire::Envelope, Envelope>(frame, "envelope");
}

}  // namespace ringfs::dht
