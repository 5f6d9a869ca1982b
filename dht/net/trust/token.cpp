// Tokens as text.
#include "dht/net/trust/token.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>

#include "dht/base/hash.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t max_token_file_bytes = 4096;

constexpr std::string_view prefix = "ringfs1.";
constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t part_bytes = 32;
constexpr std::size_t part_digits = (part_bytes * 8 + 4) / 5;

std::string base32(std::string_view bytes) {
  std::string text;
  unsigned bits = 0;
  unsigned held = 0;
  for (char byte : bytes) {
    held = (held << 8) | static_cast<unsigned char>(byte);
    bits += 8;
    for (; bits >= 5; bits -= 5) text += alphabet[(held >> (bits - 5)) & 31];
    held &= (1U << bits) - 1;
  }
  if (bits > 0) text += alphabet[(held << (5 - bits)) & 31];
  return text;
}

// Exactly the 32 bytes of a part; the bits that are left over are 0, so that no two texts are one token.
std::optional<std::array<std::uint8_t, part_bytes>> part_of(std::string_view text) {
  if (text.size() != part_digits) return std::nullopt;
  std::array<std::uint8_t, part_bytes> bytes{};
  std::size_t filled = 0;
  unsigned bits = 0;
  unsigned held = 0;
  for (char digit : text) {
    const std::size_t value = alphabet.find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    held = (held << 5) | static_cast<unsigned>(value);
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.at(filled++) = static_cast<std::uint8_t>(held >> bits);
    held &= (1U << bits) - 1;
  }
  if (held != 0) return std::nullopt;
  return bytes;
}

std::string_view view_of(const std::array<std::uint8_t, part_bytes>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

bool equal_in_constant_time(std::string_view left, std::string_view right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

std::string Token::text() const {
  return std::string(prefix) + base32(view_of(authority)) + "." + base32(view_of(secret));
}

KeyHash Token::secret_hash() const { return sha256(view_of(secret)); }

Result<Token> make_token(const KeyHash& authority) {
  Token token;
  token.authority = authority;
  if (RAND_bytes(token.secret.data(), static_cast<int>(token.secret.size())) != 1) {
    return fail(ErrorCode::io_error, "the system gives no random bytes");
  }
  return token;
}

Result<Token> parse_token(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  const auto refused = [] {
    return fail(ErrorCode::invalid_argument,
                "not a token: it begins with 'ringfs1.' and has two parts of 52 characters");
  };
  if (first == std::string_view::npos) return refused();
  text = text.substr(first, text.find_last_not_of(space) + 1 - first);
  if (text.size() != prefix.size() + 2 * part_digits + 1 || !text.starts_with(prefix)) return refused();
  text.remove_prefix(prefix.size());
  if (text[part_digits] != '.') return refused();
  const auto authority = part_of(text.substr(0, part_digits));
  const auto secret = part_of(text.substr(part_digits + 1));
  if (!authority || !secret) return refused();
  return Token{.authority = *authority, .secret = *secret};
}

Result<std::string> read_token(const std::string& file) {
  if (file.empty()) {
    const char* given = std::getenv("RINGFS_TOKEN");
    return std::string(given == nullptr ? "" : given);
  }
  std::ifstream opened;
  if (file != "-") opened.open(file);
  std::istream& stream = file == "-" ? std::cin : opened;
  std::string text(max_token_file_bytes, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.empty()) return fail(ErrorCode::not_found, "there is no token in " + file);
  return text;
}

}  // namespace ringfs::dht
