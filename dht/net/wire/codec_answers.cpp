// What nodes answer, on the wire (dht/core/protocol/operations.hpp), a list of fields each.
#include <algorithm>

#include "dht/net/wire/codec_fields.hpp"

namespace ringfs::dht {

namespace codec {

namespace {

bool accept(const ReadAnswer* answer) {
  return is_sane(answer->stamp) && std::is_sorted(answer->unleased.begin(), answer->unleased.end());
}
bool accept(const FindReply* reply) { return reply->address.size() <= max_address_bytes; }
bool accept(const OperationFailure* failure) { return failure->redirect.members.size() <= max_members; }

bool accept(NodeStatus* status) {
  status->wall = std::clamp(status->wall, Stamp{}, max_stamp);  // of a clock that may show anything
  return is_sane(status->ring_time) && status->groups.size() <= max_partitions &&
         status->events.size() <= 2 * max_events;
}

}  // namespace

RINGFS_WIRE_PARTS(ReadAnswer, (head, head_size), (blobs, blob_sizes), (lease, lease_us), stamp,
                  (scan_lease, scan_lease_us), unleased);

void put(Encoder& encoder, const BatchResult& in, wire::BatchAnswer& out) {
  out.set_result_size(number_of<std::uint32_t>(encoder, in));
  out.set_lease_us(number_of<std::uint32_t>(encoder, in.lease));
}

void get(Decoder& decoder, const wire::BatchAnswer& in, BatchResult& out) {
  get(decoder, in.result_size(), out);
  get(decoder, in.lease_us(), out.lease);
}

RINGFS_WIRE(FindReply, final, node, address, token, through);

void put(Encoder& encoder, const TableAnswer& in, wire::TableAnswer& out) {
  out.set_affiliated(in.genesis.has_value());
  if (in.genesis) out.set_genesis_size(number_of<std::uint32_t>(encoder, *in.genesis));
  out.set_table_size(number_of<std::uint32_t>(encoder, in.table));
}

void get(Decoder& decoder, const wire::TableAnswer& in, TableAnswer& out) {
  if (in.affiliated()) {
    get(decoder, in.genesis_size(), out.genesis.emplace());
  } else if (!decoder.take(in.genesis_size()).empty()) {
    decoder.refuse({ErrorCode::corrupt, "genesis of an unaffiliated node"});
  }
  get(decoder, in.table_size(), out.table);
}

RINGFS_WIRE(GroupStatus, partition, role, term, leader, first_index, last_index, commit, applied, lease, behind,
            snapshotting, settled, learners, damaged);
RINGFS_WIRE(NodeEvent, sequence, (time, stamp), name, detail);
RINGFS_WIRE(NodeStatus, node, incarnation, ring, table_version, groups, snapshot_bytes_sent, database_bytes,
            disk_total_bytes, disk_free_bytes, disk_id, no_space, (disk_stalled, disk_stalled_us),
            (disk_write_time, disk_write_us), disk_slow, late, storage_note, wall, ring_time, events);
RINGFS_WIRE_EMPTY(Empty);
RINGFS_WIRE(SettleAnswer, gone);
RINGFS_WIRE_PARTS(OperationFailure, error, (redirect.leader, leader), (redirect.members, members));

RINGFS_WIRE_ONE_OF(Answer, Response, read, batch, find, table, status, empty, settle);

void put(Encoder& encoder, const Response& in, wire::Response& out) {
  out.set_stamp(in.stamp.microseconds);
  if (in.result) {
    put(encoder, *in.result, out);
  } else {
    put(encoder, in.result.error(), *out.mutable_failure());
  }
}

void get(Decoder& decoder, const wire::Response& in, Response& out) {
  get(decoder, in.stamp(), out.stamp);
  if (in.has_failure()) {
    OperationFailure failure;
    get(decoder, in.failure(), failure);
    out.result = tl::unexpected(std::move(failure));
    return;
  }
  Answer answer;
  if (!get_one_of(decoder, in, answer)) decoder.refuse({ErrorCode::corrupt, "response without a known result"});
  out.result = std::move(answer);
}

}  // namespace codec

WireMessage encode(const Response& response) { return codec::encode_frame<wire::Response>(response); }

Result<Response> decode_response(const ReceivedFrame& frame) {
  Result<Response> response = codec::decode_frame<wire::Response, Response>(frame, "response");
  if (response && !is_sane(response->stamp)) return fail(ErrorCode::corrupt, "response with an absurd time");
  return response;
}

}  // namespace ringfs::dht
