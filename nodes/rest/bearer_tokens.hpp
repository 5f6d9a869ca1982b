// Which role a bearer token has: the REST tokens of the object `ring/tokens`, asked through the ring.
//
// The table is small, so all of it is read and kept for kept_for. A token that it does not have may have been made
// since: then it is read once more before anybody is refused, so a new token works at once. However many strangers
// ask, there is one read at a time and at most one in pause_between.
//
// Threads: the loop of the store. Errors: access_denied (no such token, or it has expired, in words); those of the
// store, when it cannot be asked: nobody is let in by what was read before kept_for. Limits: max_ring_tokens rows;
// asking_limit.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/access_role.hpp"

namespace ringfs::nodes {

// A row of ring/tokens, as far as this needs it.
struct RestToken {
  bool rest = false;  // otherwise for joining, which is another thing
  AccessRole role = AccessRole::reader;
  Stamp expires;
};

class BearerTokens {
 public:
  // A row's value. Errors: any; the row then is no token.
  using Decode = std::function<Result<RestToken>(std::string_view value)>;

  static constexpr std::size_t max_ring_tokens = 1024;
  static constexpr Duration kept_for = std::chrono::seconds(1);
  static constexpr Duration pause_between = std::chrono::milliseconds(100);
  static constexpr Duration asking_limit = std::chrono::seconds(5);

  BearerTokens(ObjectStore& store, Decode decode) : store_(store), decode_(std::move(decode)) {}
  BearerTokens(const BearerTokens&) = delete;
  BearerTokens& operator=(const BearerTokens&) = delete;

  // `hash`: SHA-256 of the token's secret, in hexadecimal. This must outlive the coroutine.
  Task<Result<AccessRole>> role_of(std::string hash);

 private:
  struct Known {
    std::string hash;
    RestToken token;
  };
  class Turn;

  Task<Status> read_since(TimePoint asked);
  Task<Result<std::vector<Known>>> read_all(TimePoint deadline);
  const RestToken* find(std::string_view hash) const;

  ObjectStore& store_;
  const Decode decode_;
  std::vector<Known> known_;
  std::optional<TimePoint> read_at_;   // when the read of known_ began
  std::optional<TimePoint> tried_at_;  // the last read that has ended, whether it went well or not
  Status tried_;
  bool reading_ = false;
  std::list<boost::asio::steady_timer*> waiting_;  // for the end of the read that is under way
};

}  // namespace ringfs::nodes
