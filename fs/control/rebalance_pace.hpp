// How fast data moves, from the bytes that the nodes have sent at two looks. And how long it will take, from the
// partitions that settled in between. Threads: one. Looks closer to each other than `shortest` do not count.
#pragma once

#include <cstdint>
#include <optional>

#include "dht/base/time.hpp"

namespace ringfs::fs {

class RebalancePace {
 public:
  static constexpr Duration shortest = std::chrono::milliseconds(500);
  static constexpr Duration longest = std::chrono::seconds(60);  // an older look says nothing of the present rate

  // Bytes a second since the last look; 0 at the first one.
  std::uint64_t rate(std::uint64_t sent_bytes, unsigned unsettled, TimePoint now) {
    if (last_ && now - last_->when < shortest) {
      if (unsettled == 0)
        left_ = Duration(0);
      else if (left_ == Duration(0))
        left_.reset();
      return rate_;
    }
    rate_ = 0;
    left_.reset();
    const bool known = last_ && now - last_->when <= longest && sent_bytes >= last_->sent;
    if (known) {
      const auto microseconds = static_cast<std::uint64_t>((now - last_->when).count());
      rate_ = (sent_bytes - last_->sent) * 1'000'000 / microseconds;
      if (unsettled < last_->unsettled) left_ = (now - last_->when) * unsettled / (last_->unsettled - unsettled);
    }
    if (unsettled == 0) left_ = Duration(0);
    last_ = Look{now, sent_bytes, unsettled};
    return rate_;
  }
  // As of the last look. None: unknown.
  std::optional<Duration> remaining() const { return left_; }

 private:
  struct Look {
    TimePoint when;
    std::uint64_t sent = 0;
    unsigned unsettled = 0;
  };
  std::optional<Look> last_;
  std::uint64_t rate_ = 0;
  std::optional<Duration> left_;
};

}  // namespace ringfs::fs
