// Writes the first corpora of the fuzzers: DIRECTORY/frames (codec_fuzzer), DIRECTORY/strangers (frames_fuzzer) and
// DIRECTORY/records (records_fuzzer).
#include <filesystem>
#include <fstream>
#include <iostream>

#include "dht/net/trust/certificate.hpp"
#include "tests/fuzz/samples.hpp"

namespace {

using namespace ringfs;

bool write(const std::filesystem::path& folder, std::size_t number, const std::string& bytes) {
  std::filesystem::create_directories(folder);
  std::ofstream file(folder / std::to_string(number), std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return static_cast<bool>(file.flush());
}

std::string whole(const dht::ReceivedFrame& frame) {
  const auto header = dht::encode_frame_header(frame.header);
  return std::string(header.data(), header.size()) + frame.body.str();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: write_corpus DIRECTORY\n";
    return 2;
  }
  const std::filesystem::path folder = arguments[1];
  SeededRandom random(1);
  bool good = true;
  std::size_t number = 0;
  const std::string hello =
      whole(samples::received(dht::FrameKind::handshake, dht::encode(samples::handshake(random))));
  for (const dht::ReceivedFrame& frame : samples::frames(random)) {
    good = good && write(folder / "frames", number, whole(frame)) &&
           write(folder / "strangers", number, "\x40" + hello + whole(frame));
    ++number;
  }
  for (dht::JoinRequest& request : samples::join_requests(random)) {
    request.request = dht::make_request(dht::PrivateKey::generate().value()).value();
    const dht::ReceivedFrame frame = samples::received(dht::FrameKind::join, dht::encode(request));
    good = good && write(folder / "strangers", number++, "\x40" + whole(frame));
  }
  // Each point in a connection: alerts, a beginning of a ClientHello, changes of single bytes.
  for (char point = 0; point < 5; ++point) {
    const std::string begins(1, point);
    number = static_cast<std::size_t>(point) * 3;
    good = good && write(folder / "records", number, begins + std::string("\x15\x03\x03\x00\x02\x02\x28", 7)) &&
           write(folder / "records", number + 1,
                 begins + std::string("\x16\x03\x01\x00\x7a\x01\x00\x00\x76\x03\x03", 11)) &&
           write(folder / "records", number + 2, begins + std::string("\x00\x30\x01\x01\x40\x80", 6));
  }
  return good ? 0 : 1;
}
