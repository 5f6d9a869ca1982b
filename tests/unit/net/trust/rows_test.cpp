// Rows of tokens and authorities: one encoding a value, and damage refused.
#include <gtest/gtest.h>

#include "dht/net/trust/authority_rows.hpp"
#include "dht/net/trust/token_rows.hpp"

namespace ringfs::dht {
namespace {

constexpr Stamp now{1'790'000'000'000'000};

const TokenRow join_token{.kind = TokenRow::Kind::join,
                          .role = AccessRole::node,
                          .created = Stamp{1},
                          .expires = Stamp{2},
                          .uses_left = 3,
                          .note = "n"};

TEST(TokenRow, Encoded_HasTheDocumentedBytes) {
  EXPECT_EQ(to_hex(encode(join_token)),
            "01"
            "01"
            "04"
            "0000000000000001"
            "0000000000000002"
            "00000003"
            "00000001"
            "6e");
  EXPECT_EQ(decode_token_row(encode(join_token)).value(), join_token);
}

TEST(TokenRow, AddressAndDigits_AreThoseOfTheHash) {
  KeyHash hash{};
  hash[0] = 0xab;
  const RowAddress address = token_row_address(hash);
  EXPECT_EQ(address.key, "ring/tokens");
  EXPECT_EQ(address.sort, "ab" + std::string(62, '0'));
  EXPECT_TRUE(is_token_sort(address.sort));
  EXPECT_FALSE(is_token_sort(address.sort.substr(0, 8)));
  EXPECT_TRUE(is_token_sort(address.sort.substr(0, 8), 8));
  EXPECT_FALSE(is_token_sort("AB000000", 8));
  EXPECT_FALSE(is_token_sort(address.sort + "0", 8));
}

TEST(TokenRow, ThatNobodyMakes_IsNotSane) {
  using Change = std::function<void(TokenRow&)>;
  const std::vector<Change> changes{
      [](TokenRow& it) { it.kind = TokenRow::Kind{0}; },
      [](TokenRow& it) { it.kind = TokenRow::Kind{3}; },
      [](TokenRow& it) { it.kind = TokenRow::Kind::rest; },  // with uses, and of a node
      [](TokenRow& it) { it = {TokenRow::Kind::rest, AccessRole::node, now, now, without_uses, ""}; },
      [](TokenRow& it) { it.role = AccessRole{0}; },
      [](TokenRow& it) { it.role = AccessRole{5}; },
      [](TokenRow& it) { it.uses_left = without_uses; },
      [](TokenRow& it) { it.created = Stamp{-1}; },
      [](TokenRow& it) { it.expires = Stamp{max_stamp.microseconds + 1}; },
      [](TokenRow& it) { it.note = std::string(max_token_note_bytes + 1, 'n'); },
      [](TokenRow& it) { it.note = "\x1b[2J"; },
  };
  EXPECT_TRUE(is_sane(join_token));
  EXPECT_TRUE(is_sane(TokenRow{TokenRow::Kind::rest, AccessRole::admin, now, now, without_uses, "note"}));
  for (std::size_t i = 0; i < changes.size(); ++i) {
    TokenRow token = join_token;
    changes[i](token);
    EXPECT_FALSE(is_sane(token)) << i;
  }
}

// Whatever decodes is what encodes to the same bytes.
void expect_one_encoding(const std::string& bytes) {
  std::size_t decoded = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(decode_token_row(bytes.substr(0, i)).error().code, ErrorCode::corrupt) << "cut short at " << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      Result<TokenRow> token = decode_token_row(damaged);
      if (!token) continue;
      ++decoded;
      EXPECT_EQ(encode(*token), damaged) << i << "." << bit;
    }
  }
  EXPECT_GT(decoded, 0U);
  EXPECT_FALSE(decode_token_row(bytes + '\0'));
}

TEST(TokenRow, DamagedBytes_AreRefusedOrAnotherRow) {
  expect_one_encoding(encode(join_token));
  expect_one_encoding(encode(TokenRow{TokenRow::Kind::rest, AccessRole::admin, now, now, without_uses, "a note"}));
}

class AuthorityRows : public testing::Test {
 protected:
  static Row row(std::string sort, std::string value) {
    return {.sort = std::move(sort), .version = 1, .value = SharedBytes(std::move(value))};
  }
  static std::string value_of(const Authority& authority) {
    return encode(AuthorityRow{.key = authority.key.pem(), .certificate = authority.certificate.pem(), .created = now});
  }
  static std::string hash_of(const Authority& authority) { return hash_text(authority.certificate.key_hash()); }
  static Row key_row(const Authority& authority) { return row("key/" + hash_of(authority), value_of(authority)); }

  const Authority authority = make_authority(Uuid{}, now).value();
  const Authority other = make_authority(Uuid{}, now).value();
};

TEST_F(AuthorityRows, Rows_ReadBack) {
  EXPECT_EQ(authority_row_address("ab").sort, "key/ab");
  EXPECT_EQ(current_authority_address(), (RowAddress{"ring/authority", "current"}));
  std::vector<Row> rows{row("current", hash_of(other)), key_row(authority), key_row(other)};
  if (rows[1].sort > rows[2].sort) std::swap(rows[1], rows[2]);
  Result<RingAuthorities> read = authorities_from_rows(rows);
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->all.size(), 2U);
  ASSERT_NE(read->signing(), nullptr);
  EXPECT_EQ(read->signing()->authority.key.public_hash(), other.key.public_hash());
  EXPECT_EQ(read->signing()->created, now);
  EXPECT_EQ(authorities_from_rows({})->signing(), nullptr);
}

TEST_F(AuthorityRows, ThatContradictEachOther_AreCorrupt) {
  const Authority mixed{.certificate = other.certificate, .key = authority.key};
  std::vector<Row> many{row("current", hash_of(authority))};
  many.push_back(key_row(authority));
  for (int i = 0; i < 4; ++i) many.push_back(key_row(make_authority(Uuid{}, now).value()));
  const std::vector<std::vector<Row>> damaged{
      {row("current", hash_of(authority))},
      {key_row(authority)},
      {row("current", hash_of(other)), key_row(authority)},
      {row("current", hash_of(other)), row("key/" + hash_of(other), value_of(authority))},
      {row("current", hash_of(other)), row("key/" + hash_of(other), value_of(mixed))},
      {row("current", hash_of(authority)), key_row(authority), row("strange", "")},
      {row("current", hash_of(authority)), row("key/" + hash_of(authority), "junk")},
      {row("current", hash_of(authority)), row("key/" + hash_of(authority), value_of(authority) + '\0')},
      many,
  };
  for (std::size_t i = 0; i < damaged.size(); ++i) {
    Result<RingAuthorities> read = authorities_from_rows(damaged[i]);
    ASSERT_FALSE(read) << i;
    EXPECT_EQ(read.error().code, ErrorCode::corrupt) << i;
    EXPECT_EQ(read.error().context.find("PRIVATE"), std::string::npos) << "words repeat the key";
  }
}

TEST_F(AuthorityRows, BytesCutShort_AreRefused) {
  const std::string bytes = value_of(authority);
  for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_FALSE(decode_authority_row(bytes.substr(0, i))) << i;
  std::string other_format = bytes;
  other_format[0] = 2;
  EXPECT_FALSE(decode_authority_row(other_format));
}

}  // namespace
}  // namespace ringfs::dht
