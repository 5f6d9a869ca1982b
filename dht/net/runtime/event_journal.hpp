// The newest events of a node, for those who ask (StatusOperation::events_after, `.ring/events`).
//
// Threads: one loop. Limits: max_events events of partitions and as many of the node and its ring, each text
// truncated to max_event_text bytes; older ones are forgotten. What happens to hundreds of partitions at a time does
// not push out what happens to the ring.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "dht/core/protocol/operations.hpp"

namespace ringfs::dht {

class EventJournal {
 public:
  // `life`: which start of the node this is (Incarnation::counter), so that sequence numbers grow from one process to
  // the next.
  explicit EventJournal(std::uint64_t life);

  enum class About : std::uint8_t { partition, ring };
  void add(About about, std::string name, std::string detail, Stamp now);
  // Those with a greater sequence number, ascending.
  std::vector<NodeEvent> after(std::uint64_t sequence) const;

 private:
  std::deque<NodeEvent> of_partitions_, of_ring_;  // ascending
  std::uint64_t last_;
};

}  // namespace ringfs::dht
