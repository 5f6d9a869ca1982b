// The authorities of a ring, as rows of the object authority_key: "key/" + key hash in hexadecimal -> private key and
// certificate, "current" -> key hash in hexadecimal of the one that signs. Only nodes read them
// (dht/net/runtime/access.hpp). Everybody knows the certificates alone: they are rows of the members table.
//
// A value has exactly one encoding (docs/disk-format.md#tokens-and-authorities).
// Threads: plain values. Errors: corrupt. Limits: max_authority_rows.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/rows.hpp"
#include "dht/net/trust/certificate.hpp"

namespace ringfs::dht {

inline constexpr std::string_view authority_key = "ring/authority";
inline constexpr std::size_t max_authority_rows = 4;  // two, while one is replaced by another

std::string hash_text(const KeyHash& hash);  // 64 hexadecimal digits
// Errors: invalid_argument.
Result<KeyHash> parse_hash_text(std::string_view text);

struct AuthorityRow {
  std::string key;          // PEM
  std::string certificate;  // PEM
  Stamp created;
};
std::string encode(const AuthorityRow& row);
Result<AuthorityRow> decode_authority_row(std::string_view bytes);

struct RingAuthorities {
  struct One {
    Authority authority;
    Stamp created;
  };
  std::map<std::string, One> all;  // by hash_text() of the key
  std::string current;             // one of them; empty: there is none

  const One* signing() const;  // nullptr: there is none
};
// `rows`: all of the object, ascending. Rows that contradict each other or the keys that they hold are corrupt.
Result<RingAuthorities> authorities_from_rows(const std::vector<Row>& rows);

RowAddress authority_row_address(const std::string& hash);
RowAddress current_authority_address();

}  // namespace ringfs::dht
