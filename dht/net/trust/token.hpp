// Tokens: what somebody shows to be let in who has no certificate yet.
//
//   ringfs1.<hash of the authority's public key>.<32 random bytes>     both in base32 (RFC 4648), lower case, unpadded
//
// The hash lets the newcomer know the ring: the first answer comes from whoever holds that authority's key, or is
// refused (Docker's join tokens do the same). The secret lets the ring know the newcomer. A ring keeps the SHA-256 of
// the secret only. Threads: plain values. Errors: invalid_argument for text that is no token; the words never repeat
// what was given.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"
#include "dht/base/key_hash.hpp"

namespace ringfs::dht {

// Whether they are equal, in a time that does not depend on where they differ.
bool equal_in_constant_time(std::string_view left, std::string_view right);

struct Token {
  KeyHash authority{};
  std::array<std::uint8_t, 32> secret{};

  std::string text() const;
  // What the ring keeps of it.
  KeyHash secret_hash() const;
};

// With a secret from the system's generator (RAND_bytes). Errors: io_error when there is no randomness.
Result<Token> make_token(const KeyHash& authority);
// The text from a file, from standard input (`-`), or from RINGFS_TOKEN when no file is named, for whoever may list
// processes sees arguments; empty: there is none. Errors: not_found (no such file, or it is empty).
Result<std::string> read_token(const std::string& file);
// White space around it is ignored, for it comes from files.
Result<Token> parse_token(std::string_view text);

}  // namespace ringfs::dht
