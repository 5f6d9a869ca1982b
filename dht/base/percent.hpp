// Percent-decoding of a path: %41 is A. RFC 3986, section 2.1. '+' stays '+': a path is no form.
//
// Threads: plain function. Errors: invalid_argument: a % without two hexadecimal digits behind it. The result may hold
// any byte, NUL too: a caller that cannot take NUL checks for it.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"

namespace ringfs {

inline Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() < 2 || error != std::errc() || stop != digits.data() + 2)
      return fail(ErrorCode::invalid_argument, "a percent sign is followed by two hexadecimal digits");
    decoded.push_back(static_cast<char>(value));
    i += 2;
  }
  return decoded;
}

}  // namespace ringfs
