// What a stranger sends before a node knows him, over seeded random mutations. Nothing may crash or read outside its
// input (run it under ASan); strangers.cpp checks what must hold.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "dht/net/trust/certificate.hpp"
#include "tests/fuzz/samples.hpp"
#include "tests/fuzz/strangers.hpp"

namespace ringfs {
namespace {

std::uint64_t seed() {
  const char* given = std::getenv("RINGFS_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261127;
  std::cout << "RINGFS_SEED=" << seed << "\n";
  return seed;
}

std::string whole(const dht::ReceivedFrame& frame) {
  const auto header = dht::encode_frame_header(frame.header);
  return std::string(header.data(), header.size()) + frame.body.str();
}

TEST(StrangersFrames, AnyBytes_AreRefusedOrTaken) {
  SeededRandom random(seed());
  std::vector<std::string> first;
  first.push_back(whole(samples::received(dht::FrameKind::handshake, dht::encode(samples::handshake(random)))));
  for (dht::JoinRequest& request : samples::join_requests(random)) {
    request.request = dht::make_request(dht::PrivateKey::generate().value()).value();
    first.push_back(whole(samples::received(dht::FrameKind::join, dht::encode(request))));
  }
  const std::string piece(1, '\x40');
  EXPECT_TRUE(strangers::frames(piece + first[0]).introduced);
  EXPECT_TRUE(strangers::frames(piece + first[1]).signed_key);
  EXPECT_TRUE(strangers::frames(piece + first[2]).signed_key);
  std::string later;
  for (const dht::ReceivedFrame& frame : samples::frames(random)) later += whole(frame);

  std::size_t introduced = 0, signed_keys = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = first[static_cast<std::size_t>(round) % first.size()];
    if (round % 6 == 0) bytes += later;
    samples::mutate(bytes, first[random.below(first.size())], random);
    const strangers::Outcome outcome = strangers::frames(samples::bytes(random, 1) + bytes);
    introduced += outcome.introduced ? 1 : 0;
    signed_keys += outcome.signed_key ? 1 : 0;
    refused += outcome.refused ? 1 : 0;
  }
  EXPECT_GT(introduced, 100U);
  EXPECT_GT(signed_keys, 10U);
  EXPECT_GT(refused, 1000U);
}

TEST(StrangersRecords, ChangedOrForeignBytes_EstablishNothingAndBringNothingThrough) {
  SeededRandom random(seed());
  for (const char* untouched : {"\2", "\3", "\4"}) EXPECT_TRUE(strangers::records(untouched).established);
  EXPECT_EQ(strangers::records(std::string(1, 4)).passed, 3000U);
  std::size_t established = 0, refused = 0;
  std::uint64_t passed = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string input(1, static_cast<char>(round % 5));
    for (std::uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
      // Where: mostly within what a handshake has; a record header now and then.
      const std::uint64_t where = random.below(random.below(3) == 0 ? 16 : 3200);
      input += static_cast<char>(where / 256);
      input += static_cast<char>(where % 256);
      input += samples::bytes(random, 1);
    }
    if (input[0] < 2) input += std::string("\x16\x03\x01\x02", 4) + samples::bytes(random, random.below(2000));
    const strangers::Outcome outcome = strangers::records(input);
    established += outcome.established ? 1 : 0;
    refused += outcome.refused ? 1 : 0;
    passed += outcome.passed;
  }
  EXPECT_GT(established, 300U);
  EXPECT_GT(refused, 300U);
  EXPECT_LT(passed, 300U * 3000U);
}

}  // namespace
}  // namespace ringfs
