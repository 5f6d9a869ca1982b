// Why the gateway refused a connection or a request, counted (metric ringfs_connections_refused_total).
//
// Threads: one.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ringfs::nodes {

enum class RefusalReason : std::uint8_t {
  limit,        // too many connections, or too many of nobody in particular
  user,         // another user of this machine
  no_tls,       // this node has no certificate
  handshake,    // TLS failed: no TLS, an older version, cut short, too slow
  certificate,  // of another ring, expired, not yet valid, revoked
  token,        // a bearer token that this ring does not know, or that has expired
  session,      // a cookie that this node does not know, or that has expired
  nobody,       // nothing was shown
  role,         // too little for what was asked
  origin,       // another site's page, or another server's name
  malformed,    // not a request, or larger than the limits
  slow,         // the request did not arrive in time
};

inline constexpr std::array<std::string_view, 12> refusal_reasons = {"limit",       "user",   "no_tls",    "handshake",
                                                                     "certificate", "token",  "session",   "nobody",
                                                                     "role",        "origin", "malformed", "slow"};

constexpr std::string_view to_string(RefusalReason reason) {
  return refusal_reasons.at(static_cast<std::size_t>(reason));
}

class RefusalCounts {
 public:
  void add(RefusalReason reason) { ++counts_.at(static_cast<std::size_t>(reason)); }
  std::uint64_t count(RefusalReason reason) const { return counts_.at(static_cast<std::size_t>(reason)); }
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (std::uint64_t one : counts_) sum += one;
    return sum;
  }

 private:
  std::array<std::uint64_t, refusal_reasons.size()> counts_{};
};

}  // namespace ringfs::nodes
