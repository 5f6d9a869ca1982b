#include "dht/net/wire/codec.hpp"

#include <algorithm>

#include "dht/net/wire/codec_parts.hpp"

namespace ringfs::dht {

namespace codec {

void put_incarnation(const Incarnation& incarnation, wire::Incarnation* out) {
  out->set_counter(incarnation.counter);
  out->set_nonce(incarnation.nonce);
}

Incarnation get_incarnation(const wire::Incarnation& in, Check& check) {
  return {.counter = check.counter(in.counter()), .nonce = in.nonce()};
}

void put_failure(const Error& error, wire::Failure* out) {
  out->set_code(static_cast<std::uint32_t>(error.code));
  out->set_context(error.context.substr(0, max_error_context_bytes));
}

Error get_failure(const wire::Failure& in, Check& check) {
  Error error;
  error.code = check.enumeration(in.code(), ErrorCode::cloned_identity);
  error.context = check.text(in.context(), max_error_context_bytes);
  // Contexts end in logs and terminals: no control characters from a peer.
  std::replace_if(
      error.context.begin(), error.context.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f; }, '?');
  return error;
}

namespace {

// The alternatives of the oneof against those of Message.
Result<Message> get_message(const wire::Envelope& in, Check& check, Pieces& pieces) {
  switch (in.message_case()) {
    case wire::Envelope::kRequestVote: return get(in.request_vote(), check, pieces);
    case wire::Envelope::kVoteReply: return get(in.vote_reply(), check, pieces);
    case wire::Envelope::kAppend: return get(in.append(), check, pieces);
    case wire::Envelope::kAppendReply: return get(in.append_reply(), check, pieces);
    case wire::Envelope::kTimeoutNow: return get(in.timeout_now(), check, pieces);
    case wire::Envelope::kSnapshotChunk: return get(in.snapshot_chunk(), check, pieces);
    case wire::Envelope::kSnapshotReply: return get(in.snapshot_reply(), check, pieces);
    case wire::Envelope::kHeartbeat: return get(in.heartbeat(), check, pieces);
    case wire::Envelope::kHeartbeatReply: return get(in.heartbeat_reply(), check, pieces);
    case wire::Envelope::kNeighboursRequest: return get(in.neighbours_request(), check, pieces);
    case wire::Envelope::kNeighbours: return get(in.neighbours(), check, pieces);
    case wire::Envelope::kNotify: return get(in.notify(), check, pieces);
    case wire::Envelope::kFind: return get(in.find(), check, pieces);
    case wire::Envelope::kFound: return get(in.found(), check, pieces);
    case wire::Envelope::kTableRequest: return get(in.table_request(), check, pieces);
    case wire::Envelope::kTableReply: return get(in.table_reply(), check, pieces);
    case wire::Envelope::kReplicaQuery: return get(in.replica_query(), check, pieces);
    case wire::Envelope::kReplicaRemoved: return get(in.replica_removed(), check, pieces);
    case wire::Envelope::kPing: return get(in.ping(), check, pieces);
    case wire::Envelope::kNodeReport: return get(in.node_report(), check, pieces);
    case wire::Envelope::MESSAGE_NOT_SET: break;
  }
  return fail(ErrorCode::corrupt, "envelope without a known message");
}

}  // namespace

}  // namespace codec

using codec::Check;
using codec::Pieces;
using codec::raw;

WireMessage encode(const Handshake& handshake) {
  wire::Handshake out;
  out.set_protocol(protocol_version);
  out.set_role(static_cast<std::uint32_t>(handshake.role));
  out.set_node(raw(handshake.node));
  codec::put_incarnation(handshake.incarnation, out.mutable_incarnation());
  out.set_ring(raw(handshake.ring));
  out.set_table_version(handshake.table_version);
  out.set_stamp(handshake.stamp.microseconds);
  out.set_expected(raw(handshake.expected));
  out.set_address(handshake.address);
  return {.message = out.SerializeAsString(), .payload = {}};
}

Result<Handshake> decode_handshake(const ReceivedFrame& frame) {
  wire::Handshake in;
  if (frame.header.payload_bytes != 0 || !codec::parse(frame, in))
    return fail(ErrorCode::corrupt, "handshake does not decode");
  if (in.protocol() != protocol_version) {
    return fail(ErrorCode::version_mismatch, "the peer speaks protocol version " + std::to_string(in.protocol()) +
                                                 ", this is version " + std::to_string(protocol_version));
  }
  Check check;
  Handshake handshake;
  handshake.role = check.enumeration(in.role(), PeerRole::node);
  handshake.node = check.uuid(in.node());
  handshake.incarnation = codec::get_incarnation(in.incarnation(), check);
  handshake.ring = check.uuid(in.ring());
  handshake.table_version = in.table_version();
  handshake.stamp = Stamp{in.stamp()};
  handshake.expected = check.uuid(in.expected());
  handshake.address = check.text(in.address(), max_address_bytes);
  check.require(handshake.role == PeerRole::client || !handshake.node.is_nil());
  if (!check.ok) return fail(ErrorCode::corrupt, "handshake does not decode");
  return handshake;
}

WireMessage encode(const Error& error) {
  wire::Failure out;
  codec::put_failure(error, &out);
  return {.message = out.SerializeAsString(), .payload = {}};
}

Result<Error> decode_error(const ReceivedFrame& frame) {
  wire::Failure in;
  if (frame.header.payload_bytes != 0 || !codec::parse(frame, in))
    return fail(ErrorCode::corrupt, "error does not decode");
  Check check;
  Error error = codec::get_failure(in, check);
  if (!check.ok) return fail(ErrorCode::corrupt, "error does not decode");
  return error;
}

WireMessage encode(const Envelope& envelope) {
  wire::Envelope out;
  wire::Header* header = out.mutable_header();
  header->set_ring(raw(envelope.header.ring));
  header->set_source(raw(envelope.header.source));
  codec::put_incarnation(envelope.header.incarnation, header->mutable_incarnation());
  header->set_destination(raw(envelope.header.destination));
  header->set_table_version(envelope.header.table_version);
  header->set_stamp(envelope.header.stamp.microseconds);
  WireMessage result;
  std::visit([&](const auto& message) { codec::put(message, out, result); }, envelope.message);
  result.message = out.SerializeAsString();
  return result;
}

Result<Envelope> decode_envelope(const ReceivedFrame& frame) {
  wire::Envelope in;
  if (!codec::parse(frame, in)) return fail(ErrorCode::corrupt, "envelope does not decode");
  Check check;
  Pieces pieces(frame);
  Envelope envelope;
  envelope.header.ring = check.uuid(in.header().ring());
  envelope.header.source = check.uuid(in.header().source());
  envelope.header.incarnation = codec::get_incarnation(in.header().incarnation(), check);
  envelope.header.destination = check.uuid(in.header().destination());
  envelope.header.table_version = in.header().table_version();
  envelope.header.stamp = Stamp{in.header().stamp()};  // of a clock that may show anything
  Result<Message> message = codec::get_message(in, check, pieces);
  if (!message) return tl::unexpected(message.error());
  envelope.message = std::move(*message);
  if (!check.ok) return fail(ErrorCode::corrupt, "envelope with a value out of range");
  if (!pieces.done()) return fail(ErrorCode::corrupt, "envelope whose payload does not fit its message");
  return envelope;
}

}  // namespace ringfs::dht
