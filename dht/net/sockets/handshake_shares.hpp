// How many connections of nobody in particular a listener holds at a time: those that it accepted and does not know
// yet.
//
// They are bounded, and so is each source's share, so that a flood from one address leaves room for the others. A
// quarter is kept for the addresses of members: a flood from many addresses cannot keep a member out. The oldest is not
// dropped for a newer one: a flood would then starve a member whose handshake takes 200 ms. A source is an IPv4 address
// or the first 64 bits of an IPv6 address, which one machine may have all of.
//
// Whoever uses this also gives each connection a limit of time (handshake_limit), and ends it once.
// Threads: one. Limits: max_handshakes, and so many sources. Errors: begin() says no.
#pragma once

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"
#include "dht/net/sockets/stream.hpp"

namespace ringfs::dht {

inline constexpr Duration handshake_limit = std::chrono::seconds(10);  // from being accepted to being known

class HandshakeShares {
 public:
  using Address = boost::asio::ip::address;

  static constexpr std::size_t max_handshakes = 64;
  static constexpr std::size_t kept_for_members = max_handshakes / 4;
  static constexpr std::size_t share_of_a_source = 8;
  static constexpr std::size_t share_of_a_member = kept_for_members;  // its mounts come from its address, too

  // `is_member`: whether a member was last heard of at this address. It proves nothing, and gives room only.
  explicit HandshakeShares(std::function<bool(const Address&)> is_member = {}) : is_member_(std::move(is_member)) {}

  // Whether one more may begin; then end() must follow.
  bool begin(const Address& address) {
    const Address source = source_of(address);
    const bool member = is_member_ && is_member_(unmapped(address));
    if (under_way_ >= (member ? max_handshakes : max_handshakes - kept_for_members)) return false;
    const auto known = shares_.find(source);
    const std::size_t share = known == shares_.end() ? 0 : known->second;
    if (share >= (member ? share_of_a_member : share_of_a_source)) return false;
    shares_[source] = share + 1;
    ++under_way_;
    return true;
  }

  void end(const Address& address) {
    const auto known = shares_.find(source_of(address));
    RINGFS_CHECK(known != shares_.end() && under_way_ > 0);
    if (--known->second == 0) shares_.erase(known);
    --under_way_;
  }

  std::size_t under_way() const { return under_way_; }

 private:
  static Address source_of(const Address& address) {
    Address plain = unmapped(address);
    if (plain.is_v4()) return plain;
    auto bytes = plain.to_v6().to_bytes();
    std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
    return boost::asio::ip::address_v6(bytes);
  }

  std::function<bool(const Address&)> is_member_;
  std::map<Address, std::size_t> shares_;
  std::size_t under_way_ = 0;
};

}  // namespace ringfs::dht
