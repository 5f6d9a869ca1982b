// How fast the scrub reads through the store (scrub.hpp), with the reason for each number.
#pragma once

#include "dht/base/time.hpp"

namespace ringfs::nodes {

struct ScrubOptions {
  // After the start: clients that read now need their caches warm first.
  Duration delay = std::chrono::seconds(2);
  // The first pass, which finds damage from the time when the node was down: a gigabyte in 16 s, and half of what a
  // slow disk can do.
  std::uint64_t first_bytes_per_second = 64 << 20;
  // Later passes: a terabyte in six days, with less than a hundredth of a processor.
  std::uint64_t bytes_per_second = 2 << 20;
  // Between two passes; it matters for a small store.
  Duration pause = std::chrono::minutes(10);
};

}  // namespace ringfs::nodes
