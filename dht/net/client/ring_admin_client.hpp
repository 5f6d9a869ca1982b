// RingAdmin over the ring itself: the members table is an object like any other, and a node that joins is told by a
// call.
//
// Threads: one loop; transport, object client and ring view outlive it. Errors: ring_admin.hpp. Limits: max_members.
#pragma once

#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "dht/net/client/object_client.hpp"

namespace ringfs::dht {

class RingAdminClient final : public RingAdmin {
 public:
  RingAdminClient(ClientTransport& transport, ObjectClient& client, RingView& view)
      : transport_(transport), client_(client), view_(view) {}

  Task<Result<Uuid>> add(std::string address, TimePoint deadline) override;
  Task<Result<Uuid>> remove(std::string member, bool force, TimePoint deadline) override;
  Task<Result<std::map<std::string, std::string>>> settings(TimePoint deadline) override;
  Task<Status> set(std::string name, std::string value, TimePoint deadline) override;

 private:
  Task<Result<NodeStatus>> ask_status(std::string address, TimePoint deadline);
  Task<Status> tell(std::string address, Uuid node, MembersTable table, TimePoint deadline);
  Task<Status> check_room(Uuid leaving, TimePoint deadline);

  ClientTransport& transport_;
  ObjectClient& client_;
  RingView& view_;
};

}  // namespace ringfs::dht
