// How fast a store reads through all that it holds (scrub.hpp), each with its reason.
#pragma once

#include "dht/base/time.hpp"

namespace ringfs::nodes {

struct ScrubOptions {
  // After the start: whoever reads now wants his cache warm first.
  Duration delay = std::chrono::seconds(2);
  // The first pass, which finds what happened while the node was down: a gigabyte in 16 s, and half of a slow disk.
  std::uint64_t first_bytes_per_second = 64 << 20;
  // Later passes: a terabyte in six days, and less than a hundredth of a processor.
  std::uint64_t bytes_per_second = 2 << 20;
  // Between two passes through a small store.
  Duration pause = std::chrono::minutes(10);
};

}  // namespace ringfs::nodes
