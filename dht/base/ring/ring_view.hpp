// The ring as an operator sees it: for .ring/, `ringfs status` and the REST gateway.
//
// Implemented by dht/net/client/ring_client (asks the nodes). Threads and deadlines as in object_store.hpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/position.hpp"
#include "dht/base/ring/member_state.hpp"
#include "dht/base/task.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs {

struct MemberView {
  Uuid id;
  std::string address;       // host:port of the RPC server
  std::string rest_address;  // host:port of the REST gateway
  MemberState state{};
  std::vector<Position> tokens;
  double share = 0;              // of all partitions, as preferred primary; 0..1
  std::uint64_t used_bytes = 0;  // of its database; 0 when it does not answer
  bool answers = false;
  std::uint64_t disk_free_bytes = 0;  // of the file system that its data lies on ...
  std::uint64_t disk_id = 0;          // ... which nodes of one host may share
  bool no_space = false;              // it refuses writes
  std::optional<Duration> round_trip;
};

struct PartitionView {
  PartitionId partition{};
  Position anchor;
  std::optional<Uuid> leader;  // nobody claims to lead: no value
  std::uint64_t term = 0;
  std::vector<Uuid> replicas;       // preference order
  unsigned answering_replicas = 0;  // that answer and have caught up with the leader
};

struct RouteHop {
  Uuid node;
  std::string address;
  Position token;  // through which token's pointers it answered
  Duration round_trip{};
};

struct RouteView {
  std::string key;
  Position position;
  PartitionId partition{};
  std::vector<RouteHop> hops;  // nodes asked, in order; the last one gave the answer
  Uuid primary;                // the first node clockwise from the partition's anchor
  std::vector<Uuid> replicas;
  std::optional<Uuid> leader;
};

enum class Health : std::uint8_t { ok, degraded, readonly };
std::string_view to_string(Health health);

struct RingStatus {
  Uuid ring;
  Health health{};     // ok: everything fully replicated; readonly: some partition has no leader with a quorum
  unsigned nodes = 0;  // members that are not removed
  unsigned answering = 0;
  unsigned replication = 0;
  unsigned partitions = 0;
  unsigned under_replicated = 0;  // partitions with a replica that is missing or behind
  unsigned leaderless = 0;
  std::uint64_t table_version = 0;
  unsigned unsettled = 0;            // partitions whose members are not yet those that the members table wants
  bool moving = false;               // data is being moved or a replica is catching up
  std::vector<std::string> remarks;  // what the ring can survive, what is wrong; sentences for a person
};

struct RebalanceView {
  bool paused = false;
  std::uint64_t rate_limit = 0;            // bytes a second of each node (dht/base/ring/settings.hpp)
  unsigned partitions = 0, unsettled = 0;  // unsettled: the members are not yet those that the members table wants
  unsigned learners = 0;                   // replicas that are being filled
  std::uint64_t sent_bytes = 0;            // to new and lagging replicas, by the nodes' present processes
};

struct SpaceView {                // statfs
  std::uint64_t total_bytes = 0;  // of the nodes' disks, divided by the replication; disks shared by nodes count once
  std::uint64_t free_bytes = 0;
};

struct EventView {
  Uuid node;                   // whose event it is
  std::uint64_t sequence = 0;  // growing on each node
  Stamp time;                  // the ring's, as that node knew it
  std::string name;            // docs/membership.md and docs/resilience.md name the ones that matter
  std::string detail;          // key=value pairs
};
using EventCursor = std::map<Uuid, std::uint64_t>;  // per node: the last sequence number that is known

class RingView {
 public:
  virtual ~RingView() = default;
  virtual Task<Result<RingStatus>> status(TimePoint deadline) = 0;
  virtual Task<Result<std::vector<MemberView>>> members(TimePoint deadline) = 0;
  virtual Task<Result<std::vector<PartitionView>>> partitions(TimePoint deadline) = 0;
  virtual Task<Result<RouteView>> lookup(std::string key, TimePoint deadline) = 0;
  virtual Task<Result<RebalanceView>> rebalance(TimePoint deadline) = 0;
  // Memberships, elections and repairs that are newer than `after`, as far as the nodes remember them (a node its last
  // 1,024 of partitions and 1,024 of the ring, since it started), by time. A node that does not answer has none.
  virtual Task<Result<std::vector<EventView>>> events(EventCursor after, TimePoint deadline) = 0;
  virtual Task<Result<SpaceView>> space(TimePoint deadline) = 0;
  // Prometheus text and name=value counters of this process.
  virtual std::string metrics_text() = 0;
};

}  // namespace ringfs
