// Frames: how a byte stream is divided into messages (docs/wire-format.md).
//
// A frame is a fixed header of 24 bytes, big-endian, then `message_bytes` of protobuf, then `payload_bytes` raw:
//   magic u32 "RNG1" | version u8 | kind u8 | flags u16 (0) | message length u32 | payload length u32 | request u64
// The first six bytes never change their meaning, so that each version can refuse each other one with an error frame.
// Threads: plain values. Errors: corrupt (not ours), version_mismatch, too_large.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/bytes.hpp"
#include "dht/base/error.hpp"

namespace ringfs::dht {

inline constexpr std::uint8_t protocol_version = 1;
inline constexpr std::size_t frame_header_bytes = 24;
inline constexpr std::size_t max_handshake_bytes = 4 << 10;  // message + payload, until handshakes were exchanged
// Message + payload afterwards: a 1 MiB chunk and what goes with it.
inline constexpr std::size_t max_frame_bytes = 2 << 20;
// Message + payload of the answer to a request to join: a certificate and those of the authorities.
inline constexpr std::size_t max_join_answer_bytes = 24 << 10;

enum class FrameKind : std::uint8_t {
  handshake = 1,  // first frame of both sides
  envelope = 2,   // node to node, one way
  request = 3,    // client to node
  response = 4,   // node to client, with the request's number
  error = 5,      // why the sender closes the connection
  join = 6,       // instead of a handshake: somebody asks for a certificate
  join_answer = 7,
  trust = 8,     // instead of a handshake: a question about tokens, clients and the authority, and its answer
  recall = 9,    // node to client: row leases are wanted back
  release = 10,  // client to node: they are given back
};

struct FrameHeader {
  FrameKind kind{};
  std::uint32_t message_bytes = 0;
  std::uint32_t payload_bytes = 0;
  std::uint64_t request = 0;  // chosen by the client, unique among its requests in flight; 0 in other kinds

  std::size_t body_bytes() const { return std::size_t{message_bytes} + payload_bytes; }
};

std::array<char, frame_header_bytes> encode_frame_header(const FrameHeader& header);
// `bytes`: at least frame_header_bytes. `limit`: of message + payload.
Result<FrameHeader> decode_frame_header(std::string_view bytes, std::size_t limit);
// Whether a byte stream that starts like this can be ours: refuses junk before a whole header has come.
bool may_be_frame(std::string_view start);

// What the codec makes: a message and, behind it, pieces that are not copied.
struct WireMessage {
  std::string message;
  std::vector<SharedBytes> payload;

  std::size_t payload_bytes() const {
    std::size_t total = 0;
    for (const SharedBytes& piece : payload) total += piece.size();
    return total;
  }
  std::size_t bytes() const { return message.size() + payload_bytes(); }
};

// A frame as it came: message and payload in one buffer, whose parts the decoded values share.
struct ReceivedFrame {
  FrameHeader header;
  SharedBytes body;

  std::string_view message() const { return body.view().substr(0, header.message_bytes); }
};

}  // namespace ringfs::dht
