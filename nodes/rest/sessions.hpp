// Browsers that have logged in: cookies, and the tokens that they were given for (docs/security.md#browsers).
//
// A cookie has 32 random bytes; only its SHA-256 is kept, in memory: after a restart of the node browsers log in again.
// A session has no role. It names its token, which is asked about for each request: a token that is revoked or has
// expired ends its sessions. Threads: one. Errors: io_error (no random bytes).
// Limits: max_sessions and max_of_a_token, of which the oldest goes; session_life.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"
#include "dht/base/key_hash.hpp"
#include "dht/base/time.hpp"

namespace ringfs::nodes {

// The prefix makes browsers take it only over TLS, from this very host, for all its paths (RFC 6265bis, 4.1.3.2).
inline constexpr std::string_view session_cookie = "__Host-ringfs";
inline constexpr Duration session_life = std::chrono::hours(12);

class BrowserSessions {
 public:
  static constexpr std::size_t max_sessions = 1024;
  static constexpr std::size_t max_of_a_token = 64;  // whoever has one token ends nobody else's sessions

  // The value of the cookie. `token`: its hash in hexadecimal.
  Result<std::string> open(std::string token, TimePoint now);
  // Nothing: there is no such session, or it is over.
  std::optional<std::string> token_of(std::string_view cookie, TimePoint now) const;
  void close(std::string_view cookie);

  std::size_t size() const { return sessions_.size(); }

 private:
  struct Session {
    KeyHash cookie;
    std::string token;
    TimePoint end;
  };
  std::list<Session> sessions_;  // oldest first
};

}  // namespace ringfs::nodes
