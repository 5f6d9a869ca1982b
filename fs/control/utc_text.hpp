// RFC 3339 in UTC, for records in files of `.ring`.
#pragma once

#include <cstdio>
#include <ctime>
#include <string>

#include "dht/base/time.hpp"

namespace ringfs::fs {

enum class Fraction { none, milliseconds };

inline std::string utc_text(Stamp stamp, Fraction fraction) {
  const std::time_t seconds = static_cast<std::time_t>(stamp.microseconds / 1'000'000);
  std::tm broken{};
  gmtime_r(&seconds, &broken);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &broken);
  char rest[16] = "Z";
  if (fraction == Fraction::milliseconds) {
    std::snprintf(rest, sizeof rest, ".%03dZ", static_cast<int>(stamp.microseconds / 1000 % 1000));
  }
  return std::string(text, length) + rest;
}

}  // namespace ringfs::fs
