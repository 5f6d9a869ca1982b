// The median of the members' clocks, and how the ring's time follows it.
#include "dht/core/node/ring_time.hpp"

#include <algorithm>

#include "dht/base/error.hpp"

namespace ringfs::dht {

namespace {

Duration offset_of(Stamp wall, TimePoint now) {
  const Stamp sane = std::clamp(wall, Stamp{1}, max_stamp);
  return sane - Stamp{now.time_since_epoch().count()};
}

}  // namespace

Duration lower_median(std::vector<Duration> values) {
  RINGFS_CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

RingTime::RingTime(Clock clock) : offset_(offset_of(clock.stamp, clock.now)), updated_(clock.now) {}

void RingTime::roll(Samples& samples, TimePoint now) {
  if (now - samples.began < clock_window) return;
  samples.former = now - samples.began < 2 * clock_window ? samples.present : Duration::min();
  samples.present = Duration::min();
  samples.began = now;
}

void RingTime::heard(const Uuid& node, Stamp wall, TimePoint now) {
  if (wall == Stamp{}) return;  // it does not say
  auto [known, fresh] = samples_.try_emplace(node);
  if (fresh) known->second.began = now;
  roll(known->second, now);
  known->second.present = std::max(known->second.present, offset_of(wall, now));
}

RingTime::Median RingTime::median(Duration own, const std::vector<Uuid>& members, const Uuid& self) const {
  std::vector<Duration> voices;
  const bool votes = members.empty() || std::find(members.begin(), members.end(), self) != members.end();
  if (votes) voices.push_back(own);
  for (const auto& [node, samples] : samples_) {
    const Duration offset = std::max(samples.present, samples.former);
    if (node != self && offset != Duration::min()) voices.push_back(offset);
  }
  const std::size_t majority = std::max<std::size_t>(members.size(), 1) / 2 + 1;
  Median result;
  if (voices.empty()) return result;
  result.offset = lower_median(voices);
  const auto agreeing = std::count_if(voices.begin(), voices.end(), [&](Duration voice) {
    return voice >= result.offset - clock_agreement && voice <= result.offset + clock_agreement;
  });
  // Of two that differ nobody knows which one is right: the slower one counts.
  const bool both = members.size() == 2 && voices.size() == 2;
  result.agreed = static_cast<std::size_t>(agreeing) >= majority || both;
  result.all = voices.size() >= members.size();
  return result;
}

void RingTime::update(Clock own, const std::vector<Uuid>& members, const Uuid& self) {
  const Duration elapsed = own.now - updated_;
  if (elapsed <= Duration::zero()) return;
  updated_ = own.now;
  if (elapsed > clock_gap) {
    samples_.clear();
    measured_ = false;
    agreed_since_.reset();
  }
  std::erase_if(samples_,
                [&](const auto& one) { return std::find(members.begin(), members.end(), one.first) == members.end(); });
  for (auto& [node, samples] : samples_) roll(samples, own.now);
  const Duration own_offset = offset_of(own.stamp, own.now);
  const Median wanted = median(own_offset, members, self);
  own_error_.reset();
  // While some members are away, most of the others may be wrong: the time goes on as before.
  if (!wanted.agreed && (measured_ || !wanted.all)) {
    agreed_since_.reset();
    return;
  }
  own_error_ = own_offset - wanted.offset;
  const Duration difference = wanted.offset - offset_;
  const bool far = difference > max_slewed || difference < -max_slewed;
  if (!far)
    agreed_since_.reset();
  else if (!agreed_since_)
    agreed_since_ = own.now;
  const bool stepped = agreed_since_ && own.now - *agreed_since_ >= step_timeout;
  if (!measured_ || stepped) {
    offset_ = wanted.offset;
    measured_ = true;
    agreed_since_.reset();
  } else {
    offset_ += std::clamp(difference, -elapsed / 10, elapsed / 10);
  }
}

Stamp RingTime::at(TimePoint now) const {
  return std::clamp(Stamp{now.time_since_epoch().count()} + offset_, Stamp{1}, max_stamp);
}

}  // namespace ringfs::dht
