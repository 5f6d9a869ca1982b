// How fast a node sends snapshots to new replicas: a token bucket over all its groups (setting rebalance_rate).
//
// Moving data must not slow down what clients do. Only learners wait for it; a voter that lags gets its snapshot at
// full speed. Threads: none. Limits: at most one second's worth is saved up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "dht/base/time.hpp"

namespace ringfs::dht {

class SnapshotPace {
 public:
  // None: as fast as it goes.
  void set_rate(std::optional<std::uint64_t> bytes_per_second) { rate_ = bytes_per_second; }

  // How many snapshot chunks of `bytes` are sent in `time`; at most `most`, at least one.
  unsigned chunks_in(Duration time, std::size_t bytes, unsigned most) const {
    if (!rate_) return most;
    const double chunks =
        static_cast<double>(*rate_) * static_cast<double>(time.count()) / 1e6 / static_cast<double>(bytes);
    return chunks >= most ? most : std::max(1U, static_cast<unsigned>(chunks));
  }

  bool may_send(TimePoint now) {
    if (!rate_) return true;
    auto most = static_cast<std::int64_t>(*rate_);
    Duration elapsed = std::min<Duration>(now - std::min(refilled_, now), std::chrono::seconds(1));
    refilled_ = now;
    budget_ = std::min(
        budget_ + static_cast<std::int64_t>(static_cast<double>(most) * static_cast<double>(elapsed.count()) / 1e6),
        most);
    return budget_ > 0;
  }
  // One message may take more than there is; the next one waits until it is paid back.
  void sent(std::size_t bytes) {
    total_ += bytes;
    if (rate_) budget_ -= static_cast<std::int64_t>(bytes);
  }
  std::uint64_t total() const { return total_; }

 private:
  std::optional<std::uint64_t> rate_;
  std::int64_t budget_ = 0;
  TimePoint refilled_{};
  std::uint64_t total_ = 0;
};

}  // namespace ringfs::dht
