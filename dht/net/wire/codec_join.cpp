// Requests for a certificate and their answers on the wire: what a stranger may send, so every length has a bound.
#include "dht/net/wire/codec_fields.hpp"

namespace ringfs::dht {

static_assert(max_certificate_pem_bytes == max_authority_bytes);

namespace codec {

namespace {

bool accept(const JoinRequest* join) {
  const bool secret = join->secret.empty() || join->secret.size() == token_secret_bytes;
  const bool node = join->kind == Identity::Kind::node;
  const bool who = node ? !join->node.is_nil() && join->name.empty() : join->node.is_nil();
  return secret && who && join->name.size() <= max_client_name_bytes && !join->request.empty() &&
         join->request.size() <= max_request_pem_bytes && join->address.size() <= max_address_bytes &&
         join->rest_address.size() <= max_address_bytes;
}

bool accept(const JoinAnswer* answer) {
  const auto fits = [](const std::string& pem) { return !pem.empty() && pem.size() <= max_certificate_pem_bytes; };
  return !answer->ring.is_nil() && answer->name.size() <= max_client_name_bytes && fits(answer->certificate) &&
         !answer->authorities.empty() && answer->authorities.size() <= max_authorities &&
         std::all_of(answer->authorities.begin(), answer->authorities.end(), fits);
}

}  // namespace

RINGFS_WIRE(JoinRequest, secret, kind, node, name, request, address, rest_address);
RINGFS_WIRE(JoinAnswer, ring, role, name, certificate, authorities);

}  // namespace codec

WireMessage encode(const JoinRequest& request) { return codec::encode_frame<wire::JoinRequest>(request); }

Result<JoinRequest> decode_join_request(const ReceivedFrame& frame) {
  if (frame.body.size() > max_handshake_bytes) return fail(ErrorCode::too_large, "a request to join is too long");
  return codec::decode_frame<wire::JoinRequest, JoinRequest>(frame, "request to join");
}

WireMessage encode(const JoinAnswer& answer) { return codec::encode_frame<wire::JoinAnswer>(answer); }

Result<JoinAnswer> decode_join_answer(const ReceivedFrame& frame) {
  if (frame.body.size() > max_join_answer_bytes) {
    return fail(ErrorCode::too_large, "an answer to a request to join is too long");
  }
  return codec::decode_frame<wire::JoinAnswer, JoinAnswer>(frame, "answer to a request to join");
}

}  // namespace ringfs::dht
