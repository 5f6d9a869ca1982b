// Decoders over seeded random mutations of valid frames: bits flipped, bytes cut, inserted and exchanged between
// frames. Nothing may crash or read outside its input (run it under ASan), and whatever decodes must encode again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/fuzz/samples.hpp"

namespace ringfs {
namespace {

using samples::mutate;

constexpr std::size_t mutations_a_frame = 400;

TEST(CodecMutations, AnyBytes_AreRefusedOrEncodeAgain) {
  const char* given = std::getenv("RINGFS_SEED");
  std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20240611;
  std::cout << "RINGFS_SEED=" << seed << "\n";
  SeededRandom random(seed);
  std::vector<dht::ReceivedFrame> frames = samples::frames(random);
  std::size_t refused = 0, decoded = 0;
  for (const dht::ReceivedFrame& frame : frames) {
    for (std::size_t round = 0; round < mutations_a_frame; ++round) {
      std::string message(frame.message());
      std::string payload(frame.body.view().substr(frame.header.message_bytes));
      std::string other(frames[random.below(frames.size())].message());
      // Mostly the message: a changed payload is somebody else's bytes.
      if (random.below(4) == 0) {
        mutate(payload, other, random);
      } else {
        mutate(message, other, random);
      }
      dht::ReceivedFrame mutated;
      mutated.header = frame.header;
      if (random.below(20) == 0) mutated.header.kind = dht::FrameKind{static_cast<std::uint8_t>(1 + random.below(7))};
      mutated.header.message_bytes = static_cast<std::uint32_t>(message.size());
      mutated.header.payload_bytes = static_cast<std::uint32_t>(payload.size());
      mutated.body = SharedBytes(message + payload);
      Result<std::string> again = samples::decode_any(mutated);
      if (!again) {
        ++refused;
      } else {
        ++decoded;
      }
    }
  }
  EXPECT_GT(refused, frames.size() * mutations_a_frame / 10);
  EXPECT_GT(decoded, 0U);
}

TEST(FrameMutations, AnyHeader_IsRefusedOrWithinLimits) {
  SeededRandom random(7);
  std::size_t accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    dht::FrameHeader header{.kind = dht::FrameKind{static_cast<std::uint8_t>(1 + random.below(7))},
                            .message_bytes = static_cast<std::uint32_t>(random.below(5000)),
                            .payload_bytes = static_cast<std::uint32_t>(random.below(5000)),
                            .request = random.next()};
    auto encoded = dht::encode_frame_header(header);
    std::string bytes(encoded.data(), encoded.size());
    mutate(bytes, bytes, random);
    Result<dht::FrameHeader> decoded = dht::decode_frame_header(bytes, dht::max_handshake_bytes);
    if (!decoded) continue;
    ++accepted;
    ASSERT_LE(decoded->body_bytes(), dht::max_handshake_bytes);
  }
  EXPECT_GT(accepted, 0U);
}

}  // namespace
}  // namespace ringfs
