// For how long this process has seen rows as they are, by its own boot clock.
//
// A row's version is unique in its partition for ever. So a row that is seen twice with the same version was not
// changed between, and the time between is a lower bound of its age. No wall clock takes part.
//
// Threads: none. Limits: max_sightings rows. Rows not looked at for sighting_life make room for others; a row for which
// there is no room has no age yet.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "dht/base/rows.hpp"
#include "dht/base/time.hpp"

namespace ringfs {

// A client that meets more dead transactions at once keeps those that it saw first.
inline constexpr std::size_t max_sightings = 4096;
inline constexpr Duration sighting_life = std::chrono::minutes(10);

class Sightings {
 public:
  // How long the row has been seen with this version, this look included.
  Duration seen(PartitionId partition, const RowAddress& row, std::uint64_t version, TimePoint now) {
    const std::pair<PartitionId, RowAddress> name{partition, row};
    auto known = seen_.find(name);
    if (known == seen_.end()) {
      if (seen_.size() >= max_sightings) {
        std::erase_if(seen_, [now](const auto& one) { return one.second.last + sighting_life < now; });
        if (seen_.size() >= max_sightings) return Duration::zero();
      }
      known = seen_.emplace(name, Sighting{version, now, now}).first;
    }
    Sighting& sighting = known->second;
    if (sighting.version != version) sighting = {version, now, now};
    sighting.last = now;
    return now - sighting.first;
  }
  void forget(PartitionId partition, const RowAddress& row) { seen_.erase({partition, row}); }

 private:
  struct Sighting {
    std::uint64_t version = 0;
    TimePoint first{};
    TimePoint last{};
  };
  std::map<std::pair<PartitionId, RowAddress>, Sighting> seen_;
};

}  // namespace ringfs
