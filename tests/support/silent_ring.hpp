// A RingView whose answers are empty; a test that needs one of them derives from it.
#pragma once

#include <string>
#include <vector>

#include "dht/base/ring/ring_view.hpp"

namespace ringfs {

class SilentRing : public RingView {
 public:
  Task<Result<RingStatus>> status(TimePoint) override { co_return RingStatus{}; }
  Task<Result<std::vector<MemberView>>> members(TimePoint) override { co_return std::vector<MemberView>{}; }
  Task<Result<std::vector<PartitionView>>> partitions(TimePoint) override { co_return std::vector<PartitionView>{}; }
  Task<Result<RouteView>> lookup(std::string, TimePoint) override { co_return RouteView{}; }
  Task<Result<RebalanceView>> rebalance(TimePoint) override { co_return RebalanceView{}; }
  Task<Result<std::vector<EventView>>> events(EventCursor, TimePoint) override { co_return std::vector<EventView>{}; }
  Task<Result<SpaceView>> space(TimePoint) override { co_return SpaceView{}; }
  std::string metrics_text() override { return {}; }
};

}  // namespace ringfs
