// What a node does as a client of its own ring: it joins, runs the janitor, and announces its address.
//
// Threads: the node's loop. Errors: logged, and tried again later; none is fatal. Limits: one janitor pass at a time,
// at most janitor_repeats in a row for a partition; the pauses between retries below and in the .cpp.
#pragma once

#include <functional>
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
// A claim is a small batch in each partition where something waits. Its interval is a little less than the time between
// two passes, so every pass knows ages. What is removed must free its room within a minute.
inline constexpr Duration claim_interval = std::chrono::seconds(6);

class BackgroundTasks {
 public:
  // `may_announce`: whether the other members can dial the address by now.
  BackgroundTasks(dht::Driver& driver, dht::ObjectClient& client, std::string address, std::string rest_address,
                  std::function<bool()> may_announce, Duration janitor_interval)
      : driver_(driver),
        client_(client),
        address_(std::move(address)),
        rest_address_(std::move(rest_address)),
        may_announce_(std::move(may_announce)),
        janitor_interval_(janitor_interval) {}

  // Starts the client as soon as the node belongs to a ring.
  Task<void> start_client();
  // These two run until they are cancelled.
  Task<void> janitor();
  Task<void> announce();
  // Adds this node to the ring of one of these nodes, unless it belongs to one. Ends when it belongs to one.
  Task<void> join(dht::ClientTransport& transport, std::vector<std::string> nodes);

  bool client_started() const { return client_started_; }

 private:
  // Whether the members table has this node with another address than the one that the others may dial now.
  bool address_is_stale() const;
  Task<Status> commit_address();
  // Partitions that this node leads and that may hold something for the janitor.
  std::vector<PartitionId> partitions_to_clean() const;
  Task<void> clean(PartitionId partition);
  // True: nothing is left. False: something is left, or may be.
  Task<bool> pass(PartitionId partition);
  // Writes into the log of the partition that what waits there is claimed; at most once in a claim_interval.
  Task<void> claim(PartitionId partition);

  dht::Driver& driver_;
  dht::ObjectClient& client_;
  const std::string address_;
  const std::string rest_address_;
  const std::function<bool()> may_announce_;
  const Duration janitor_interval_;
  bool client_started_ = false;
  EmptyPartitions empty_;
  std::map<PartitionId, dht::RecordsPlace> records_places_;  // for partitions where the last pass did not reach the end
  fs::Claims claims_;
  struct Claimed {
    RowAges ages;
    TimePoint at{};
  };
  std::map<PartitionId, Claimed> claimed_;  // partitions where something waits until it is old enough
};

}  // namespace ringfs::nodes
