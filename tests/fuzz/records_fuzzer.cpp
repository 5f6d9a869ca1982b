// libFuzzer target: TLS records before, while and after a connection is established. Build with clang and
// -DRINGFS_FUZZ=ON.
#include <cstddef>

#include "tests/fuzz/strangers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(ringfs::strangers::records({reinterpret_cast<const char*>(data), size}));
  return 0;
}
