// The ring as an operator sees it, asked from the nodes themselves: every member's status at the same time, each within
// a bounded time.
//
// Threads: one loop; the object client (its members table, its lookups) and the transport outlive it. Errors: timeout
// and unreachable when no node answers at all; a single silent node shows up in the answer instead. Limits: max_members
// nodes asked.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dht/base/ring/ring_view.hpp"
#include "dht/net/client/object_client.hpp"

namespace ringfs::dht {

class RingClient final : public RingView {
 public:
  RingClient(ClientTransport& transport, ObjectClient& client) : transport_(transport), client_(client) {}

  Task<Result<RingStatus>> status(TimePoint deadline) override;
  Task<Result<std::vector<MemberView>>> members(TimePoint deadline) override;
  Task<Result<std::vector<PartitionView>>> partitions(TimePoint deadline) override;
  Task<Result<RouteView>> lookup(std::string key, TimePoint deadline) override;
  Task<Result<RebalanceView>> rebalance(TimePoint deadline) override;
  Task<Result<std::vector<EventView>>> events(EventCursor after, TimePoint deadline) override;
  Task<Result<SpaceView>> space(TimePoint deadline) override;
  std::string metrics_text() override;

 private:
  struct Answering {
    Member member;
    std::optional<NodeStatus> status;  // none: it does not answer
    Duration round_trip{};
    TimePoint answered{};  // or given up
  };
  struct Survey {
    std::vector<Answering> nodes;  // ascending by id, without removed ones
    const Answering* find(const Uuid& node) const;
    std::size_t answering() const;
  };

  // A newer table first, then the status of each member.
  Task<Result<Survey>> survey(TimePoint deadline, const EventCursor* events_after = nullptr);
  static Task<void> ask_status(ClientTransport& transport, Answering* node, StatusOperation question,
                               TimePoint deadline);
  std::vector<PartitionView> partition_views(const Survey& survey) const;
  static RebalanceView rebalance_view(const Survey& survey, std::size_t partitions, const MembersTable& table);
  // Voters and learners that keep up, as the leader counts them, and those that follow it.
  static std::string trouble_of(const Member& member, const NodeStatus& status);
  static bool keeps_up(const NodeStatus& node, PartitionId partition, const GroupStatus& leader);
  static std::vector<std::string> damage_remarks(const Survey& survey);

  ClientTransport& transport_;
  ObjectClient& client_;
};

}  // namespace ringfs::dht
