// Why a node refused a connection or a request, over RPC and REST, in words for whoever is refused and counted by
// reason (metric ringfs_connections_refused_total, docs/security.md#ports).
//
// Threads: plain values; counts: one.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "dht/base/error.hpp"

namespace ringfs::dht {

enum class RefusalReason : std::uint8_t {
  limit,        // too many connections, or too many of nobody in particular
  user,         // another user of this machine
  no_tls,       // this node has no certificate
  handshake,    // TLS failed: no TLS, an older version, cut short, too slow
  certificate,  // one that does not count: CertificateFault says why
  token,        // a token that this ring does not know, or that has expired or is used up
  session,      // a cookie that this node does not know, or that has expired
  nobody,       // nothing was shown
  role,         // too little for what was asked
  identity,     // another node or ring was meant, or another process has run as the node that it says it is
  origin,       // another site's page, or another server's name
  malformed,    // not a request or frame, of another version, or larger than the limits
  slow,         // it did not arrive in time
  cut_off,      // this node has not heard the ring for 10 s, or does not know it yet: whoever counts elsewhere may ask
};

inline constexpr std::array<std::string_view, 14> refusal_reasons = {
    "limit",  "user", "no_tls",   "handshake", "certificate", "token", "session",
    "nobody", "role", "identity", "origin",    "malformed",   "slow",  "cut_off"};

// Why a certificate does not count.
enum class CertificateFault : std::uint8_t {
  unknown,     // the ring has no such client or node, or knows it by another key
  other_ring,  // it is of another ring
  not_yet_valid,
  expired,
  revoked,  // of a client
  removed,  // of a node
};

inline constexpr std::array<std::string_view, 6> certificate_faults = {"unknown", "other_ring", "not_yet_valid",
                                                                       "expired", "revoked",    "removed"};

constexpr std::string_view to_string(RefusalReason reason) {
  return refusal_reasons.at(static_cast<std::size_t>(reason));
}
constexpr std::string_view to_string(CertificateFault fault) {
  return certificate_faults.at(static_cast<std::size_t>(fault));
}

struct Denial : Error {
  RefusalReason reason{};
  CertificateFault fault = CertificateFault::unknown;  // of a certificate
};

class RefusalCounts {
 public:
  void add(RefusalReason reason) { ++counts_.at(static_cast<std::size_t>(reason)); }
  void add(const Denial& why) {
    add(why.reason);
    if (why.reason == RefusalReason::certificate) ++faults_.at(static_cast<std::size_t>(why.fault));
  }
  std::uint64_t count(RefusalReason reason) const { return counts_.at(static_cast<std::size_t>(reason)); }
  std::uint64_t count(CertificateFault fault) const { return faults_.at(static_cast<std::size_t>(fault)); }
  std::uint64_t total() const { return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}); }

 private:
  std::array<std::uint64_t, refusal_reasons.size()> counts_{};
  std::array<std::uint64_t, certificate_faults.size()> faults_{};  // of those that were told with a Denial
};

}  // namespace ringfs::dht
