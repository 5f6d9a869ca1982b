// libFuzzer target: a frame as it comes from a stranger, header and body. Build with clang and -DRINGFS_FUZZ=ON.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/samples.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringfs;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (!dht::may_be_frame(bytes)) return 0;
  Result<dht::FrameHeader> header = dht::decode_frame_header(bytes, dht::max_frame_bytes);
  if (!header || bytes.size() < frame_header_bytes + header->body_bytes()) return 0;
  dht::ReceivedFrame frame{.header = *header,
                           .body = SharedBytes(bytes.substr(frame_header_bytes, header->body_bytes()))};
  static_cast<void>(samples::decode_any(frame));
  return 0;
}
