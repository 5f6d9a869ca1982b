// REST tokens of the ring, read through its store.
#include "nodes/rest/bearer_tokens.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/net/trust/token.hpp"

namespace ringfs::nodes {

namespace asio = boost::asio;

namespace {

const std::string tokens_key = "ring/tokens";

}  // namespace

// One read at a time: whoever holds the turn reads, and wakes those who wait, however the read ends.
class BearerTokens::Turn {
 public:
  explicit Turn(BearerTokens& of) : of_(of) { of_.reading_ = true; }
  ~Turn() {
    of_.reading_ = false;
    for (asio::steady_timer* one : of_.waiting_) one->cancel();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  BearerTokens& of_;
};

const RestToken* BearerTokens::find(std::string_view hash) const {
  const RestToken* found = nullptr;
  for (const Known& one : known_) {  // all of them: how long it takes says nothing
    if (dht::equal_in_constant_time(one.hash, hash)) found = &one.token;
  }
  return found;
}

Task<Result<AccessRole>> BearerTokens::role_of(std::string hash) {
  const TimePoint asked = store_.clock().now;
  const bool fresh = read_at_ && asked - *read_at_ < kept_for;
  if (!fresh || find(hash) == nullptr) {
    Status read = co_await read_since(asked);
    if (!read) co_return tl::unexpected(read.error());
  }
  const RestToken* token = find(hash);
  if (token == nullptr) co_return fail(ErrorCode::access_denied, "this ring has no such token for REST");
  if (token->expires <= store_.clock().stamp) co_return fail(ErrorCode::access_denied, "the token has expired");
  co_return token->role;
}

// Returns when a read that began at or after `asked` has ended, with how it ended.
Task<Status> BearerTokens::read_since(TimePoint asked) {
  while (!tried_at_ || *tried_at_ < asked) {
    if (reading_) {
      asio::steady_timer wait(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
      const auto place = waiting_.insert(waiting_.end(), &wait);
      boost::system::error_code woken;
      co_await wait.async_wait(asio::redirect_error(asio::use_awaitable, woken));
      waiting_.erase(place);
      continue;
    }
    const Turn turn(*this);
    if (tried_at_) {
      const Duration since = store_.clock().now - *tried_at_;
      if (since < pause_between) co_await store_.sleep(pause_between - since);
    }
    const TimePoint begun = store_.clock().now;
    Result<std::vector<Known>> all = co_await read_all(begun + asking_limit);
    tried_ = all ? Status() : Status(tl::unexpected(all.error()));
    tried_at_ = begun;
    if (all) {
      known_ = std::move(*all);
      read_at_ = begun;
    }
  }
  co_return tried_;
}

Task<Result<std::vector<BearerTokens::Known>>> BearerTokens::read_all(TimePoint deadline) {
  std::vector<Known> all;
  std::string after;
  std::size_t rows = 0;
  for (bool more = true; more;) {
    ReadRequest::Scan scan;
    scan.key = tokens_key;
    scan.after = after;
    ReadRequest request;
    request.scans.push_back(std::move(scan));
    Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    if (reply->scans.size() != 1) co_return fail(ErrorCode::internal, "a read of one range gave another number");
    for (const Row& row : reply->scans[0].rows) {
      after = row.sort;
      Result<RestToken> token = decode_(row.value.view());
      if (!token)
        spdlog::warn("event=token_not_readable id={} reason=\"{}\"", row.sort.substr(0, 8), token.error().text());
      if (token && token->rest) all.push_back({.hash = row.sort, .token = *token});
    }
    more = reply->scans[0].more && !reply->scans[0].rows.empty();
    rows += reply->scans[0].rows.size();
    if (rows > max_ring_tokens) co_return fail(ErrorCode::too_large, "the ring has too many tokens");
  }
  co_return all;
}

}  // namespace ringfs::nodes
