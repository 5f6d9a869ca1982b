// Clients' operations on the wire (dht/core/protocol/operations.hpp), a list of fields each.
#include "dht/net/wire/codec_fields.hpp"

namespace ringfs::dht {

namespace codec {

namespace {

bool accept(const Recall* recall) { return recall->rows.size() <= max_recalled_rows; }

}  // namespace

RINGFS_WIRE(Recall, client, partition, term, number, everything, rows);

// A client that wants no lease is not named.
void put(Encoder& encoder, const ReadOperation& in, wire::ReadOperation& out) {
  out.set_partition(number_of<std::uint32_t>(encoder, in.partition));
  out.set_request_size(number_of<std::uint32_t>(encoder, in.request));
  if (in.lease.duration <= Duration::zero()) return;
  put(encoder, in.lease.client, *out.mutable_lease_client());
  out.set_lease_us(number_of<std::uint32_t>(encoder, in.lease.duration));
}

void get(Decoder& decoder, const wire::ReadOperation& in, ReadOperation& out) {
  get(decoder, in.partition(), out.partition);
  get(decoder, in.request_size(), out.request);
  get(decoder, in.lease_us(), out.lease.duration);
  if (in.lease_us() != 0) get(decoder, in.lease_client(), out.lease.client);
}

RINGFS_WIRE_PARTS(CommitOperation, partition, (batch.head, head_size), (batch.blobs, blob_sizes), (lease, lease_us));
RINGFS_WIRE(FindOperation, position);
RINGFS_WIRE_EMPTY(TableOperation);

void put(Encoder&, const StatusOperation& in, wire::StatusOperation& out) {
  if (in.events_after) out.set_events_after(*in.events_after);
}

void get(Decoder&, const wire::StatusOperation& in, StatusOperation& out) {
  if (in.has_events_after()) out.events_after = in.events_after();
}

RINGFS_WIRE(CreateOperation, (genesis, genesis_size));
RINGFS_WIRE(JoinOperation, (genesis, genesis_size), (table, table_size));

RINGFS_WIRE_PARTS(SettleOperation, partition, (lock.partition, record_partition), (lock.id.started, started),
                  (lock.id.random, random));

RINGFS_WIRE_ONE_OF(Operation, Request, read, commit, find, table, status, create, join, settle);

void get(Decoder& decoder, const wire::Request& in, Operation& out) {
  if (!get_one_of(decoder, in, out)) decoder.refuse({ErrorCode::corrupt, "request without a known operation"});
}

}  // namespace codec

WireMessage encode(const Recall& recall) { return codec::encode_frame<wire::Recall>(recall); }

Result<Recall> decode_recall(const ReceivedFrame& frame) {
  return codec::decode_frame<wire::Recall, Recall>(frame, "recall");
}

WireMessage encode(const Operation& operation) { return codec::encode_frame<wire::Request>(operation); }

Result<Operation> decode_operation(const ReceivedFrame& frame) {
  return codec::decode_frame<wire::Request, Operation>(frame, "request");
}

}  // namespace ringfs::dht
