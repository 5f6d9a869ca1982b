// The tokens that a ring knows, as rows of the object tokens_key: sort = SHA-256 of the secret in hexadecimal, value =
// what the token is for. Only nodes read them (dht/net/runtime/access.hpp).
//
// The secret itself is nowhere. It has 32 random bytes, so how long a search for its hash takes tells nobody anything.
// A value has exactly one encoding (docs/disk-format.md#tokens-and-authorities).
// Threads: plain values. Errors: corrupt. Limits: max_tokens, max_token_note_bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"
#include "dht/base/key_hash.hpp"
#include "dht/base/ring/access_role.hpp"
#include "dht/base/rows.hpp"
#include "dht/base/time.hpp"

namespace ringfs::dht {

inline constexpr std::string_view tokens_key = "ring/tokens";
inline constexpr std::size_t max_tokens = 1024;
inline constexpr std::size_t max_token_note_bytes = 200;
inline constexpr std::size_t token_id_digits = 8;  // by which lists name a token: the first of its sort key
inline constexpr std::uint32_t without_uses = 0xffffffff;

struct TokenRow {
  // join: for a certificate; rest: shown with each REST request, as often as its owner likes.
  enum class Kind : std::uint8_t { join = 1, rest = 2 };
  Kind kind = Kind::join;
  AccessRole role = AccessRole::reader;  // of a join token, node: it lets nodes in, and nobody else
  Stamp created;
  Stamp expires;
  std::uint32_t uses_left = 0;  // of a rest token: without_uses
  std::string note;             // of whoever made it, for people
  friend bool operator==(const TokenRow&, const TokenRow&) = default;
};

// A token that is kept in a row: rest tokens let no node in, have no uses; a note has no control characters.
bool is_sane(const TokenRow& token);

std::string encode(const TokenRow& token);
Result<TokenRow> decode_token_row(std::string_view bytes);

RowAddress token_row_address(const KeyHash& secret_hash);
// Whether it may be a row's sort key, or the beginning of one (`digits`: at least so many).
bool is_token_sort(std::string_view sort, std::size_t digits = 2 * sizeof(KeyHash));

}  // namespace ringfs::dht
