// Percent-decoding of a path: %41 is A. RFC 3986, section 2.1. '+' stays '+': a path is no form.
//
// Threads: plain function. Errors: invalid_argument: a % without two hexadecimal digits behind it. The result may hold
// any byte, NUL too: who cannot take one looks for it.
#pragma once

#include <string>
#include <string_view>

#include "dht/base/error.hpp"

namespace ringfs {

Result<std::string> percent_decode(std::string_view text);

}  // namespace ringfs
