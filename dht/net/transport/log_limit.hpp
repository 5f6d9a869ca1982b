// Lets through a few lines a second of a kind that a stranger can cause at will. Threads: one.
#pragma once

#include <cstdint>
#include <optional>

#include "dht/base/time.hpp"

namespace ringfs::dht {

class LogLimit {
 public:
  explicit LogLimit(unsigned lines_per_second = 5) : limit_(lines_per_second) {}

  // No value: stay silent. Otherwise log, with the number of lines swallowed since the last one.
  std::optional<std::uint64_t> allow(TimePoint now) {
    if (now - window_ >= std::chrono::seconds(1)) {
      window_ = now;
      used_ = 0;
    }
    if (used_ >= limit_) {
      ++swallowed_;
      return std::nullopt;
    }
    ++used_;
    std::uint64_t swallowed = swallowed_;
    swallowed_ = 0;
    return swallowed;
  }

 private:
  unsigned limit_;
  unsigned used_ = 0;
  std::uint64_t swallowed_ = 0;
  TimePoint window_{};
};

}  // namespace ringfs::dht
