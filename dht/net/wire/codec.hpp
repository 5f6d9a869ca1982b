// The codec: values of dht/core to bytes on the wire and back (docs/wire-format.md). Wire types never leave it.
//
// Encoding copies no entry, blob or row: they ride behind the message as pieces. Decoding shares the frame's buffer;
// pieces that are small beside it are copied, so that a few bytes never keep a large buffer alive. Everything decoded
// is validated: sizes of identities, ranges of enums, order of entries, that pieces fill the payload exactly. What is
// semantic (terms, indices against a log) is the core's business. Threads: none. Errors: corrupt (with what);
// version_mismatch from a handshake.
#pragma once

#include <string>
#include <string_view>

#include "dht/base/error.hpp"
#include "dht/core/protocol/messages.hpp"
#include "dht/core/protocol/operations.hpp"
#include "dht/net/trust/identity.hpp"
#include "dht/net/wire/frame.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_error_context_bytes = 1024;  // longer ones are cut when encoded
inline constexpr std::size_t max_address_bytes = 300;         // host names have at most 253 bytes
inline constexpr std::size_t token_secret_bytes = 32;
inline constexpr std::size_t max_request_pem_bytes = 2048;      // of P-256 it has some 450
inline constexpr std::size_t max_certificate_pem_bytes = 4096;  // as of an authority (members_table.hpp)

enum class PeerRole : std::uint8_t { client = 1, node = 2 };

// The first frame of both sides of every connection (docs/design.md#node-identity).
struct Handshake {
  PeerRole role{};
  Uuid node;                // of a client that takes row leases: the client; of others: nil
  Incarnation incarnation;  // of a client: zero
  Uuid ring;                // nil: a waiting node, or a client that takes any ring
  std::uint64_t table_version = 0;
  Stamp stamp;          // a node's: the ring's time, as it knows it; a client's: its wall clock
  Uuid expected;        // who should be at the other end; nil: anybody
  std::string address;  // where the sender itself listens; empty: nowhere
};

WireMessage encode(const Handshake& handshake);
Result<Handshake> decode_handshake(const ReceivedFrame& frame);

// The first and only frame of somebody who wants a certificate: a newcomer with a token's secret, or a holder of a
// certificate who renews it. Bounded by max_handshake_bytes.
struct JoinRequest {
  std::string secret;  // of a token: token_secret_bytes; empty: a renewal, by whom the connection's certificate names
  Identity::Kind kind = Identity::Kind::client;
  Uuid node;                          // of a node
  std::string name;                   // of a client
  std::string request;                // PKCS #10, PEM
  std::string address, rest_address;  // of a node: where it can be reached
};
WireMessage encode(const JoinRequest& request);
Result<JoinRequest> decode_join_request(const ReceivedFrame& frame);

// Refusals are error frames.
struct JoinAnswer {
  Uuid ring;
  AccessRole role = AccessRole::reader;
  std::string name;                      // of a client
  std::string certificate;               // PEM
  std::vector<std::string> authorities;  // PEM: whose signatures the ring's members carry; 1 to max_authorities
};
WireMessage encode(const JoinAnswer& answer);
Result<JoinAnswer> decode_join_answer(const ReceivedFrame& frame);

// A question about trust, and its answer, as JSON (nodes/daemon/trust_desk.hpp). Refusals are error frames.
struct TrustText {
  std::string text;
};
WireMessage encode(const TrustText& text);
Result<TrustText> decode_trust_text(const ReceivedFrame& frame);

WireMessage encode(const Error& error);
Result<Error> decode_error(const ReceivedFrame& frame);

WireMessage encode(const Envelope& envelope);
Result<Envelope> decode_envelope(const ReceivedFrame& frame);

WireMessage encode(const Operation& operation);
Result<Operation> decode_operation(const ReceivedFrame& frame);

// Of frames of both kinds: a recall, and the release that answers it.
WireMessage encode(const Recall& recall);
Result<Recall> decode_recall(const ReceivedFrame& frame);

struct Response {
  Stamp stamp;  // the ring's time, as the node knew it when it answered
  OperationResult result;
};
WireMessage encode(const Response& response);
Result<Response> decode_response(const ReceivedFrame& frame);

}  // namespace ringfs::dht
