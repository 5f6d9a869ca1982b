// The ring's time as a client knows it: the lower median of what each node said last, so that one wrong node does not
// change it.
//
// Each node says the time on which it agrees with the others (dht/core/node/ring_time.hpp); one that hears no others
// believes its own clock. Threads: none. Limits: an entry an address; whoever drops an address calls erase().
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dht/core/node/ring_time.hpp"

namespace ringfs::dht {

class HeardTimes {
 public:
  void heard(const std::string& address, Stamp stamp, TimePoint now) {
    offsets_[address] = stamp - Stamp{now.time_since_epoch().count()};
  }
  void erase(const std::string& address) { offsets_.erase(address); }
  // Nothing: nobody has said anything yet.
  std::optional<Stamp> at(TimePoint now) const {
    if (offsets_.empty()) return std::nullopt;
    std::vector<Duration> offsets;
    for (const auto& [address, offset] : offsets_) offsets.push_back(offset);
    return Stamp{now.time_since_epoch().count()} + lower_median(std::move(offsets));
  }

 private:
  std::map<std::string, Duration> offsets_;  // to this machine's boot clock
};

}  // namespace ringfs::dht
