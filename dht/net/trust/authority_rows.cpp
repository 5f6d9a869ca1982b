// Rows of authorities as bytes.
#include "dht/net/trust/authority_rows.hpp"

#include <charconv>

#include "dht/base/bytes.hpp"

namespace ringfs::dht {

namespace {

constexpr std::uint8_t authority_format = 1;
constexpr std::string_view key_prefix = "key/";
constexpr std::string_view current_sort = "current";

Status add_authority(RingAuthorities& authorities, const std::string& hash, std::string_view value) {
  Result<AuthorityRow> row = decode_authority_row(value);
  if (!row) return tl::unexpected(row.error());
  Result<Authority> authority = authority_from_pem(row->certificate, row->key);
  if (!authority) return fail(ErrorCode::corrupt, "an authority's row: " + authority.error().context);
  if (hash_text(authority->certificate.key_hash()) != hash)
    return fail(ErrorCode::corrupt, "an authority's row lies under another key's hash");
  if (authorities.all.size() >= max_authority_rows) return fail(ErrorCode::corrupt, "too many authorities");
  authorities.all.emplace(hash, RingAuthorities::One{.authority = std::move(*authority), .created = row->created});
  return {};
}

}  // namespace

std::string hash_text(const KeyHash& hash) { return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()}); }

Result<KeyHash> parse_hash_text(std::string_view text) {
  KeyHash hash{};
  bool fits = text.size() == 2 * hash.size();
  for (std::size_t i = 0; fits && i < hash.size(); ++i) {
    const std::string_view digits = text.substr(2 * i, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), hash[i], 16);
    fits = error == std::errc() && end == digits.data() + digits.size();
  }
  // Upper-case digits would be a second text for the same hash.
  if (!fits || hash_text(hash) != text)
    return fail(ErrorCode::invalid_argument, "a hash has 64 lower-case hexadecimal digits");
  return hash;
}

std::string encode(const AuthorityRow& row) {
  Writer writer;
  writer.u8(authority_format);
  writer.string(row.key);
  writer.string(row.certificate);
  writer.i64(row.created.microseconds);
  return writer.take();
}

Result<AuthorityRow> decode_authority_row(std::string_view bytes) {
  Reader reader(bytes);
  const std::uint8_t format = reader.u8();
  AuthorityRow row;
  row.key = reader.string();
  row.certificate = reader.string();
  row.created = Stamp{reader.i64()};
  if (format != authority_format) return fail(ErrorCode::corrupt, "format of an authority's row");
  const bool sane = !row.key.empty() && !row.certificate.empty() && row.key.size() <= max_pem_bytes &&
                    row.certificate.size() <= max_pem_bytes && is_sane(row.created);
  if (!reader.done() || !sane) return fail(ErrorCode::corrupt, "an authority's row is damaged");
  return row;
}

const RingAuthorities::One* RingAuthorities::signing() const {
  const auto found = all.find(current);
  return found == all.end() ? nullptr : &found->second;
}

Result<RingAuthorities> authorities_from_rows(const std::vector<Row>& rows) {
  RingAuthorities authorities;
  for (const Row& row : rows) {
    if (row.sort == current_sort) {
      authorities.current = row.value.str();
    } else if (row.sort.starts_with(key_prefix)) {
      Status added = add_authority(authorities, row.sort.substr(key_prefix.size()), row.value.view());
      if (!added) return tl::unexpected(added.error());
    } else {
      return fail(ErrorCode::corrupt, "an unknown row of the ring's authorities");
    }
  }
  const bool complete = authorities.all.empty() ? authorities.current.empty() : authorities.signing() != nullptr;
  if (!complete) return fail(ErrorCode::corrupt, "the authority that signs has no key");
  return authorities;
}

RowAddress authority_row_address(const std::string& hash) {
  return {std::string(authority_key), std::string(key_prefix) + hash};
}

RowAddress current_authority_address() { return {std::string(authority_key), std::string(current_sort)}; }

}  // namespace ringfs::dht
