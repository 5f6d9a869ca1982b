// What a node does as a client of its own ring: the janitor and the announcement of its address.
//
// Threads: the node's loop. Errors: logged and tried again later; nothing here is ever fatal. Limits: one janitor pass
// at a time, at most janitor_repeats in a row for one partition; retries paced as below.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dht/net/client/lock_resolver.hpp"
#include "dht/net/client/object_client.hpp"
#include "dht/net/runtime/driver.hpp"
#include "fs/claims.hpp"
#include "nodes/daemon/empty_partitions.hpp"

namespace ringfs::nodes {

inline constexpr int janitor_repeats = 10;
// Between two claims of one partition in which something waits. A little less than the time between two passes, so that
// each pass knows how old rows are: the room of what is removed is to be free within a minute.
inline constexpr Duration claim_interval = std::chrono::seconds(6);

class BackgroundTasks {
 public:
  BackgroundTasks(dht::Driver& driver, dht::ObjectClient& client, std::string address, std::string rest_address,
                  Duration janitor_interval)
      : driver_(driver),
        client_(client),
        address_(std::move(address)),
        rest_address_(std::move(rest_address)),
        janitor_interval_(janitor_interval) {}

  // Starts the client as soon as this node belongs to a ring.
  Task<void> start_client();
  // These two end only when they are cancelled.
  Task<void> janitor();
  Task<void> announce();
  // Adds this node to the ring of one of these nodes, unless it belongs to one; ends when it does.
  Task<void> join(dht::ClientTransport& transport, std::vector<std::string> nodes);

  bool client_started() const { return client_started_; }

 private:
  // Whether the members table has this node, under another address.
  bool address_is_stale() const;
  Task<Status> commit_address();
  // Those that this node leads and that may hold something for the janitor.
  std::vector<PartitionId> partitions_to_clean() const;
  Task<void> clean(PartitionId partition);
  // False: something is or may be left.
  Task<bool> pass(PartitionId partition);
  // Says in the partition's log that what waits there is claimed; at most once a claim_interval.
  Task<void> claim(PartitionId partition);

  dht::Driver& driver_;
  dht::ObjectClient& client_;
  const std::string address_;
  const std::string rest_address_;
  const Duration janitor_interval_;
  bool client_started_ = false;
  EmptyPartitions empty_;
  std::map<PartitionId, dht::RecordsPlace> records_places_;  // of those in which the last pass did not get to the end
  fs::Claims claims_;
  struct Claimed {
    RowAges ages;
    TimePoint at{};
  };
  std::map<PartitionId, Claimed> claimed_;  // partitions in which something waits for its time
};

}  // namespace ringfs::nodes
