// libFuzzer target: frames with which somebody introduces himself. Build with clang and -DRINGFS_FUZZ=ON.
#include <cstddef>

#include "tests/fuzz/strangers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(ringfs::strangers::frames({reinterpret_cast<const char*>(data), size}));
  return 0;
}
