// Handshakes and errors on the wire: what a connection begins and ends with.
#include "dht/net/wire/codec.hpp"

#include "dht/net/wire/codec_fields.hpp"

namespace ringfs::dht {

namespace codec {

void put(Encoder& encoder, const Error& in, wire::Failure& out) {
  put(encoder, in.context.substr(0, max_error_context_bytes), *out.mutable_context());
  out.set_code(number_of<std::uint32_t>(encoder, in.code));
}

void get(Decoder& decoder, const wire::Failure& in, Error& out) {
  get(decoder, in.code(), out.code);
  get(decoder, in.context(), out.context);
  decoder.require(out.context.size() <= max_error_context_bytes);
  // Contexts end in logs and terminals: no control characters from a peer.
  std::replace_if(
      out.context.begin(), out.context.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f; }, '?');
}

namespace {

bool accept(const Handshake* handshake) {
  return handshake->address.size() <= max_address_bytes &&
         (handshake->role == PeerRole::client || !handshake->node.is_nil());
}

}  // namespace

RINGFS_WIRE(Handshake, role, node, incarnation, ring, table_version, stamp, expected, address);

}  // namespace codec

WireMessage encode(const Handshake& handshake) {
  wire::Handshake out;
  WireMessage result;
  codec::Encoder encoder{result.payload};
  out.set_protocol(protocol_version);
  codec::put(encoder, handshake, out);
  result.message = out.SerializeAsString();
  return result;
}

Result<Handshake> decode_handshake(const ReceivedFrame& frame) {
  wire::Handshake in;
  if (frame.header.payload_bytes != 0 || !codec::parse(frame, in))
    return fail(ErrorCode::corrupt, "handshake does not decode");
  if (in.protocol() != protocol_version) {
    return fail(ErrorCode::version_mismatch, "the peer speaks protocol version " + std::to_string(in.protocol()) +
                                                 ", this is version " + std::to_string(protocol_version));
  }
  codec::Decoder decoder(frame);
  Handshake handshake;
  codec::get(decoder, in, handshake);
  if (!decoder.ok()) return fail(ErrorCode::corrupt, "handshake does not decode");
  return handshake;
}

WireMessage encode(const Error& error) { return codec::encode_frame<wire::Failure>(error); }

Result<Error> decode_error(const ReceivedFrame& frame) {
  wire::Failure in;
  if (frame.header.payload_bytes != 0 || !codec::parse(frame, in))
    return fail(ErrorCode::corrupt, "error does not decode");
  codec::Decoder decoder(frame);
  Error error;
  codec::get(decoder, in, error);
  if (!decoder.ok()) return fail(ErrorCode::corrupt, "error does not decode");
  return error;
}

}  // namespace ringfs::dht
