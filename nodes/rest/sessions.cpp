// Sessions of browsers, oldest first.
#include "nodes/rest/sessions.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "dht/base/bytes.hpp"
#include "dht/base/hash.hpp"

namespace ringfs::nodes {

Result<std::string> BrowserSessions::open(std::string token, TimePoint now) {
  std::array<unsigned char, 32> secret{};
  if (RAND_bytes(secret.data(), static_cast<int>(secret.size())) != 1) {
    return fail(ErrorCode::io_error, "the system gives no random bytes");
  }
  std::string cookie = to_hex({reinterpret_cast<const char*>(secret.data()), secret.size()});
  std::erase_if(sessions_, [now](const Session& one) { return one.end <= now; });
  const auto same = [&token](const Session& one) { return one.token == token; };
  if (std::count_if(sessions_.begin(), sessions_.end(), same) >= static_cast<std::ptrdiff_t>(max_of_a_token)) {
    sessions_.erase(std::find_if(sessions_.begin(), sessions_.end(), same));
  }
  if (sessions_.size() >= max_sessions) sessions_.pop_front();
  sessions_.push_back({.cookie = sha256(cookie), .token = std::move(token), .end = now + session_life});
  return cookie;
}

std::optional<std::string> BrowserSessions::token_of(std::string_view cookie, TimePoint now) const {
  const KeyHash hash = sha256(cookie);
  const auto found =
      std::find_if(sessions_.begin(), sessions_.end(), [&](const Session& one) { return one.cookie == hash; });
  if (found == sessions_.end() || found->end <= now) return std::nullopt;
  return found->token;
}

void BrowserSessions::close(std::string_view cookie) {
  const KeyHash hash = sha256(cookie);
  sessions_.remove_if([&](const Session& one) { return one.cookie == hash; });
}

}  // namespace ringfs::nodes
