// Headers of frames: round trips, and what is refused.
#include "dht/net/wire/frame.hpp"

#include <gtest/gtest.h>

namespace ringfs::dht {
namespace {

std::string header_bytes(FrameHeader header) {
  auto bytes = encode_frame_header(header);
  return {bytes.data(), bytes.size()};
}

const FrameHeader sample{
    .kind = FrameKind::request, .message_bytes = 258, .payload_bytes = 65'536, .request = 0x0102030405060708};

TEST(FrameHeader, Encoded_HasTheDocumentedBytes) {
  std::string expected("RNG1\x01\x03\x00\x00\x00\x00\x01\x02\x00\x01\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08", 24);
  EXPECT_EQ(header_bytes(sample), expected);
}

TEST(FrameHeader, RoundTrip_KeepsAllFields) {
  Result<FrameHeader> decoded = decode_frame_header(header_bytes(sample), max_frame_bytes);
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(decoded->kind, sample.kind);
  EXPECT_EQ(decoded->message_bytes, sample.message_bytes);
  EXPECT_EQ(decoded->payload_bytes, sample.payload_bytes);
  EXPECT_EQ(decoded->request, sample.request);
}

ErrorCode code_of(std::string bytes, std::size_t limit = max_frame_bytes) {
  Result<FrameHeader> decoded = decode_frame_header(bytes, limit);
  return decoded ? ErrorCode::internal : decoded.error().code;
}

TEST(FrameHeader, OtherMagic_IsCorrupt) {
  std::string bytes = header_bytes(sample);
  bytes[0] = 'X';
  EXPECT_EQ(code_of(bytes), ErrorCode::corrupt);
}

TEST(FrameHeader, OtherVersion_IsVersionMismatchThatNamesBoth) {
  std::string bytes = header_bytes(sample);
  bytes[4] = 9;
  Result<FrameHeader> decoded = decode_frame_header(bytes, max_frame_bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, ErrorCode::version_mismatch);
  EXPECT_NE(decoded.error().context.find("version 9"), std::string::npos);
}

TEST(FrameHeader, UnknownKindOrFlagsOrShort_IsCorrupt) {
  std::string kind = header_bytes(sample), none = kind, flags = kind;
  kind[5] = 11;
  none[5] = 0;
  flags[7] = 1;
  EXPECT_EQ(code_of(kind), ErrorCode::corrupt);
  EXPECT_EQ(code_of(none), ErrorCode::corrupt);
  EXPECT_EQ(code_of(flags), ErrorCode::corrupt);
  EXPECT_EQ(code_of(header_bytes(sample).substr(0, 23)), ErrorCode::corrupt);
}

TEST(FrameHeader, BodyAtLimit_PassesAndOneMoreIsTooLarge) {
  FrameHeader header{.kind = FrameKind::envelope, .message_bytes = 96, .payload_bytes = 4000, .request = 0};
  EXPECT_TRUE(decode_frame_header(header_bytes(header), max_handshake_bytes));
  ++header.payload_bytes;
  EXPECT_EQ(code_of(header_bytes(header), max_handshake_bytes), ErrorCode::too_large);
  // Lengths whose sum wraps around in 32 bits.
  header.message_bytes = header.payload_bytes = 0x80000000U;
  EXPECT_EQ(code_of(header_bytes(header), max_frame_bytes), ErrorCode::too_large);
}

TEST(MayBeFrame, FirstBytes_TellJunkApart) {
  EXPECT_TRUE(may_be_frame(""));
  EXPECT_TRUE(may_be_frame("RN"));
  EXPECT_TRUE(may_be_frame("RNG1\x01 and more"));
  EXPECT_FALSE(may_be_frame("G"));
  EXPECT_FALSE(may_be_frame("RNG2"));
}

}  // namespace
}  // namespace ringfs::dht
