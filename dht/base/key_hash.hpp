// What identifies a public key: the SHA-256 of its SubjectPublicKeyInfo in DER (RFC 7469, section 2.4).
#pragma once

#include <array>
#include <cstdint>

namespace ringfs {

using KeyHash = std::array<std::uint8_t, 32>;

}  // namespace ringfs
