// Which nodes' clocks are wrong, as a client that asks all of them at once can tell.
//
// A clock counts as wrong when it is further than tolerated_clock_error and the question's round trip from the lower
// median of all that answered. If no majority of them agrees, it only reports that they differ. Threads: pure.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "dht/core/node/ring_time.hpp"

namespace ringfs::dht {

struct ClockReading {
  std::string node;       // for a person
  Duration offset{};      // its wall clock less the asker's boot clock when the answer came
  Duration round_trip{};  // the reading is that uncertain
};

// "2.5 s", "5 min 3 s", "6 h 0 min", "20640 d".
inline std::string length_text(Duration length) {
  const std::int64_t milliseconds = (length < Duration::zero() ? -length : length).count() / 1000;
  const std::int64_t seconds = milliseconds / 1000;
  if (seconds < 60) return std::to_string(seconds) + "." + std::to_string(milliseconds % 1000 / 100) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
  if (seconds < 172'800) return std::to_string(seconds / 3600) + " h " + std::to_string(seconds % 3600 / 60) + " min";
  return std::to_string(seconds / 86400) + " d";
}

// Sentences; none when all agree.
inline std::vector<std::string> wrong_clocks(const std::vector<ClockReading>& readings) {
  if (readings.size() < 2) return {};
  std::vector<Duration> offsets;
  offsets.reserve(readings.size());
  for (const ClockReading& reading : readings) offsets.push_back(reading.offset);
  const Duration median = lower_median(offsets);
  std::vector<const ClockReading*> wrong;
  for (const ClockReading& reading : readings) {
    const Duration off = reading.offset - median;
    const Duration tolerated = tolerated_clock_error + reading.round_trip;
    if (off > tolerated || off < -tolerated) wrong.push_back(&reading);
  }
  if (wrong.empty()) return {};
  if (2 * (readings.size() - wrong.size()) <= readings.size()) {
    const auto [low, high] = std::minmax_element(
        readings.begin(), readings.end(),
        [](const ClockReading& left, const ClockReading& right) { return left.offset < right.offset; });
    return {"The nodes' clocks differ by up to " + length_text(high->offset - low->offset) + " (" + high->node +
            " is ahead of " + low->node + "), and no majority agrees which one is right: set them right."};
  }
  std::vector<std::string> sentences;
  for (const ClockReading* one : wrong) {
    const Duration off = one->offset - median;
    sentences.push_back("The clock of node " + one->node + " is wrong: " + length_text(off) +
                        (off > Duration::zero() ? " ahead of" : " behind") +
                        " the others'. Set it right; until then the others' time counts.");
  }
  return sentences;
}

}  // namespace ringfs::dht
