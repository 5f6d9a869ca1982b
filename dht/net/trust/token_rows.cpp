// Rows of tokens as bytes.
#include "dht/net/trust/token_rows.hpp"

#include <algorithm>

#include "dht/base/bytes.hpp"

namespace ringfs::dht {

namespace {

constexpr std::uint8_t token_format = 1;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f; }

}  // namespace

bool is_sane(const TokenRow& token) {
  const bool rest = token.kind == TokenRow::Kind::rest;
  const bool kind = rest || token.kind == TokenRow::Kind::join;
  const AccessRole highest = rest ? AccessRole::admin : AccessRole::node;
  const bool role = token.role >= AccessRole::reader && token.role <= highest;
  return kind && role && rest == (token.uses_left == without_uses) && ringfs::is_sane(token.created) &&
         ringfs::is_sane(token.expires) && token.note.size() <= max_token_note_bytes &&
         std::none_of(token.note.begin(), token.note.end(), is_control);
}

std::string encode(const TokenRow& token) {
  RINGFS_CHECK(is_sane(token));
  Writer writer;
  writer.u8(token_format);
  writer.u8(static_cast<std::uint8_t>(token.kind));
  writer.u8(static_cast<std::uint8_t>(token.role));
  writer.i64(token.created.microseconds);
  writer.i64(token.expires.microseconds);
  writer.u32(token.uses_left);
  writer.string(token.note);
  return writer.take();
}

Result<TokenRow> decode_token_row(std::string_view bytes) {
  Reader reader(bytes);
  const std::uint8_t format = reader.u8();
  TokenRow token;
  token.kind = TokenRow::Kind{reader.u8()};
  token.role = AccessRole{reader.u8()};
  token.created = Stamp{reader.i64()};
  token.expires = Stamp{reader.i64()};
  token.uses_left = reader.u32();
  token.note = reader.string();
  if (format != token_format) return fail(ErrorCode::corrupt, "format of a token's row");
  if (!reader.done() || !is_sane(token)) return fail(ErrorCode::corrupt, "a token's row is damaged");
  return token;
}

RowAddress token_row_address(const KeyHash& secret_hash) {
  return {std::string(tokens_key), to_hex({reinterpret_cast<const char*>(secret_hash.data()), secret_hash.size()})};
}

bool is_token_sort(std::string_view sort, std::size_t digits) {
  return sort.size() >= digits && sort.size() <= 2 * sizeof(KeyHash) &&
         sort.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace ringfs::dht
