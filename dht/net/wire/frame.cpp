// A frame's header to bytes and back.
#include "dht/net/wire/frame.hpp"

#include <algorithm>

namespace ringfs::dht {

namespace {

constexpr std::string_view magic = "RNG1";

}  // namespace

std::array<char, frame_header_bytes> encode_frame_header(const FrameHeader& header) {
  Writer writer;
  writer.reserve(frame_header_bytes);
  writer.raw(magic);
  writer.u8(protocol_version);
  writer.u8(static_cast<std::uint8_t>(header.kind));
  writer.u16(0);
  writer.u32(header.message_bytes);
  writer.u32(header.payload_bytes);
  writer.u64(header.request);
  std::array<char, frame_header_bytes> bytes{};
  std::copy_n(writer.bytes().data(), frame_header_bytes, bytes.data());
  return bytes;
}

bool may_be_frame(std::string_view start) {
  std::size_t compared = std::min(start.size(), magic.size());
  return start.substr(0, compared) == magic.substr(0, compared);
}

Result<FrameHeader> decode_frame_header(std::string_view bytes, std::size_t limit) {
  Reader reader(bytes);
  if (reader.raw(magic.size()) != magic) return fail(ErrorCode::corrupt, "not a RingFS frame");
  std::uint8_t version = reader.u8();
  if (version != protocol_version) {
    return fail(ErrorCode::version_mismatch, "the peer speaks protocol version " + std::to_string(version) +
                                                 ", this is version " + std::to_string(protocol_version));
  }
  std::uint8_t kind = reader.u8();
  std::uint16_t flags = reader.u16();
  FrameHeader header;
  header.kind = FrameKind{kind};
  header.message_bytes = reader.u32();
  header.payload_bytes = reader.u32();
  header.request = reader.u64();
  if (!reader.ok()) return fail(ErrorCode::corrupt, "frame header cut short");
  if (kind < 1 || kind > static_cast<std::uint8_t>(FrameKind::release))
    return fail(ErrorCode::corrupt, "unknown kind of frame");
  if (flags != 0) return fail(ErrorCode::corrupt, "unknown frame flags");
  if (header.body_bytes() > limit) {
    return fail(ErrorCode::too_large, "frame of " + std::to_string(header.body_bytes()) + " bytes");
  }
  return header;
}

}  // namespace ringfs::dht
