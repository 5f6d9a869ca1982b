// Asking node after node until one knows the successor.
#include "dht/net/client/chord_lookup.hpp"

#include <algorithm>

namespace ringfs::dht {

namespace {

constexpr Duration avoid_time = std::chrono::seconds(3);

Task<Result<LookupRoute>> walk(ClientTransport& transport, RingDirectory& directory, NodeAddress start,
                               Position position, Duration hop_time, TimePoint deadline) {
  LookupRoute route;
  NodeAddress next = std::move(start);
  while (route.hops.size() < max_lookup_hops) {
    const TimePoint asked = transport.now();
    if (asked >= deadline) co_return fail(ErrorCode::timeout, "lookup");
    Operation find{FindOperation{position}};
    OperationResult result =
        co_await transport.call(next.address, next.node, std::move(find), std::min(asked + hop_time, deadline));
    if (!result) {
      const ErrorCode code = result.error().error.code;
      if (not_reached(code) || code == ErrorCode::timeout) {
        directory.avoid(next.node, transport.now(), avoid_time,
                        code == ErrorCode::timeout ? RingDirectory::Why::silent : RingDirectory::Why::refused);
      }
      co_return tl::unexpected(result.error().error);
    }
    directory.answered(next.node);
    const FindReply* reply = std::get_if<FindReply>(&*result);
    if (reply == nullptr) co_return fail(ErrorCode::corrupt, "not the answer to a lookup");
    route.hops.push_back({next, reply->through, transport.now() - asked});
    directory.learn_address(reply->node, reply->address);
    if (reply->final) {
      route.owner = {reply->node, reply->address};
      route.token = reply->token;
      co_return route;
    }
    if (reply->node == next.node) co_return fail(ErrorCode::unavailable, "a node names itself as the next hop");
    next = {reply->node, reply->address};
    // Pointers to a frozen node last until the others notice. Do not wait for it again.
    if (directory.is_silent(next.node, transport.now()))
      co_return fail(ErrorCode::unavailable, "the route leads to a silent node");
  }
  co_return fail(ErrorCode::unavailable, "the lookup took too many hops");
}

}  // namespace

Task<Result<LookupRoute>> chord_lookup(ClientTransport& transport, RingDirectory& directory, Position position,
                                       Duration hop_time, TimePoint deadline) {
  Error last{ErrorCode::unreachable, "no node is known"};
  std::vector<NodeAddress> starts = directory.anybody(transport.random(), transport.now());
  if (starts.size() > max_lookup_starts) starts.resize(max_lookup_starts);
  for (const NodeAddress& start : starts) {
    Result<LookupRoute> route = co_await walk(transport, directory, start, position, hop_time, deadline);
    if (route) co_return route;
    last = route.error();
  }
  co_return tl::unexpected(last);
}

}  // namespace ringfs::dht
